// What every token must compute, whoever made it: each algorithm of the Hsm against node:crypto.
import { createHash, randomBytes, verify } from 'node:crypto'
import { expect, it } from 'vitest'
import type { HsmClient } from '../../src/hsm/client.ts'
import { readPublicKey } from '../../src/keys/public-key.ts'
import { verifyDigest, verifyMessage } from '../../src/keys/signature.ts'
import { keySpecs, signingAlgorithms, type KeySpecName, type SigningAlgorithm } from '../../src/keys/spec.ts'
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
      const algorithm = name as SigningAlgorithm
      const { hash, digestBytes, scheme } = signingAlgorithms[algorithm]
      // ECDSA: often enough that r and s begin with zeroes and with a set bit.
      for (let tried = 0; tried < (scheme === 'ecdsa' ? 100 : 2); tried++) {
        const message = randomBytes(100)
        const digest = createHash(hash).update(message).digest()
        const signature = await client().sign(made, algorithm, Buffer.from(digest))
        expect(verifyMessage(publicKey, algorithm, message, signature)).toBe(true)
        expect(verifyDigest(spec, publicKey, algorithm, digest, signature)).toBe(true)
        if (scheme === 'ecdsa') expect(verify(hash, message, key, signature)).toBe(true)
      }
      for (const digest of [Buffer.alloc(digestBytes), Buffer.alloc(digestBytes, 0xff)]) {
        expect(verifyDigest(spec, publicKey, algorithm, digest, await client().sign(made, algorithm, Buffer.from(digest)))).toBe(true)
      }
    }
  }, 60_000)
}
