import { constants, createPublicKey, publicEncrypt, randomBytes, type KeyObject } from 'node:crypto'
import { DecryptCommand, EncryptCommand, type KMSClient } from '@aws-sdk/client-kms'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { kms } from '../support/aws.ts'
import { expectRefusal, openScene, success, type Json, type Reply, type Scene, type TestKey } from '../support/scene.ts'
import { commonSections, type Fixture } from '../support/sections.ts'

const algorithms = { RSAES_OAEP_SHA_1: 'sha1', RSAES_OAEP_SHA_256: 'sha256' } as const
/** The longest plaintexts: AWS KMS developer guide, "Key spec reference". */
const limits = { RSA_2048: [214, 190], RSA_3072: [342, 318], RSA_4096: [470, 446] } as const
type Spec = keyof typeof limits
const hello = 'aGVsbG8='
const context = { tenant: 'blue' }

let scene: Scene
let client: KMSClient
let keys: Readonly<Record<Spec, TestKey>>
let symmetric: TestKey
const publicKeys = new Map<string, KeyObject>()

beforeAll(async () => {
  scene = await openScene()
  client = kms(scene.trent.url)
  const made: [Spec, TestKey][] = []
  for (const KeySpec of Object.keys(limits) as Spec[]) made.push([KeySpec, await scene.newKey({ KeySpec, KeyUsage: 'ENCRYPT_DECRYPT' })])
  keys = Object.fromEntries(made) as Record<Spec, TestKey>
  symmetric = await scene.newKey()
}, 60_000)
afterAll(async () => {
  client.destroy()
  await scene.close()
})

const encrypt = (KeyId: string, Plaintext: Buffer | string, EncryptionAlgorithm: string, more: Json = {}): Promise<Reply> =>
  scene.call('Encrypt', { KeyId, Plaintext: Plaintext.toString('base64'), EncryptionAlgorithm, ...more })
const decrypt = (KeyId: string | undefined, CiphertextBlob: Buffer | string, EncryptionAlgorithm: string | undefined, more: Json = {}): Promise<Reply> =>
  scene.call('Decrypt', { KeyId, CiphertextBlob: CiphertextBlob.toString('base64'), EncryptionAlgorithm, ...more })
const blobOf = (reply: Reply): Buffer => Buffer.from(String(success(reply).CiphertextBlob), 'base64')

async function publicKeyOf(keyId: string): Promise<KeyObject> {
  const known = publicKeys.get(keyId)
  if (known !== undefined) return known
  const { PublicKey } = success(await scene.call('GetPublicKey', { KeyId: keyId }))
  const key = createPublicKey({ key: Buffer.from(String(PublicKey), 'base64'), format: 'der', type: 'spki' })
  publicKeys.set(keyId, key)
  return key
}
const outside = async (keyId: string, message: Buffer, oaepHash: string): Promise<Buffer> =>
  publicEncrypt({ key: await publicKeyOf(keyId), padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash }, message)

const rsa = { KeySpec: 'RSA_2048', KeyUsage: 'ENCRYPT_DECRYPT' }
const sealed = async ({ key: { id } }: Fixture): Promise<string> => (await outside(id, Buffer.from('hello'), 'sha256')).toString('base64')
describe('with an RSA key', () => {
  commonSections('Encrypt', () => scene, ({ key: { id } }) => ({ KeyId: id, Plaintext: hello, EncryptionAlgorithm: 'RSAES_OAEP_SHA_256' }), rsa)
  commonSections('Decrypt', () => scene, async fixture => ({ KeyId: fixture.key.id, CiphertextBlob: await sealed(fixture), EncryptionAlgorithm: 'RSAES_OAEP_SHA_256' }), rsa)
  commonSections('ReEncrypt', () => scene, async fixture => ({
    SourceKeyId: fixture.key.id, CiphertextBlob: await sealed(fixture), SourceEncryptionAlgorithm: 'RSAES_OAEP_SHA_256', DestinationKeyId: fixture.other.id, DestinationEncryptionAlgorithm: 'RSAES_OAEP_SHA_1',
  }), rsa)
})

