// ML-DSA and ML-KEM in the token, against an implementation that is not the token's.
import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { ml_dsa44, ml_dsa65, ml_dsa87 } from '@noble/post-quantum/ml-dsa.js'
import { ml_kem1024, ml_kem512, ml_kem768 } from '@noble/post-quantum/ml-kem.js'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { MaterialRefused, type MadeMaterial } from '../../src/hsm/hsm.ts'
import type { HsmClient } from '../../src/hsm/client.ts'
import { decodeMaterial, encodeMaterial } from '../../src/keys/material.ts'
import { mlDsaSets, mlKemSets, postQuantumKey } from '../../src/keys/post-quantum.ts'
import type { KeySpecName, KeyUsage } from '../../src/keys/spec.ts'
import { pin } from '../support/installation.ts'
import { kryopticConfig } from '../support/kryoptic.ts'
import { openKryoptic, type OtherToken } from '../support/other-token.ts'
import { residentPlan } from '../support/token.ts'

let kryoptic: OtherToken
let client: HsmClient
beforeAll(async () => {
  kryoptic = await openKryoptic()
  client = kryoptic.token.client
})
afterAll(() => kryoptic.close())

interface Made {
  readonly made: MadeMaterial
  readonly spki: Buffer
}

async function make(spec: KeySpecName, usage: KeyUsage): Promise<Made> {
  const made = await client.create(residentPlan({ spec, usage, cipherMode: 'none' }), false)
  return { made, spki: made.spki ?? Buffer.alloc(0) }
}
const flipped = (bytes: Buffer, at: number): Buffer => Buffer.from(bytes).fill((bytes.at(at) ?? 0) ^ 1, at, at + 1)

describe.each([['ML_DSA_44', 'ML-DSA-44', ml_dsa44], ['ML_DSA_65', 'ML-DSA-65', ml_dsa65], ['ML_DSA_87', 'ML-DSA-87', ml_dsa87]] as const)('%s', (spec, name, other) => {
  const set = mlDsaSets[name]
  const sign = ({ made }: Made, message: Buffer): Promise<Buffer> => client.sign(made, 'ML_DSA_SHAKE_256', Buffer.from(message))

  it('signs what the other verifies, and verifies it too', async () => {
    const key = await make(spec, 'SIGN_VERIFY')
    const publicKey = postQuantumKey(set, key.spki) ?? Buffer.alloc(0)
    for (const length of [1, 64, 4_096]) {
      const message = randomBytes(length)
      const signature = await sign(key, message)
      expect(signature).toHaveLength(set.signatureBytes)
      expect(other.verify(signature, message, publicKey)).toBe(true)
      expect(other.verify(signature, randomBytes(length), publicKey)).toBe(false)
      expect(await client.verify(key.made, key.spki, Buffer.from(message), signature)).toBe(true)
      expect(await client.verify(key.made, key.spki, randomBytes(length), signature)).toBe(false)
      for (const at of [0, 32, signature.length >> 1, signature.length - 1]) expect(await client.verify(key.made, key.spki, Buffer.from(message), flipped(signature, at))).toBe(false)
    }
  })

  it('verifies with the public key of the row alone, and signs with no other algorithm', async () => {
    const [key, another] = [await make(spec, 'SIGN_VERIFY'), await make(spec, 'SIGN_VERIFY')]
    const signature = await sign(key, Buffer.from('message'))
    await expect(client.verify(key.made, another.spki, Buffer.from('message'), signature)).rejects.toThrow(new MaterialRefused('the public key is not the one that the material row names'))
    expect(await client.verify(another.made, another.spki, Buffer.from('message'), signature)).toBe(false)
    await expect(client.sign(key.made, 'ED25519_SHA_512', Buffer.from('message'))).rejects.toThrow(MaterialRefused)
    await expect(client.decapsulate(key.made, Buffer.alloc(1_088))).rejects.toThrow(MaterialRefused)
    const row = encodeMaterial({ ...decodeMaterial(key.made.row), spec: 'ML_DSA_44 ' })
    await expect(client.sign({ row, mac: key.made.mac }, 'ML_DSA_SHAKE_256', Buffer.from('message'))).rejects.toThrow(new MaterialRefused('the MAC of a material row is wrong'))
  })
})

