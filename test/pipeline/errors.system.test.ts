// Errors as AWS KMS words them, one row each: the operation, what is sent, and exactly what comes back. The rows were recorded from AWS
// or stand in its documentation; clients match on type and text.
import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, describe, inject, it } from 'vitest'
import { defaultKeyPolicy } from '../../src/authz/default-policy.ts'
import type { KeySpecName, KeyUsage } from '../../src/keys/spec.ts'
import { insertKey } from '../../src/store/keys.ts'
import { putKeyPolicy } from '../../src/store/policies.ts'
import { expectRefusal, keyArn, openScene, policyOf, statement, success, type Json, type Scene, type TestKey } from '../support/scene.ts'

interface Stage {
  readonly key: TestKey
  readonly other: TestKey
  readonly pendingImport: TestKey
  readonly signing: TestKey
  readonly mac: TestKey
  readonly agreement: TestKey
  /** Of `key`: without context, and with one. */
  readonly free: string
  readonly bound: string
}

type Case = readonly [
  what: string, operation: string, input: Json | string | ((stage: Stage) => Json), type: string,
  /** Left out: AWS sends no message. */
  text?: string | ((stage: Stage) => string),
]

let scene: Scene
let stage: Stage
const { account } = inject('installation')
const absent = randomUUID()
const absentMrk = 'mrk-1234abcd12ab34cd56ef1234567890ab'
const blob = 'aGVsbG8='
const incorrectKey = 'The key ID in the request does not identify a CMK that can perform this operation.'
const allow = statement('Allow', 'kms:*', { AWS: account })
const policy = (...statements: readonly Json[]): Json => ({ Policy: JSON.stringify(policyOf(...statements)) })
const broken = (value: string, path: string, clause: string): string => `1 validation error detected: ${value} at '${path}' failed to satisfy constraint: Member must ${clause}`
const usage = (key: keyof Stage, name: KeyUsage) => (made: Stage): string => `${(made[key] as TestKey).arn} key usage is ${name} which is not valid for Encrypt.`

const identifiers: readonly Case[] = [
  ['a key id that is none', 'DescribeKey', { KeyId: 'fake-key-id' }, 'NotFoundException', "Invalid keyId 'fake-key-id'"],
  ['a key id without dashes', 'DescribeKey', { KeyId: '134f2428cec14b25a1ae9048164dba47' }, 'NotFoundException', "Invalid keyId '134f2428cec14b25a1ae9048164dba47'"],
  ['a multi-Region key id that is none', 'DescribeKey', { KeyId: 'mrk-fake-key-id' }, 'NotFoundException', "Invalid keyId 'mrk-fake-key-id'"],
  ['a multi-Region key that is not there', 'DescribeKey', { KeyId: absentMrk }, 'NotFoundException', `Key '${keyArn(absentMrk)}' does not exist`],
  ['a key that is not there, by id', 'DescribeKey', { KeyId: absent }, 'NotFoundException', `Key '${keyArn(absent)}' does not exist`],
  ['a key that is not there, by ARN', 'Encrypt', { KeyId: keyArn(absent), Plaintext: blob }, 'NotFoundException', `Key '${keyArn(absent)}' does not exist`],
  ['a key of another Region', 'DescribeKey', ({ key }) => ({ KeyId: key.arn.replace('onprem-1', 'us-east-2') }), 'NotFoundException', 'Invalid arn us-east-2'],
  ['an alias that is not there', 'Encrypt', { KeyId: 'alias/none', Plaintext: blob }, 'NotFoundException', `Alias arn:aws:kms:onprem-1:${account}:alias/none is not found.`],
  ['an alias of another Region', 'DescribeKey', { KeyId: `arn:aws:kms:us-west-1:${account}:alias/x` }, 'NotFoundException', 'Invalid arn us-west-1'],
]