describe.each(Object.entries(limits) as [Spec, readonly number[]][])('a key of spec %s', (spec, most) => {
  const cases = Object.entries(algorithms).map(([algorithm, hash], index) => ({ algorithm, hash, limit: most[index] ?? 0 }))

  it('says what it is', async () => {
    const { KeyMetadata } = success(await scene.call('DescribeKey', { KeyId: keys[spec].id })) as { KeyMetadata: Json }
    expect(KeyMetadata).toMatchObject({ KeySpec: spec, KeyUsage: 'ENCRYPT_DECRYPT', EncryptionAlgorithms: Object.keys(algorithms) })
    expect(Object.keys(KeyMetadata)).not.toContain('CurrentKeyMaterialId')
    expect(success(await scene.call('GetPublicKey', { KeyId: keys[spec].id }))).toMatchObject({ EncryptionAlgorithms: Object.keys(algorithms), KeyUsage: 'ENCRYPT_DECRYPT', KeySpec: spec })
  })

  it.each(cases)('$algorithm: round trips up to $limit bytes, of its own ciphertexts and of those of node:crypto', async ({ algorithm, hash, limit }) => {
    for (const length of [1, limit - 1, limit]) {
      const message = randomBytes(length)
      const { CiphertextBlob, ...others } = success(await encrypt(keys[spec].id, message, algorithm))
      expect(others).toEqual({ KeyId: keys[spec].arn, EncryptionAlgorithm: algorithm })
      const blob = Buffer.from(String(CiphertextBlob), 'base64')
      expect(blob).toHaveLength(Number(spec.slice(4)) / 8)
      for (const one of [blob, await outside(keys[spec].id, message, hash)]) {
        expect(success(await decrypt(keys[spec].arn, one, algorithm))).toEqual({ KeyId: keys[spec].arn, Plaintext: message.toString('base64'), EncryptionAlgorithm: algorithm })
      }
    }
    for (const length of [limit + 1, 4096]) {
      expectRefusal(await encrypt(keys[spec].id, Buffer.alloc(length), algorithm), 'ValidationException', `Algorithm ${algorithm} and key spec ${spec} cannot encrypt data larger than ${limit} bytes.`)
    }
  })

  it.each(cases)('$algorithm: whatever is wrong with a ciphertext is refused with one error and no word', async ({ algorithm, hash }) => {
    const good = await outside(keys[spec].id, Buffer.from('message'), hash)
    const wrong = [
      ...[0, 100, good.length - 1].map(at => Buffer.from(good).fill((good[at] ?? 0) ^ 1, at, at + 1)), good.subarray(1), good.subarray(0, -1), Buffer.concat([good, Buffer.alloc(1)]),
      Buffer.alloc(good.length), Buffer.alloc(good.length, 0xff), Buffer.alloc(1), Buffer.alloc(6144, 7), await outside(keys[spec].id, Buffer.from('message'), hash === 'sha1' ? 'sha256' : 'sha1'),
      publicEncrypt({ key: await publicKeyOf(keys[spec].id), padding: constants.RSA_PKCS1_PADDING }, Buffer.from('message')), await outside(keys[spec].id, Buffer.alloc(0), hash),
    ]
    for (const blob of wrong) expectRefusal(await decrypt(keys[spec].id, blob, algorithm), 'InvalidCiphertextException', undefined, blob.toString('hex'))
  })

  it('works through the SDK', async () => {
    const EncryptionAlgorithm = 'RSAES_OAEP_SHA_256'
    const { CiphertextBlob } = await client.send(new EncryptCommand({ KeyId: keys[spec].id, Plaintext: Buffer.from('hello'), EncryptionAlgorithm }))
    const { Plaintext } = await client.send(new DecryptCommand({ KeyId: keys[spec].id, CiphertextBlob, EncryptionAlgorithm }))
    expect(Buffer.from(Plaintext ?? []).toString()).toBe('hello')
  })
})

describe('what an RSA ciphertext does not say', () => {
  it('its key must be named, and its algorithm too', async () => {
    const blob = await outside(keys.RSA_2048.id, Buffer.from('hello'), 'sha256')
    expectRefusal(await decrypt(undefined, blob, 'RSAES_OAEP_SHA_256'), 'InvalidCiphertextException')
    expectRefusal(await decrypt(undefined, blob, undefined), 'InvalidCiphertextException')
    expectRefusal(await decrypt(keys.RSA_2048.id, blob, undefined), 'InvalidCiphertextException')
  })

  it('another key of the same size refuses it', async () => {
    const other = await scene.newKey(rsa)
    expectRefusal(await decrypt(other.id, await outside(keys.RSA_2048.id, Buffer.from('hello'), 'sha256'), 'RSAES_OAEP_SHA_256'), 'InvalidCiphertextException')
  })

  it('algorithms and kinds of key do not mix', async () => {
    const blob = blobOf(await encrypt(symmetric.id, hello, 'SYMMETRIC_DEFAULT'))
    expectRefusal(await encrypt(keys.RSA_2048.id, hello, 'SYMMETRIC_DEFAULT'), 'InvalidKeyUsageException', 'Algorithm SYMMETRIC_DEFAULT is incompatible with key spec RSA_2048.')
    expectRefusal(await encrypt(keys.RSA_2048.id, hello, 'SM2PKE'), 'InvalidKeyUsageException', 'Algorithm SM2PKE is incompatible with key spec RSA_2048.')
    expectRefusal(await decrypt(symmetric.id, blob, 'RSAES_OAEP_SHA_1'), 'InvalidKeyUsageException', 'Algorithm RSAES_OAEP_SHA_1 is incompatible with key spec SYMMETRIC_DEFAULT.')
    expectRefusal(await decrypt(keys.RSA_2048.id, blob, undefined), 'IncorrectKeyException', 'The key ID in the request does not identify a CMK that can perform this operation.')
    expectRefusal(await scene.call('GenerateDataKey', { KeyId: keys.RSA_2048.id, KeySpec: 'AES_256' }), 'InvalidKeyUsageException', 'You cannot generate a data key with an asymmetric CMK')
  })

  it('has no place for an encryption context; an empty one is none', async () => {
    const text = 'EncryptionContext is not supported with algorithm RSAES_OAEP_SHA_256.'
    const blob = blobOf(await encrypt(keys.RSA_2048.id, hello, 'RSAES_OAEP_SHA_256', { EncryptionContext: {} }))
    expectRefusal(await encrypt(keys.RSA_2048.id, hello, 'RSAES_OAEP_SHA_256', { EncryptionContext: context }), 'ValidationException', text)
    expectRefusal(await decrypt(keys.RSA_2048.id, blob, 'RSAES_OAEP_SHA_256', { EncryptionContext: context }), 'ValidationException', text)
    success(await decrypt(keys.RSA_2048.id, blob, 'RSAES_OAEP_SHA_256', { EncryptionContext: {} }))
  })
})

