// The contract of the Hsm's algorithms on SoftHSM, and what only a token that the test may write to can show: keys with known values.
import { createHash, createHmac, generateKeyPairSync, randomBytes } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { MaterialRefused } from '../../src/hsm/hsm.ts'
import { agreementContract, decryptionContract, edwardsContract, macContract, signatureContract } from '../support/algorithms.ts'
import { decodeMaterial, encodeMaterial } from '../../src/keys/material.ts'
import type { KeySpecName, SigningAlgorithm } from '../../src/keys/spec.ts'
import { newPlan, openToken, poke, residentPlan, type TestToken } from '../support/token.ts'

let token: TestToken

beforeAll(async () => { token = await openToken() })
afterAll(() => token.remove())

describe('MACs', () => {
  macContract(() => token.client)

  it.each([224, 256, 384, 512])('HMAC of %i bits are those of node:crypto, for a key that both know', async bits => {
    const value = randomBytes(bits / 8)
    const plan = residentPlan({ spec: `HMAC_${bits}`, usage: 'GENERATE_VERIFY_MAC', cipherMode: 'none' })
    expect(await poke(token.directory, 'put', { value: value.toString('hex'), id: plan.ckaId.toString('hex'), label: `trent/key/${plan.keyId}` })).toBe(0)
    const key = await token.client.create(plan, true)
    for (const length of [1, 64, 65, 4_096]) {
      const message = randomBytes(length)
      expect(await token.client.mac(key, Buffer.from(message))).toEqual(createHmac(`sha${bits}`, value).update(message).digest())
    }
  })

  it('are made with no other key, and such a key does nothing else', async () => {
    const changes = { spec: 'HMAC_256', usage: 'GENERATE_VERIFY_MAC', cipherMode: 'none' } as const
    const [key, symmetric] = [await token.client.create(newPlan(changes), false), await token.client.create(newPlan(), false)]
    const text = Buffer.from('text')
    // Twice: before the worker has the key open, and after.
    for (let tried = 0; tried < 2; tried++) {
      await expect(token.client.mac(symmetric, text)).rejects.toThrow(MaterialRefused)
      await expect(token.client.encrypt(key, Buffer.alloc(4), text)).rejects.toThrow(MaterialRefused)
      await expect(token.client.seal(key, text, text)).rejects.toThrow(MaterialRefused)
    }
    await expect(token.client.create(newPlan({ ...changes, usage: 'ENCRYPT_DECRYPT' }), false)).rejects.toThrow(MaterialRefused)
    await expect(token.client.create(newPlan({ ...changes, cipherMode: 'derived' }), false)).rejects.toThrow(MaterialRefused)
    await expect(token.client.create(newPlan({ ...changes, spec: 'HMAC_512 ' }), false)).rejects.toThrow(MaterialRefused)
  })
})

describe('signatures', () => {
  signatureContract(() => token.client, ['RSA_2048', 'RSA_3072', 'RSA_4096', 'ECC_NIST_P256', 'ECC_NIST_P384', 'ECC_NIST_P521', 'ECC_SECG_P256K1'])
  // SoftHSM does not wrap such a key.
  edwardsContract(() => token.client, ['resident'])

  const planOf = (spec: KeySpecName) => newPlan({ spec, usage: 'SIGN_VERIFY', cipherMode: 'none' })

  it('are made with the algorithms of the row alone, over digests of their length, and with no other key', async () => {
    const made = await token.client.create(planOf('ECC_NIST_P256'), false)
    const symmetric = await token.client.create(newPlan(), false)
    const sign = (algorithm: SigningAlgorithm, digest: Buffer, key = made): Promise<Buffer> => token.client.sign(key, algorithm, digest)
    for (const algorithm of ['ECDSA_SHA_384', 'RSASSA_PSS_SHA_256', 'RSASSA_PKCS1_V1_5_SHA_256'] as const) await expect(sign(algorithm, Buffer.alloc(32))).rejects.toThrow(MaterialRefused)
    await expect(sign('ECDSA_SHA_256', Buffer.alloc(32), { ...symmetric, spki: null })).rejects.toThrow(MaterialRefused)
    await expect(token.client.mac(made, Buffer.alloc(32))).rejects.toThrow(MaterialRefused)
    await expect(token.client.encrypt(made, Buffer.alloc(4), Buffer.alloc(32))).rejects.toThrow(MaterialRefused)
    // The gateway's own code never sends a digest of another length: an agent that gets one ends the connection.
    for (const length of [0, 31, 33, 64]) await expect(sign('ECDSA_SHA_256', Buffer.alloc(length))).rejects.toThrow('died twice')
    expect(await sign('ECDSA_SHA_256', Buffer.alloc(32))).not.toHaveLength(0)
    expect(token.starts).toEqual(['first'])
  })

  it('the public key counts only as the row has it', async () => {
    const made = await token.client.create(planOf('ECC_NIST_P256'), false)
    const other = generateKeyPairSync('ec', { namedCurve: 'prime256v1' }).publicKey.export({ type: 'spki', format: 'der' })
    const refused = new MaterialRefused('the public key is not the one that the material row names')
    await expect(token.client.publicKey({ ...made }, other)).rejects.toThrow(refused)
    await expect(token.client.publicKey({ ...made }, Buffer.concat([made.spki ?? other, Buffer.alloc(1)]))).rejects.toThrow(refused)
    // The row with the digest of the other key: its MAC is not the token's.
    const row = encodeMaterial({ ...decodeMaterial(made.row), spkiDigest: createHash('sha256').update(other).digest() })
    await expect(token.client.publicKey({ row, mac: made.mac }, other)).rejects.toThrow(new MaterialRefused('the MAC of a material row is wrong'))
    expect((await token.client.publicKey(made, made.spki ?? other)).spki).toEqual(made.spki)
  })

  it.each(['RSA_2048', 'ECC_NIST_P384'] as const)('a resident pair of spec %s that is made again is the same', async spec => {
    const plan = residentPlan({ spec, usage: 'SIGN_VERIFY', cipherMode: 'none' })
    const first = await token.client.create(plan, false)
    expect(await token.client.create(plan, true)).toEqual(first)
    expect(await poke(token.directory, 'count', { id: plan.ckaId.toString('hex') })).toBe(2)
  })

  it('leave nothing of a wrapped pair on the token', async () => {
    const before = await poke<number>(token.directory, 'total')
    await token.client.create(planOf('RSA_2048'), false)
    await token.client.create(planOf('ECC_NIST_P521'), false)
    expect(await poke(token.directory, 'total')).toBe(before)
  })
})

describe('key agreement', () => { agreementContract(() => token.client) })

describe('RSA decryption', () => {
  decryptionContract(() => token.client, ['RSA_2048', 'RSA_3072'])

  it('leaves the agent as it was, whatever comes', () => {
    expect(token.starts).toEqual(['first'])
  })
})
