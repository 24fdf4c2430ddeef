import { createPrivateKey, createPublicKey } from 'node:crypto'
import { ml_kem1024, ml_kem512, ml_kem768 } from '@noble/post-quantum/ml-kem.js'
import { describe, expect, it } from 'vitest'
import { KmsError } from '../../src/errors.ts'
import { mlKemSets, postQuantumKey } from '../../src/keys/post-quantum.ts'
import { KeyPairs } from '../../src/operations/key-pairs.ts'

describe('the making of key pairs', () => {
  it('lets 66 be asked for at once, throttles the others, and takes up where it stopped', async () => {
    const pairs = new KeyPairs()
    const asked = await Promise.allSettled(Array.from({ length: 80 }, () => pairs.make('ECC_NIST_P256')))
    expect(asked.map(({ status }) => status)).toEqual([...Array<string>(66).fill('fulfilled'), ...Array<string>(14).fill('rejected')])
    for (const one of asked.slice(66)) expect((one as PromiseRejectedResult).reason).toEqual(new KmsError('ThrottlingException', 'You have exceeded the rate at which you may call KMS. Reduce the frequency of your calls.'))
    expect((await pairs.make('ECC_NIST_P256')).privateKey.length).toBeGreaterThan(100)
  })

  it.each([['ML_KEM_512', 'ML-KEM-512', ml_kem512], ['ML_KEM_768', 'ML-KEM-768', ml_kem768], ['ML_KEM_1024', 'ML-KEM-1024', ml_kem1024]] as const)('knows %s where OpenSSL does, from 3.5 on, in the form of its seed', async (spec, set, other) => {
    const [major = 0, minor = 0] = (process.versions.openssl ?? '').split('.').map(Number)
    if (major < 3 || (major === 3 && minor < 5)) {
      await expect(new KeyPairs().make(spec)).rejects.toMatchObject({ code: 'UnsupportedOperationException' })
      return
    }
    const { publicKey, privateKey } = await new KeyPairs().make(spec)
    expect(privateKey).toHaveLength(86)
    const { publicKey: known, secretKey } = other.keygen(privateKey.subarray(-64))
    expect(postQuantumKey(mlKemSets[set], publicKey)).toEqual(Buffer.from(known))
    expect(createPublicKey(createPrivateKey({ key: privateKey, format: 'der', type: 'pkcs8' })).export({ type: 'spki', format: 'der' })).toEqual(publicKey)
    const { cipherText, sharedSecret } = other.encapsulate(known)
    expect(other.decapsulate(cipherText, secretKey)).toEqual(sharedSecret)
  })

  it('takes no place for a spec that is not made', async () => {
    const pairs = new KeyPairs()
    for (let tried = 0; tried < 70; tried++) await expect(pairs.make('SM2')).rejects.toMatchObject({ code: 'UnsupportedOperationException' })
    for (const spec of ['SYMMETRIC_DEFAULT', 'HMAC_256', '__proto__']) await expect(pairs.make(spec)).rejects.toMatchObject({ code: 'UnsupportedOperationException' })
    await pairs.make('ECC_NIST_EDWARDS25519')
  })
})
