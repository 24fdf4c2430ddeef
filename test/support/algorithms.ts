// What every token must compute, whoever made it: each algorithm of the Hsm against node:crypto.
import { constants, createHash, diffieHellman, generateKeyPairSync, publicEncrypt, randomBytes, verify } from 'node:crypto'
import { expect, it } from 'vitest'
import { KmsError } from '../../src/errors.ts'
import { MaterialRefused, PlaintextTooLong, type ReencryptSide } from '../../src/hsm/hsm.ts'
import type { HsmClient } from '../../src/hsm/client.ts'
import { curves, type CurveName } from '../../src/keys/curve.ts'
import { encodeContext } from '../../src/keys/context.ts'
import { readPublicKey } from '../../src/keys/public-key.ts'
import { oaepLimit } from '../../src/keys/rsa-encryption.ts'
import { verifyMessage, verifySigned } from '../../src/keys/signature.ts'
import { digestSigning, keySpecs, rsaEncryptionAlgorithms, type DigestSigning, type KeySpecName, type RsaEncryptionAlgorithm } from '../../src/keys/spec.ts'
import { newPlan, residentPlan } from './token.ts'

const messages = (): Buffer[] => [1, 63, 64, 65, 128, 4_096].map(length => randomBytes(length))

/** HMAC keys of every size, wrapped and resident. Their value stays unknown: what is held is length, sameness and difference. */
export function macContract(client: () => HsmClient): void {
  it.each([224, 256, 384, 512])('HMAC of %i bits', async bits => {
    const changes = { spec: `HMAC_${bits}`, usage: 'GENERATE_VERIFY_MAC', cipherMode: 'none' } as const
    for (const plan of [newPlan(changes), residentPlan(changes)]) {
      const [key, other] = [await client().create(plan, false), await client().create(newPlan(changes), false)]
      for (const message of messages()) {
        const mac = await client().mac(key, Buffer.from(message))
        expect(mac).toHaveLength(bits / 8)
        expect(await client().mac(key, Buffer.from(message))).toEqual(mac)
        expect(await client().mac(other, Buffer.from(message))).not.toEqual(mac)
      }
    }
  })
}

/** Signatures of wrapped and resident keys, verified by node:crypto and by the digest, with the public key that the token told. */
export function signatureContract(client: () => HsmClient, specs: readonly KeySpecName[]): void {
  it.each(specs.flatMap(spec => (['wrapped', 'resident'] as const).map(residency => [spec, residency] as const)))('%s signs, %s', async (spec, residency) => {
    const changes = { spec, usage: 'SIGN_VERIFY', cipherMode: 'none' } as const
    const made = await client().create(residency === 'wrapped' ? newPlan(changes) : residentPlan(changes), false)
    const spki = made.spki ?? Buffer.alloc(0)
    const { key } = readPublicKey(spki) ?? {}
    if (key === undefined) throw new Error('no public key')
    const publicKey = await client().publicKey(made, spki)
    expect(publicKey.key.equals(key)).toBe(true)
    for (const name of keySpecs[spec].usages.SIGN_VERIFY ?? []) {
      const algorithm = name as DigestSigning
      const { hash, digestBytes, scheme } = digestSigning[algorithm]
      // ECDSA: often enough that r and s begin with zeroes and with a set bit.
      for (let tried = 0; tried < (scheme === 'ecdsa' ? 100 : 2); tried++) {
        const message = randomBytes(100)
        const digest = createHash(hash).update(message).digest()
        const signature = await client().sign(made, algorithm, Buffer.from(digest))
        expect(verifyMessage(publicKey, algorithm, message, signature)).toBe(true)
        expect(verifySigned(spec, publicKey, algorithm, digest, signature)).toBe(true)
        if (scheme === 'ecdsa') expect(verify(hash, message, key, signature)).toBe(true)
      }
      for (const digest of [Buffer.alloc(digestBytes), Buffer.alloc(digestBytes, 0xff)]) {
        expect(verifySigned(spec, publicKey, algorithm, digest, await client().sign(made, algorithm, Buffer.from(digest)))).toBe(true)
      }
    }
  }, 60_000)
}

