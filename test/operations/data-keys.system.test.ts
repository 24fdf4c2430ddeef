import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest'
import { admin, deniedOn, deniedUnseen, noIdentityPolicy } from '../support/denials.ts'
import { rowKey } from '../support/rows.ts'
import { expectRefusal, openScene, policyOf, statement, success, type Json, type Reply, type Scene, type TestKey } from '../support/scene.ts'
import { commonSections } from '../support/sections.ts'
import { recordOf } from '../support/trail.ts'

let scene: Scene
let key: TestKey
const { account, identities } = inject('installation')
const { plain, foreign } = identities

beforeAll(async () => {
  scene = await openScene()
  key = await scene.newKey()
})
afterAll(() => scene.close())

commonSections('GenerateDataKey', () => scene, ({ key: { id } }) => ({ KeyId: id, KeySpec: 'AES_256' }))
commonSections('GenerateDataKeyWithoutPlaintext', () => scene, ({ key: { id } }) => ({ KeyId: id, NumberOfBytes: 16 }))

const both = ['GenerateDataKey', 'GenerateDataKeyWithoutPlaintext'] as const
const generate = (operation: string, input: Json, as?: typeof plain): Promise<Reply> => scene.call(operation, { KeyId: key.id, ...input }, as)
const decrypt = (CiphertextBlob: unknown, input: Json = {}): Promise<Reply> => scene.call('Decrypt', { CiphertextBlob, ...input })
const bytes = (base64: unknown): Buffer => Buffer.from(String(base64), 'base64')

