// What a token tells of its memory and sessions (C_GetTokenInfo). Many tokens tell nothing of it.
import type { TokenInfo } from 'pkcs11js'
import type { TokenUsage } from './control.ts'
import type { OpenToken } from './token.ts'

/** CK_UNAVAILABLE_INFORMATION is all ones; pkcs11js gives counts as 32 bits and sizes as 64. */
const unavailableCount = 0xffffffff
const unavailableSize = 0xffffffffffffffffn

const counted = (value: number): number | null => (value === unavailableCount ? null : value)

/** Contrary to its type pkcs11js gives sizes as BigInt. */
function sized(value: number | bigint): number | null {
  const size = BigInt(value)
  return size === unavailableSize || size === BigInt(unavailableCount) ? null : Number(size)
}

interface Memory {
  readonly free: number | null
  readonly total: number | null
}

/** NSS says that it has one byte: that tells nothing, and would look like a token that is full. */
const memory = (free: number | bigint, total: number | bigint): Memory =>
  (BigInt(total) <= 1n ? { free: null, total: null } : { free: sized(free), total: sized(total) })

/** C_GetTokenInfo's figures, without those that say that there are none. */
export const usageOf = (info: TokenInfo): TokenUsage => ({
  publicMemory: memory(info.freePublicMemory, info.totalPublicMemory),
  privateMemory: memory(info.freePrivateMemory, info.totalPrivateMemory),
  sessions: { all: counted(info.sessionCount), readWrite: counted(info.rwSessionCount) },
})

/** Undefined when the token does not answer: others find out what that means. */
export function tokenUsage({ p11, slot }: OpenToken): TokenUsage | undefined {
  try {
    return usageOf(p11.C_GetTokenInfo(slot.handle))
  } catch {
    return undefined
  }
}