/** Ed25519, over messages. Deterministic, so that a token which hashes in another way shows. */
export function edwardsContract(client: () => HsmClient, residencies: readonly ('wrapped' | 'resident')[], prehash = false): void {
  it.each(residencies)('ECC_NIST_EDWARDS25519 signs, %s', async residency => {
    const changes = { spec: 'ECC_NIST_EDWARDS25519', usage: 'SIGN_VERIFY', cipherMode: 'none' } as const
    const made = await client().create(residency === 'wrapped' ? newPlan(changes) : residentPlan(changes), false)
    const { key } = await client().publicKey(made, made.spki ?? Buffer.alloc(0))
    expect(key.asymmetricKeyType).toBe('ed25519')
    for (const message of messages()) {
      const signature = await client().sign(made, 'ED25519_SHA_512', Buffer.from(message))
      expect(signature).toHaveLength(64)
      expect(verify(null, message, key, signature)).toBe(true)
      expect(await client().sign(made, 'ED25519_SHA_512', Buffer.from(message))).toEqual(signature)
    }
    if (!prehash) await expect(client().sign(made, 'ED25519_PH_SHA_512', Buffer.alloc(64))).rejects.toThrow(new MaterialRefused('this kind of token makes no Ed25519ph'))
    for (const length of [0, 4_097]) await expect(client().sign(made, 'ED25519_SHA_512', Buffer.alloc(length))).rejects.toThrow('died twice')
    await expect(client().sign(made, 'ECDSA_SHA_256', Buffer.alloc(32))).rejects.toThrow(MaterialRefused)
  })
}

/** RSA-OAEP: the HSM opens what node:crypto encrypted, and refuses all else with one error. */
export function decryptionContract(client: () => HsmClient, specs: readonly KeySpecName[]): void {
  const invalid = new KmsError('InvalidCiphertextException')
  it.each(specs.flatMap(spec => (['wrapped', 'resident'] as const).map(residency => [spec, residency] as const)))('%s decrypts, %s', async (spec, residency) => {
    const changes = { spec, usage: 'ENCRYPT_DECRYPT', cipherMode: 'none' } as const
    const made = await client().create(residency === 'wrapped' ? newPlan(changes) : residentPlan(changes), false)
    const { key } = await client().publicKey(made, made.spki ?? Buffer.alloc(0))
    for (const algorithm of Object.keys(rsaEncryptionAlgorithms) as RsaEncryptionAlgorithm[]) {
      const { hash: oaepHash } = rsaEncryptionAlgorithms[algorithm]
      const other = oaepHash === 'sha1' ? 'sha256' : 'sha1'
      const encrypted = (message: Buffer, hash = oaepHash as string): Buffer => publicEncrypt({ key, padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: hash }, message)
      for (const length of [1, 2, 32, oaepLimit(spec, algorithm)]) {
        const message = randomBytes(length)
        expect(await client().decryptRsa(made, algorithm, encrypted(message))).toEqual(message)
      }
      const good = encrypted(Buffer.from('message'))
      const bit = (at: number): Buffer => Buffer.from(good).fill((good[at] ?? 0) ^ 1, at, at + 1)
      const modulus = Buffer.from(key.export({ format: 'jwk' }).n ?? '', 'base64url')
      const wrong = [
        bit(0), bit(100), bit(good.length - 1), encrypted(Buffer.from('message'), other), publicEncrypt({ key, padding: constants.RSA_PKCS1_PADDING }, Buffer.from('message')),
        publicEncrypt({ key, padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash, oaepLabel: Buffer.from('label') }, Buffer.from('message')), encrypted(Buffer.alloc(0)),
        good.subarray(1), good.subarray(0, -1), Buffer.concat([Buffer.alloc(1), good]), Buffer.concat([good, Buffer.alloc(1)]), Buffer.alloc(0), Buffer.alloc(good.length), Buffer.alloc(good.length, 0xff), modulus,
      ]
      for (const [at, ciphertext] of wrong.entries()) await expect(client().decryptRsa(made, algorithm, ciphertext), String(at)).rejects.toThrow(invalid)
    }
  }, 60_000)

  it('goes from a symmetric key to an RSA key and back, without the gateway', async () => {
    const [spec, algorithm, context] = ['RSA_2048', 'RSAES_OAEP_SHA_256', encodeContext(new Map([['tenant', 'blue']]))] as const
    const symmetric: ReencryptSide = { material: await client().create(newPlan(), false), context }
    const rsa = await client().create(newPlan({ spec, usage: 'ENCRYPT_DECRYPT', cipherMode: 'none' }), false)
    const side: ReencryptSide = { material: rsa, algorithm, spki: rsa.spki ?? Buffer.alloc(0) }
    const message = randomBytes(oaepLimit(spec, algorithm))
    const there = await client().reencrypt(symmetric, side, await client().encrypt(symmetric.material, context, Buffer.from(message)))
    expect(await client().decryptRsa(rsa, algorithm, there)).toEqual(message)
    expect(await client().decrypt(symmetric.material, context, await client().reencrypt(side, symmetric, there))).toEqual(message)
    const again = await client().reencrypt(side, { ...side, algorithm }, there)
    expect(again).not.toEqual(there)
    expect(await client().decryptRsa(rsa, algorithm, again)).toEqual(message)
    await expect(client().reencrypt(side, symmetric, Buffer.alloc(256, 7))).rejects.toThrow(invalid)
    const longer = await client().encrypt(symmetric.material, context, randomBytes(message.length + 1))
    await expect(client().reencrypt(symmetric, side, longer)).rejects.toThrow(PlaintextTooLong)
    const swapped = (await client().create(newPlan({ spec, usage: 'ENCRYPT_DECRYPT', cipherMode: 'none' }), false)).spki ?? Buffer.alloc(0)
    await expect(client().reencrypt(symmetric, { ...side, spki: swapped }, longer)).rejects.toThrow(MaterialRefused)
  })
}