describe.each(both)('%s: behaviour', operation => {
  it('answers exactly its members: the plaintext only in the one that says so', async () => {
    const answer = success(await generate(operation, { KeySpec: 'AES_256' }))
    expect(Object.keys(answer).sort()).toEqual(['CiphertextBlob', 'KeyId', 'KeyMaterialId', ...(operation === 'GenerateDataKey' ? ['Plaintext'] : [])])
    expect(answer).toMatchObject({ KeyId: key.arn, KeyMaterialId: expect.stringMatching(/^[0-9a-f]{64}$/) as string })
    const { CurrentKeyMaterialId } = success(await scene.call('DescribeKey', { KeyId: key.id })).KeyMetadata as Json
    expect(answer.KeyMaterialId).toBe(CurrentKeyMaterialId)
  })

  it.each([[{ KeySpec: 'AES_128' }, 16], [{ KeySpec: 'AES_256' }, 32], [{ NumberOfBytes: 1 }, 1], [{ NumberOfBytes: 24 }, 24], [{ NumberOfBytes: 64 }, 64], [{ NumberOfBytes: 1024 }, 1024]])(
    'makes of %j a data key of %i bytes that Decrypt gives back', async (size, length) => {
      const { CiphertextBlob, Plaintext } = success(await generate(operation, size))
      const opened = success(await decrypt(CiphertextBlob)).Plaintext
      expect(bytes(opened)).toHaveLength(length)
      if (operation === 'GenerateDataKey') expect(opened).toBe(Plaintext)
    })

  it('binds the data key to its context', async () => {
    const EncryptionContext = { tenant: 'blue', purpose: 'disk' }
    const { CiphertextBlob } = success(await generate(operation, { KeySpec: 'AES_256', EncryptionContext }))
    success(await decrypt(CiphertextBlob, { EncryptionContext: { purpose: 'disk', tenant: 'blue' } }))
    for (const wrong of [undefined, {}, { tenant: 'blue' }, { ...EncryptionContext, more: '' }, { tenant: 'Blue', purpose: 'disk' }]) {
      expectRefusal(await decrypt(CiphertextBlob, { EncryptionContext: wrong }), 'InvalidCiphertextException', undefined, JSON.stringify(wrong))
    }
  })

  it('takes no context, {} and null for the same', async () => {
    for (const EncryptionContext of [undefined, {}, null]) {
      const { CiphertextBlob } = success(await generate(operation, { KeySpec: 'AES_128', EncryptionContext }))
      success(await decrypt(CiphertextBlob))
      success(await decrypt(CiphertextBlob, { EncryptionContext: {} }))
    }
  })

  it('never makes the same data key twice, also not for requests at once', async () => {
    const answers = await Promise.all(Array.from({ length: 20 }, () => generate(operation, { KeySpec: 'AES_256' })))
    const opened = await Promise.all(answers.map(async reply => success(await decrypt(success(reply).CiphertextBlob)).Plaintext))
    expect(new Set(opened).size).toBe(20)
  })

  it('refuses both sizes and neither', async () => {
    for (const size of [{}, { KeySpec: 'AES_256', NumberOfBytes: 32 }, { KeySpec: null, NumberOfBytes: null }]) {
      expectRefusal(await generate(operation, size), 'ValidationException', 'Please specify either number of bytes or key spec.')
    }
  })

  it('names the key specs of CreateKey for an unknown one, as AWS does', async () => {
    const { body } = await generate(operation, { KeySpec: 'AES_512' })
    expect(body).toEqual({ __type: 'ValidationException', message: expect.stringMatching(/^1 validation error detected: Value 'AES_512' at 'keySpec' failed to satisfy constraint: Member must satisfy enum value set: \[RSA_2048, ECC_NIST_P384, .*\]$/) as string })
  })

  it.each([
    ['RSA_2048', 'SIGN_VERIFY', (arn: string) => `${arn} key usage is SIGN_VERIFY which is not valid for ${operation}.`],
    ['HMAC_256', 'GENERATE_VERIFY_MAC', (arn: string) => `${arn} key usage is GENERATE_VERIFY_MAC which is not valid for ${operation}.`],
    ['RSA_2048', 'ENCRYPT_DECRYPT', () => 'You cannot generate a data key with an asymmetric CMK'],
  ] as const)('refuses a key of spec %s and usage %s', async (spec, usage, text) => {
    const { id, arn } = await rowKey(scene, { spec, usage })
    expectRefusal(await generate(operation, { KeyId: id, KeySpec: 'AES_256' }), 'InvalidKeyUsageException', text(arn))
  })

  it('as a dry run makes nothing and says that it would have', async () => {
    const dry = await generate(operation, { KeySpec: 'AES_256', DryRun: true })
    expectRefusal(dry, 'DryRunOperationException', 'The request would have succeeded, but the DryRun option is set.')
    expectRefusal(await generate(operation, { KeySpec: 'AES_256', DryRun: true }, plain), 'AccessDeniedException', deniedOn(plain, `kms:${operation}`, key.arn, noIdentityPolicy(`kms:${operation}`)))
    success(await generate(operation, { KeySpec: 'AES_256', DryRun: false }))
  })

  it('is used from another account when both sides allow', async () => {
    const { id, arn } = await scene.newKey()
    const input = { KeyId: arn, KeySpec: 'AES_256' }
    expectRefusal(await scene.call(operation, input, foreign), 'AccessDeniedException', deniedUnseen(foreign, `kms:${operation}`))
    const Policy = JSON.stringify(policyOf(statement('Allow', 'kms:*', { AWS: account }), statement('Allow', `kms:${operation}`, { AWS: foreign.arn })))
    success(await scene.call('PutKeyPolicy', { KeyId: id, Policy }))
    expect(success(await scene.call(operation, input, foreign)).KeyId).toBe(arn)
  })

  it('is recorded with its size and context, and without the data key', async () => {
    const EncryptionContext = { tenant: 'blue' }
    const reply = await generate(operation, { NumberOfBytes: 40, EncryptionContext })
    const { KeyMaterialId, ...others } = success(reply) as { KeyMaterialId: string; CiphertextBlob: string; Plaintext?: string }
    const record = await recordOf(scene.pool, reply.headers.get('x-amzn-requestid') ?? '')
    expect(record).toMatchObject({
      eventName: operation, readOnly: true, requestParameters: { keyId: key.id, numberOfBytes: 40, encryptionContext: EncryptionContext }, responseElements: null,
      additionalEventData: { keyMaterialId: KeyMaterialId }, resources: [{ ARN: key.arn, accountId: account, type: 'AWS::KMS::Key' }], userIdentity: { arn: admin.arn },
    })
    for (const hidden of [others.CiphertextBlob, others.Plaintext ?? others.CiphertextBlob]) expect(JSON.stringify(record)).not.toContain(hidden)
  })
})

describe('GenerateDataKey with a Recipient', () => {
  it('is refused rather than answered in clear', async () => {
    const Recipient = { KeyEncryptionAlgorithm: 'RSAES_OAEP_SHA_256', AttestationDocument: 'aGVsbG8=' }
    expectRefusal(await generate('GenerateDataKey', { KeySpec: 'AES_256', Recipient }), 'UnsupportedOperationException', 'No root of trust for attestation documents is configured: Recipient cannot be verified.')
  })
})