const constraints: readonly Case[] = [
  ['no bytes at all', 'GenerateRandom', { NumberOfBytes: 0 }, 'ValidationException', broken("Value '0'", 'numberOfBytes', 'have value greater than or equal to 1')],
  ['too many bytes', 'GenerateRandom', { NumberOfBytes: 1025 }, 'ValidationException', broken("Value '1025'", 'numberOfBytes', 'have value less than or equal to 1024')],
  ['no number of bytes', 'GenerateRandom', {}, 'ValidationException', 'NumberOfBytes is required.'],
  ['an absent custom key store', 'GenerateRandom', { NumberOfBytes: 1, CustomKeyStoreId: 'cks-1' }, 'CustomKeyStoreNotFoundException'],
  ['4,097 bytes of plaintext', 'Encrypt', ({ key }) => ({ KeyId: key.id, Plaintext: Buffer.alloc(4097).toString('base64') }), 'ValidationException', broken('Value', 'plaintext', 'have length less than or equal to 4096')],
  ['an empty plaintext', 'Encrypt', ({ key }) => ({ KeyId: key.id, Plaintext: '' }), 'ValidationException', broken('Value', 'plaintext', 'have length greater than or equal to 1')],
  ['an empty key id', 'DescribeKey', { KeyId: '' }, 'ValidationException', broken("Value ''", 'keyId', 'have length greater than or equal to 1')],
  ['no key id', 'DescribeKey', {}, 'ValidationException', broken('Value null', 'keyId', 'not be null')],
  ['a page of none', 'ListKeys', { Limit: 0 }, 'ValidationException', broken("Value '0'", 'limit', 'have value greater than or equal to 1')],
  ['a page beyond 1,000', 'ListKeys', { Limit: 1001 }, 'ValidationException', broken("Value '1001'", 'limit', 'have value less than or equal to 1000')],
  ['a marker that is none', 'ListKeys', { Marker: 'none' }, 'InvalidMarkerException'],
  ['two faults at once', 'ListKeys', { Limit: 0, Marker: '' }, 'ValidationException', "2 validation errors detected: Value '0' at 'limit' failed to satisfy constraint: Member must have value greater than or equal to 1; Value '' at 'marker' failed to satisfy constraint: Member must have length greater than or equal to 1"],
]

const protocol: readonly Case[] = [
  ['a body that is no JSON', 'DescribeKey', 'KeyId', 'SerializationException'],
  ['a body that is a list', 'DescribeKey', '[]', 'SerializationException', 'Start of list found where not expected'],
  ['a string for an integer', 'GenerateRandom', { NumberOfBytes: '5' }, 'SerializationException', 'STRING_VALUE can not be converted to an Integer'],
  ['a number for a string', 'DescribeKey', { KeyId: 5 }, 'SerializationException', 'NUMBER_VALUE can not be converted to a String'],
  ['true for a string', 'DescribeKey', { KeyId: true }, 'SerializationException', 'TRUE_VALUE can not be converted to a String'],
  ['true for an integer', 'ListKeys', { Limit: true }, 'SerializationException', 'TRUE_VALUE can not be converted to an Integer'],
  ['a list for a scalar', 'DescribeKey', { KeyId: ['x'] }, 'SerializationException', 'Start of list found where not expected'],
  ['an object for a scalar', 'DescribeKey', { KeyId: {} }, 'SerializationException', 'Start of structure or map found where not expected.'],
  ['a scalar for a list', 'DescribeKey', { KeyId: 'x', GrantTokens: 'y' }, 'SerializationException', 'Expected list or null'],
  ['a scalar for a structure', 'GenerateRandom', { NumberOfBytes: 1, Recipient: 'x' }, 'SerializationException', 'Expected null'],
  ['a type and a range at once', 'ListKeys', { Limit: 0, Marker: 5 }, 'SerializationException', 'NUMBER_VALUE can not be converted to a String'],
  ['an operation that is none', 'EncryptAll', {}, 'UnknownOperationException'],
]

