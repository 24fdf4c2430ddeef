import { createPrivateKey, createPublicKey, sign, verify } from 'node:crypto'
import { DecryptCommand, GenerateDataKeyPairCommand, type KMSClient } from '@aws-sdk/client-kms'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { makesMlKem } from '../../src/operations/ml-kem-pair.ts'
import { kms } from '../support/aws.ts'
import { expectRefusal, openScene, success, type Json, type Scene, type TestKey } from '../support/scene.ts'
import { commonSections } from '../support/sections.ts'

const operations = ['GenerateDataKeyPair', 'GenerateDataKeyPairWithoutPlaintext'] as const
const curve = (namedCurve: string) => ({ type: 'ec', details: { namedCurve } })
const rsa = (modulusLength: number) => ({ type: 'rsa', details: { modulusLength, publicExponent: 65537n } })
const pairs: Readonly<Record<string, { readonly type: string; readonly details: object }>> = {
  RSA_2048: rsa(2048), RSA_3072: rsa(3072), RSA_4096: rsa(4096), ECC_NIST_P256: curve('prime256v1'), ECC_NIST_P384: curve('secp384r1'), ECC_NIST_P521: curve('secp521r1'),
  ECC_SECG_P256K1: curve('secp256k1'), ECC_NIST_EDWARDS25519: { type: 'ed25519', details: {} },
}
const context = { tenant: 'blue' }

let scene: Scene
let client: KMSClient
let key: TestKey

beforeAll(async () => {
  scene = await openScene()
  client = kms(scene.trent.url)
  key = await scene.newKey()
})
afterAll(async () => {
  client.destroy()
  await scene.close()
})

for (const operation of operations) commonSections(operation, () => scene, ({ key: { id } }) => ({ KeyId: id, KeyPairSpec: 'ECC_NIST_P256' }))

const bytes = (value: unknown): Buffer => Buffer.from(String(value), 'base64')

describe.each(Object.entries(pairs))('a pair of spec %s', (KeyPairSpec, { type, details }) => {
  it.each(operations)('%s: two halves that fit, the private one under the key and its context', async operation => {
    const { KeyMetadata } = success(await scene.call('DescribeKey', { KeyId: key.id })) as { KeyMetadata: Json }
    const { PrivateKeyCiphertextBlob, PublicKey, PrivateKeyPlaintext, ...others } = success(await scene.call(operation, { KeyId: key.id, KeyPairSpec, EncryptionContext: context }))
    expect(others).toEqual({ KeyId: key.arn, KeyPairSpec, KeyMaterialId: KeyMetadata.CurrentKeyMaterialId })
    const { Plaintext } = success(await scene.call('Decrypt', { CiphertextBlob: PrivateKeyCiphertextBlob, EncryptionContext: context }))
    if (operation === 'GenerateDataKeyPair') expect(PrivateKeyPlaintext).toBe(Plaintext)
    else expect(PrivateKeyPlaintext).toBeUndefined()
    expectRefusal(await scene.call('Decrypt', { CiphertextBlob: PrivateKeyCiphertextBlob }), 'InvalidCiphertextException')

    const privateKey = createPrivateKey({ key: bytes(Plaintext), format: 'der', type: 'pkcs8' })
    const publicKey = createPublicKey({ key: bytes(PublicKey), format: 'der', type: 'spki' })
    expect({ type: publicKey.asymmetricKeyType, details: publicKey.asymmetricKeyDetails }).toEqual({ type, details })
    expect(createPublicKey(privateKey).equals(publicKey)).toBe(true)
    const digest = type === 'ed25519' ? null : 'sha256'
    expect(verify(digest, Buffer.from('message'), publicKey, sign(digest, Buffer.from('message'), privateKey))).toBe(true)
  }, 60_000)
})

describe('pairs', () => {
  it('are never the same', async () => {
    const made = await Promise.all(Array.from({ length: 20 }, async () => success(await scene.call('GenerateDataKeyPair', { KeyId: key.id, KeyPairSpec: 'ECC_NIST_P256' }))))
    expect(new Set(made.map(({ PublicKey }) => PublicKey)).size).toBe(20)
    expect(new Set(made.map(({ PrivateKeyPlaintext }) => PrivateKeyPlaintext)).size).toBe(20)
  })

  it('come through the SDK', async () => {
    const { PrivateKeyCiphertextBlob, PrivateKeyPlaintext } = await client.send(new GenerateDataKeyPairCommand({ KeyId: key.arn, KeyPairSpec: 'ECC_NIST_P384' }))
    const { Plaintext } = await client.send(new DecryptCommand({ CiphertextBlob: PrivateKeyCiphertextBlob }))
    expect(Buffer.from(Plaintext ?? [])).toEqual(Buffer.from(PrivateKeyPlaintext ?? []))
  })

  it('of specs that node:crypto does not make are refused with a clear text', async () => {
    for (const KeyPairSpec of makesMlKem() ? ['SM2'] : ['SM2', 'ML_KEM_512', 'ML_KEM_768', 'ML_KEM_1024']) {
      for (const operation of operations) expectRefusal(await scene.call(operation, { KeyId: key.id, KeyPairSpec }), 'UnsupportedOperationException', `KeyPairSpec ${KeyPairSpec} is not supported by this version of Trent.`)
    }
  })

  it('are encrypted under symmetric keys alone', async () => {
    const asymmetric = await scene.newKey({ KeySpec: 'RSA_2048', KeyUsage: 'ENCRYPT_DECRYPT' })
    const hmac = await scene.newKey({ KeySpec: 'HMAC_256', KeyUsage: 'GENERATE_VERIFY_MAC' })
    for (const operation of operations) {
      expectRefusal(await scene.call(operation, { KeyId: asymmetric.id, KeyPairSpec: 'ECC_NIST_P256' }), 'InvalidKeyUsageException', 'You cannot generate a data key with an asymmetric CMK')
      expectRefusal(await scene.call(operation, { KeyId: hmac.id, KeyPairSpec: 'ECC_NIST_P256' }), 'InvalidKeyUsageException', `${hmac.arn} key usage is GENERATE_VERIFY_MAC which is not valid for ${operation}.`)
    }
  })

  it('are not answered by a dry run', async () => {
    for (const operation of operations) {
      expectRefusal(await scene.call(operation, { KeyId: key.id, KeyPairSpec: 'ECC_NIST_P256', DryRun: true }), 'DryRunOperationException', 'The request would have succeeded, but the DryRun option is set.')
    }
  })
})