/** ECDH with pairs of node:crypto, often enough that some secrets begin with a zero. */
export function agreementContract(client: () => HsmClient): void {
  const specs: readonly (readonly [spec: KeySpecName, curve: CurveName])[] = [['ECC_NIST_P256', 'P-256'], ['ECC_NIST_P384', 'P-384'], ['ECC_NIST_P521', 'P-521']]
  it.each(specs.flatMap(spec => (['wrapped', 'resident'] as const).map(residency => [...spec, residency] as const)))('%s agrees, %s%s', async (spec, curve, residency) => {
    const changes = { spec, usage: 'KEY_AGREEMENT', cipherMode: 'none' } as const
    const made = await client().create(residency === 'wrapped' ? newPlan(changes) : residentPlan(changes), false)
    const { key } = await client().publicKey(made, made.spki ?? Buffer.alloc(0))
    let short = 0
    for (let tried = 0; tried < 400 && (short < 1 || tried < 20); tried++) {
      const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: curves[curve].openssl })
      const secret = diffieHellman({ privateKey, publicKey: key })
      short += secret[0] === 0 && curve !== 'P-521' ? 1 : 0
      if (tried >= 20 && secret[0] !== 0) continue
      expect(await client().deriveSecret(made, publicKey.export({ type: 'spki', format: 'der' }))).toEqual(secret)
    }
    const other = generateKeyPairSync('ec', { namedCurve: curve === 'P-256' ? 'secp384r1' : 'prime256v1' }).publicKey.export({ type: 'spki', format: 'der' })
    // The gateway's own code never sends one: an agent that gets it ends the connection.
    await expect(client().deriveSecret(made, other)).rejects.toThrow('died twice')
    await expect(client().sign(made, 'ECDSA_SHA_256', Buffer.alloc(32))).rejects.toThrow(MaterialRefused)
  }, 60_000)
}