const creation: readonly Case[] = [
  ['an HMAC key without a usage', 'CreateKey', { KeySpec: 'HMAC_256' }, 'ValidationException', 'You must specify a KeyUsage value for all KMS keys except for symmetric encryption keys.'],
  ['a usage that does not go with the spec', 'CreateKey', { KeySpec: 'RSA_2048', KeyUsage: 'KEY_AGREEMENT' }, 'ValidationException', 'KeyUsage KEY_AGREEMENT is not compatible with KeySpec RSA_2048'],
  ['a symmetric key that shall sign', 'CreateKey', { KeyUsage: 'SIGN_VERIFY' }, 'ValidationException', 'KeyUsage SIGN_VERIFY is not compatible with KeySpec SYMMETRIC_DEFAULT'],
  [
    'a spec that is none', 'CreateKey', { KeySpec: 'HMAC_random' }, 'ValidationException',
    broken("Value 'HMAC_random'", 'keySpec', 'satisfy enum value set: [RSA_2048, ECC_NIST_P384, ECC_NIST_P256, ECC_NIST_P521, HMAC_384, RSA_3072, ECC_SECG_P256K1, RSA_4096, SYMMETRIC_DEFAULT, HMAC_256, HMAC_224, HMAC_512, SM2, ML_DSA_44, ML_DSA_65, ML_DSA_87, ECC_NIST_EDWARDS25519, ML_KEM_512, ML_KEM_768, ML_KEM_1024]'),
  ],
  ['a usage that is none', 'CreateKey', { KeyUsage: 'RANDOM' }, 'ValidationException', broken("Value 'RANDOM'", 'keyUsage', 'satisfy enum value set: [ENCRYPT_DECRYPT, SIGN_VERIFY, GENERATE_VERIFY_MAC, KEY_AGREEMENT, ENCAPSULATE_DECAPSULATE]')],
  ['both members for the spec', 'CreateKey', { KeySpec: 'SYMMETRIC_DEFAULT', CustomerMasterKeySpec: 'SYMMETRIC_DEFAULT' }, 'ValidationException', 'You cannot specify KeySpec and CustomerMasterKeySpec in the same request. CustomerMasterKeySpec is deprecated.'],
  ['a custom key store that is not there', 'CreateKey', { Origin: 'AWS_CLOUDHSM', CustomKeyStoreId: 'cks-1' }, 'CustomKeyStoreNotFoundException'],
  ['51 tags', 'CreateKey', { Tags: Array.from({ length: 51 }, (_, index) => ({ TagKey: `k${index}`, TagValue: '' })) }, 'TagException', 'Too many tags'],
  ['a tag twice', 'CreateKey', { Tags: [{ TagKey: 'k', TagValue: '1' }, { TagKey: 'k', TagValue: '2' }] }, 'TagException', 'Duplicate tag keys'],
  ['a reserved tag', 'CreateKey', { Tags: [{ TagKey: 'aws:key1', TagValue: 'v' }] }, 'TagException', 'Tags beginning with aws: are reserved'],
  ['a reserved tag in capitals', 'CreateKey', { Tags: [{ TagKey: 'AWS:key1', TagValue: 'v' }] }, 'TagException', 'Tags beginning with aws: are reserved'],
  ['a tag key of 129 characters', 'CreateKey', { Tags: [{ TagKey: 'k'.repeat(129), TagValue: 'v' }] }, 'ValidationException', broken(`Value '${'k'.repeat(129)}'`, 'tags.1.member.tagKey', 'have length less than or equal to 128')],
  ['a tag value of 257 characters', 'CreateKey', { Tags: [{ TagKey: 'k', TagValue: 'v'.repeat(257) }] }, 'ValidationException', broken(`Value '${'v'.repeat(257)}'`, 'tags.1.member.tagValue', 'have length less than or equal to 256')],
]

const policies: readonly Case[] = [
  ['a policy that locks its maker out', 'CreateKey', policy(statement('Allow', 'kms:*', { AWS: '444455556666' })), 'MalformedPolicyDocumentException', 'The new key policy will not allow you to update the key policy in the future.'],
  ['a principal that is a pattern', 'CreateKey', policy(allow, statement('Allow', 'kms:*', { AWS: `arn:aws:iam::${account}:role/Admin*` })), 'MalformedPolicyDocumentException', 'Policy contains a statement with one or more invalid principals.'],
  ['a principal whose ARN is none', 'CreateKey', policy(allow, statement('Allow', 'kms:*', { AWS: 'arn:aws:iam::1:user/x' })), 'InvalidArnException', 'An ARN in the specified key policy is invalid.'],
  ['a statement without a principal', 'CreateKey', policy(allow, statement('Allow', 'kms:*')), 'MalformedPolicyDocumentException', 'Policy contains a statement with no principal.'],
  ['a policy beyond 32 KiB', 'CreateKey', { Policy: String(policy(allow).Policy).padEnd(32_769) }, 'LimitExceededException'],
]

