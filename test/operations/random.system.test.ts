import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { expectRefusal, openScene, success, type Scene } from '../support/scene.ts'
import { commonSections } from '../support/sections.ts'

let scene: Scene

beforeAll(async () => {
  scene = await openScene()
})
afterAll(() => scene.close())

commonSections('GenerateRandom', () => scene, () => ({ NumberOfBytes: 16 }))

describe('GenerateRandom: behaviour', () => {
  const bytes = async (NumberOfBytes: number): Promise<Buffer> => {
    const { Plaintext, ...others } = success(await scene.call('GenerateRandom', { NumberOfBytes }))
    expect(others).toEqual({})
    return Buffer.from(String(Plaintext), 'base64')
  }

  it('answers as many bytes as asked for, from one to 1,024', async () => {
    for (const length of [1, 2, 31, 32, 33, 1023, 1024]) expect(await bytes(length)).toHaveLength(length)
  })

  it('never answers the same bytes twice, also not to requests at once', async () => {
    const answers = await Promise.all(Array.from({ length: 50 }, () => bytes(32)))
    expect(new Set(answers.map(answer => answer.toString('hex'))).size).toBe(50)
  })

  it('uses all values of a byte about equally often', async () => {
    const sample = Buffer.concat(await Promise.all(Array.from({ length: 64 }, () => bytes(1024))))
    const counts = new Array<number>(256).fill(0)
    for (const byte of sample) counts[byte] = (counts[byte] ?? 0) + 1
    const expected = sample.length / 256
    const chiSquare = counts.reduce((sum, count) => sum + (count - expected) ** 2 / expected, 0)
    // 255 degrees of freedom: one run of a sound generator in 10^9 lies outside 140 to 410.
    expect(chiSquare).toBeGreaterThan(140)
    expect(chiSquare).toBeLessThan(410)
  })

  it('cuts a fraction off, as AWS does', async () => {
    expect(await bytes(5.9)).toHaveLength(5)
  })

  it('needs NumberOfBytes, though the model does not say so', async () => {
    for (const input of [{}, { NumberOfBytes: null }, { numberOfBytes: 5 }]) expectRefusal(await scene.call('GenerateRandom', input), 'ValidationException', 'NumberOfBytes is required.')
  })

  it('knows no custom key store', async () => {
    expectRefusal(await scene.call('GenerateRandom', { NumberOfBytes: 5, CustomKeyStoreId: 'cks-1234567890abcdef0' }), 'CustomKeyStoreNotFoundException')
  })

  it('refuses a Recipient rather than answering in clear', async () => {
    const Recipient = { KeyEncryptionAlgorithm: 'RSAES_OAEP_SHA_256', AttestationDocument: 'aGVsbG8=' }
    expectRefusal(await scene.call('GenerateRandom', { NumberOfBytes: 5, Recipient }), 'UnsupportedOperationException', 'No root of trust for attestation documents is configured: Recipient cannot be verified.')
  })
})
