import type { TokenInfo } from 'pkcs11js'
import { expect, it } from 'vitest'
import { usageOf } from '../../../src/hsm/agent/usage.ts'

/** As pkcs11js gives them: counts as numbers of 32 bits, sizes as BigInt, whatever its types say. */
const info = (figures: { sizes: readonly bigint[]; counts: readonly number[] }): TokenInfo => {
  const [freePublicMemory, totalPublicMemory, freePrivateMemory, totalPrivateMemory] = figures.sizes
  const [sessionCount, rwSessionCount] = figures.counts
  return { freePublicMemory, totalPublicMemory, freePrivateMemory, totalPrivateMemory, sessionCount, rwSessionCount } as unknown as TokenInfo
}
const unavailable = 0xffffffffffffffffn

it('figures are bytes and sessions', () => {
  expect(usageOf(info({ sizes: [10n, 2_097_152n, 0n, 1_048_576n], counts: [4, 3] }))).toEqual({
    publicMemory: { free: 10, total: 2_097_152 }, privateMemory: { free: 0, total: 1_048_576 }, sessions: { all: 4, readWrite: 3 },
  })
})

it('what a token does not tell is null, be it all ones or the one byte of NSS', () => {
  expect(usageOf(info({ sizes: [unavailable, unavailable, 1n, 1n], counts: [0xffffffff, 0xffffffff] }))).toEqual({
    publicMemory: { free: null, total: null }, privateMemory: { free: null, total: null }, sessions: { all: null, readWrite: null },
  })
  expect(usageOf(info({ sizes: [512n, unavailable, 0n, 0n], counts: [0, 0] }))).toEqual({
    publicMemory: { free: 512, total: null }, privateMemory: { free: null, total: null }, sessions: { all: 0, readWrite: 0 },
  })
})