const cryptography: readonly Case[] = [
  ['a key whose import is pending', 'Encrypt', ({ pendingImport }) => ({ KeyId: pendingImport.id, Plaintext: blob }), 'KMSInvalidStateException', ({ pendingImport }) => `${pendingImport.arn} is pending import.`],
  ['a signing key', 'Encrypt', ({ signing }) => ({ KeyId: signing.id, Plaintext: blob }), 'InvalidKeyUsageException', usage('signing', 'SIGN_VERIFY')],
  ['an HMAC key and an odd algorithm', 'Encrypt', ({ mac }) => ({ KeyId: mac.arn, Plaintext: blob, EncryptionAlgorithm: 'RSAES_OAEP_SHA_256' }), 'InvalidKeyUsageException', usage('mac', 'GENERATE_VERIFY_MAC')],
  ['a key for agreement', 'Encrypt', ({ agreement }) => ({ KeyId: agreement.id, Plaintext: blob }), 'InvalidKeyUsageException', usage('agreement', 'KEY_AGREEMENT')],
  ['an algorithm of another spec', 'Encrypt', ({ key }) => ({ KeyId: key.id, Plaintext: blob, EncryptionAlgorithm: 'RSAES_OAEP_SHA_1' }), 'InvalidKeyUsageException', 'Algorithm RSAES_OAEP_SHA_1 is incompatible with key spec SYMMETRIC_DEFAULT.'],
  ['another key', 'Decrypt', ({ free, other }) => ({ CiphertextBlob: free, KeyId: other.id }), 'IncorrectKeyException', incorrectKey],
  ['a key of another usage', 'Decrypt', ({ free, mac }) => ({ CiphertextBlob: free, KeyId: mac.id }), 'IncorrectKeyException', incorrectKey],
  ['no context', 'Decrypt', ({ bound }) => ({ CiphertextBlob: bound }), 'InvalidCiphertextException'],
  ['another context', 'Decrypt', ({ bound }) => ({ CiphertextBlob: bound, EncryptionContext: { a: 'c' } }), 'InvalidCiphertextException'],
  ['what is no ciphertext', 'Decrypt', { CiphertextBlob: blob }, 'InvalidCiphertextException'],
  ['a byte behind the ciphertext', 'Decrypt', ({ free }) => ({ CiphertextBlob: Buffer.concat([Buffer.from(free, 'base64'), Buffer.from('x')]).toString('base64') }), 'InvalidCiphertextException'],
  ['a dry run that would have succeeded', 'Encrypt', ({ key }) => ({ KeyId: key.id, Plaintext: blob, DryRun: true }), 'DryRunOperationException', 'The request would have succeeded, but the DryRun option is set.'],
]

beforeAll(async () => {
  scene = await openScene()
  const [key, other, pendingImport] = [await scene.newKey(), await scene.newKey(), await scene.newKey()]
  const rowOnly = async (spec: KeySpecName, keyUsage: KeyUsage): Promise<TestKey> => {
    const id = randomUUID()
    await scene.change(async tx => {
      await insertKey(tx, { id, accountId: account, region: 'onprem-1', spec, usage: keyUsage, origin: 'AWS_KMS', state: 'Enabled', description: '', multiRegion: false, manager: 'CUSTOMER' })
      await putKeyPolicy(tx, id, defaultKeyPolicy(account))
    })
    return { id, arn: keyArn(id) }
  }
  await scene.setState(pendingImport.id, 'PendingImport')
  const sealed = async (EncryptionContext?: Json): Promise<string> => String(success(await scene.call('Encrypt', { KeyId: key.id, Plaintext: blob, EncryptionContext })).CiphertextBlob)
  stage = {
    key, other, pendingImport, signing: await rowOnly('RSA_2048', 'SIGN_VERIFY'), mac: await rowOnly('HMAC_256', 'GENERATE_VERIFY_MAC'), agreement: await rowOnly('ECC_NIST_P256', 'KEY_AGREEMENT'),
    free: await sealed(), bound: await sealed({ a: 'b' }),
  }
})
afterAll(() => scene.close())

describe.each([
  ['names', identifiers], ['constraints', constraints], ['the protocol', protocol], ['CreateKey', creation], ['key policies', policies], ['cryptography', cryptography],
] as const)('errors of %s', (_kind, cases) => {
  for (const [what, operation, input, type, text] of cases) {
    it(`${operation} with ${what} is ${type}`, async () => {
      expectRefusal(await scene.call(operation, typeof input === 'function' ? input(stage) : input), type, typeof text === 'function' ? text(stage) : text)
    })
  }
})