describe.each([['ML_KEM_512', 'ML-KEM-512', ml_kem512], ['ML_KEM_768', 'ML-KEM-768', ml_kem768], ['ML_KEM_1024', 'ML-KEM-1024', ml_kem1024]] as const)('%s', (spec, name, other) => {
  const set = mlKemSets[name]

  it('opens what the other has made with its public key', async () => {
    const { made, spki } = await make(spec, 'ENCAPSULATE_DECAPSULATE')
    const publicKey = postQuantumKey(set, spki) ?? Buffer.alloc(0)
    for (let tried = 0; tried < 5; tried++) {
      const { cipherText, sharedSecret } = other.encapsulate(publicKey)
      expect(await client.decapsulate(made, Buffer.from(cipherText))).toEqual(Buffer.from(sharedSecret))
    }
  })

  it('shares a secret of 32 bytes with itself, another each time', async () => {
    const { made, spki } = await make(spec, 'ENCAPSULATE_DECAPSULATE')
    const secrets = new Set<string>()
    for (let tried = 0; tried < 5; tried++) {
      const { secret, ciphertext } = await client.encapsulate(made, spki)
      expect([secret.length, ciphertext.length]).toEqual([32, set.ciphertextBytes])
      expect(await client.decapsulate(made, Buffer.from(ciphertext))).toEqual(secret)
      secrets.add(secret.toString('hex'))
    }
    expect(secrets.size).toBe(5)
  })

  it('gives for an altered ciphertext, or one of another key, a secret that is neither an error nor the right one, and each time the same', async () => {
    const [{ made, spki }, another] = [await make(spec, 'ENCAPSULATE_DECAPSULATE'), await make(spec, 'ENCAPSULATE_DECAPSULATE')]
    const { secret, ciphertext } = await client.encapsulate(made, spki)
    for (const [key, wrong] of [[made, flipped(ciphertext, ciphertext.length - 1)], [made, Buffer.alloc(set.ciphertextBytes)], [another.made, Buffer.from(ciphertext)]] as const) {
      const rejected = await client.decapsulate(key, Buffer.from(wrong))
      expect(rejected).toHaveLength(32)
      expect(rejected).not.toEqual(secret)
      expect(await client.decapsulate(key, Buffer.from(wrong))).toEqual(rejected)
    }
  })

  it('takes the public key of the row alone, and a ciphertext of its own length', async () => {
    const [key, another] = [await make(spec, 'ENCAPSULATE_DECAPSULATE'), await make(spec, 'ENCAPSULATE_DECAPSULATE')]
    await expect(client.encapsulate(key.made, another.spki)).rejects.toThrow(new MaterialRefused('the public key is not the one that the material row names'))
    for (const length of [0, set.ciphertextBytes - 1, set.ciphertextBytes + 1]) await expect(client.decapsulate(key.made, Buffer.alloc(length))).rejects.toThrow('died twice')
    await expect(client.sign(key.made, 'ML_DSA_SHAKE_256', Buffer.from('message'))).rejects.toThrow(MaterialRefused)
  })
})

describe('the other way round', () => {
  /** With public keys that are not the token's own, which no verb of the agent takes: by Trent's own session, see other-way.js. */
  async function onToken<T>(work: readonly object[]): Promise<T[]> {
    const { library, env } = kryopticConfig(kryoptic.directory)
    const { stdout } = await promisify(execFile)(process.execPath, [join(import.meta.dirname, 'other-way.js'), JSON.stringify({ library, pin, work })], { env: { ...process.env, ...env } })
    return JSON.parse(stdout) as T[]
  }
  const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')

  it.each([['ML-DSA-44', ml_dsa44], ['ML-DSA-65', ml_dsa65], ['ML-DSA-87', ml_dsa87]] as const)('the token verifies what the other signs by %s, and nothing else', async (name, other) => {
    const { publicKey, secretKey } = other.keygen()
    const message = randomBytes(100)
    const signature = other.sign(message, secretKey)
    const verify = { publicKey: hex(publicKey), set: mlDsaSets[name].number, message: hex(message), signature: hex(signature) }
    const work = [verify, { ...verify, message: hex(randomBytes(100)) }, { ...verify, signature: hex(flipped(Buffer.from(signature), 50)) }, { ...verify, signature: hex(other.sign(message, secretKey, { context: Buffer.from('context') })) }]
    expect(await onToken<boolean>(work.map(one => ({ verify: one })))).toEqual([true, false, false, false])
  })

  it.each([['ML-KEM-512', ml_kem512], ['ML-KEM-768', ml_kem768], ['ML-KEM-1024', ml_kem1024]] as const)('the other opens what the token makes by %s', async (name, other) => {
    const { publicKey, secretKey } = other.keygen()
    const { number: set, ciphertextBytes } = mlKemSets[name]
    for (const { secret, ciphertext } of await onToken<{ secret: string; ciphertext: string }>(Array.from({ length: 5 }, () => ({ encapsulate: { publicKey: hex(publicKey), set, ciphertextBytes } })))) {
      expect(hex(other.decapsulate(Buffer.from(ciphertext, 'hex'), secretKey))).toBe(secret)
    }
  })
})

it('the agent was the same all the while', () => {
  expect(kryoptic.token.starts).toEqual(['first'])
})