describe('ReEncrypt', () => {
  const algorithm = 'RSAES_OAEP_SHA_256'

  it('goes from a symmetric key to an RSA key and back, and names the material of the symmetric side alone', async () => {
    const { KeyMetadata: { CurrentKeyMaterialId } } = success(await scene.call('DescribeKey', { KeyId: symmetric.id })) as { KeyMetadata: Json }
    const blob = blobOf(await encrypt(symmetric.id, hello, 'SYMMETRIC_DEFAULT', { EncryptionContext: context }))
    const { CiphertextBlob, ...there } = success(await scene.call('ReEncrypt', {
      CiphertextBlob: blob.toString('base64'), SourceEncryptionContext: context, DestinationKeyId: keys.RSA_3072.id, DestinationEncryptionAlgorithm: algorithm,
    }))
    expect(there).toEqual({ SourceKeyId: symmetric.arn, KeyId: keys.RSA_3072.arn, SourceEncryptionAlgorithm: 'SYMMETRIC_DEFAULT', DestinationEncryptionAlgorithm: algorithm, SourceKeyMaterialId: CurrentKeyMaterialId })
    const { CiphertextBlob: returned, ...back } = success(await scene.call('ReEncrypt', { SourceKeyId: keys.RSA_3072.id, CiphertextBlob, SourceEncryptionAlgorithm: algorithm, DestinationKeyId: symmetric.id }))
    expect(back).toEqual({ SourceKeyId: keys.RSA_3072.arn, KeyId: symmetric.arn, SourceEncryptionAlgorithm: algorithm, DestinationEncryptionAlgorithm: 'SYMMETRIC_DEFAULT', DestinationKeyMaterialId: CurrentKeyMaterialId })
    expect(success(await scene.call('Decrypt', { CiphertextBlob: returned })).Plaintext).toBe(hello)
  })

  it('refuses a plaintext that does not fit the destination with the text of Encrypt', async () => {
    const blob = blobOf(await encrypt(symmetric.id, Buffer.alloc(191), 'SYMMETRIC_DEFAULT'))
    expectRefusal(await scene.call('ReEncrypt', { CiphertextBlob: blob.toString('base64'), DestinationKeyId: keys.RSA_2048.id, DestinationEncryptionAlgorithm: algorithm }), 'ValidationException',
      `Algorithm ${algorithm} and key spec RSA_2048 cannot encrypt data larger than 190 bytes.`)
  })

  it('refuses a context on an RSA side, a wrong ciphertext, and a wrong algorithm', async () => {
    const blob = (await outside(keys.RSA_2048.id, Buffer.from('hello'), 'sha256')).toString('base64')
    const whole = { SourceKeyId: keys.RSA_2048.id, CiphertextBlob: blob, SourceEncryptionAlgorithm: algorithm, DestinationKeyId: symmetric.id }
    expectRefusal(await scene.call('ReEncrypt', { ...whole, SourceEncryptionContext: context }), 'ValidationException', `EncryptionContext is not supported with algorithm ${algorithm}.`)
    expectRefusal(await scene.call('ReEncrypt', { ...whole, SourceEncryptionAlgorithm: 'RSAES_OAEP_SHA_1' }), 'InvalidCiphertextException')
    expectRefusal(await scene.call('ReEncrypt', { ...whole, DestinationEncryptionAlgorithm: algorithm }), 'InvalidKeyUsageException', `Algorithm ${algorithm} is incompatible with key spec SYMMETRIC_DEFAULT.`)
    expectRefusal(await scene.call('ReEncrypt', { ...whole, DryRun: true }), 'DryRunOperationException', 'The request would have succeeded, but the DryRun option is set.')
  })
})
