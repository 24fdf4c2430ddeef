// Errors of the everyday operations as AWS KMS words them: scenario by scenario, each for every operation that it concerns.
import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, describe, inject, it } from 'vitest'
import { insertAlias } from '../../src/store/aliases.ts'
import { deniedByCiphertext, deniedByIdentity, deniedByKey, deniedOn, noIdentityPolicy } from '../support/denials.ts'
import { rowKey } from '../support/rows.ts'
import { expectRefusal, keyArn, openScene, policyOf, statement, success, type Json, type Scene, type TestKey } from '../support/scene.ts'

interface Stage {
  readonly key: TestKey
  readonly other: TestKey
  /** Its policy denies everyone kms:Generate* and kms:Get*. */
  readonly denying: TestKey
  readonly disabled: TestKey
  readonly deleted: TestKey
  readonly signing: TestKey
  readonly rsa: TestKey
  /** Has 50 aliases. */
  readonly full: TestKey
  readonly ciphertext: string
}

interface Case {
  readonly scenario: string
  readonly operations: readonly string[]
  readonly input: Json | string | ((stage: Stage, operation: string) => Json)
  readonly type: string
  /** Left out: AWS sends no message. */
  readonly text?: string | ((stage: Stage, operation: string) => string)
  readonly as?: typeof plain
}

let scene: Scene
let stage: Stage
const { account, identities } = inject('installation')
const { plain, root } = identities
const absent = randomUUID()
const dataKeys = ['GenerateDataKey', 'GenerateDataKeyWithoutPlaintext']
const onKeyId = ['EnableKey', 'DisableKey', 'UpdateKeyDescription', 'GetKeyPolicy', 'PutKeyPolicy', 'ListKeyPolicies', 'TagResource', 'UntagResource', 'ListResourceTags']
const all = ['ReEncrypt', ...dataKeys, 'CreateAlias', 'UpdateAlias', 'DeleteAlias', 'ListAliases', ...onKeyId]
const open = JSON.stringify(policyOf(statement('Allow', 'kms:*', { AWS: account })))
const aliasArn = (name: string): string => keyArn('').replace('key/', name)

/** Whatever an operation needs besides the key. */
const rest: Readonly<Record<string, Json>> = {
  GenerateDataKey: { KeySpec: 'AES_256' }, GenerateDataKeyWithoutPlaintext: { KeySpec: 'AES_256' }, UpdateKeyDescription: { Description: 'x' }, PutKeyPolicy: { Policy: open },
  TagResource: { Tags: [{ TagKey: 'k', TagValue: 'v' }] }, UntagResource: { TagKeys: ['k'] },
}
const on = (pick: (stage: Stage) => string) => (made: Stage, operation: string): Json => ({ KeyId: pick(made), ...rest[operation] })
const arnOf = (name: keyof Stage, words: string) => (made: Stage): string => `${(made[name] as TestKey).arn} ${words}`
const aliased = (AliasName: string) => ({ key }: Stage, operation: string): Json => ({ AliasName, ...(operation === 'DeleteAlias' ? {} : { TargetKeyId: key.id }) })
const tagged = (...Tags: readonly (readonly [string, string])[]) => ({ key }: Stage): Json => ({ KeyId: key.id, Tags: Tags.map(([TagKey, TagValue]) => ({ TagKey, TagValue })) })
const policyOfKey = (Policy: string) => ({ key }: Stage): Json => ({ KeyId: key.id, Policy })
const naming = (AWS: unknown): string => JSON.stringify(policyOf(statement('Allow', 'kms:*', { AWS: account }), statement('Allow', 'kms:*', { AWS })))
const broken = (value: string, path: string, clause: string): string => `1 validation error detected: ${value} at '${path}' failed to satisfy constraint: Member must ${clause}`

const cases: readonly Case[] = [
  { scenario: 'a body that is no JSON', operations: all, input: '{', type: 'SerializationException' },
  { scenario: 'a body that is a list', operations: all, input: '[]', type: 'SerializationException', text: 'Start of list found where not expected' },
  { scenario: 'a string for an integer', operations: ['ListAliases', 'ListResourceTags', 'ListKeyPolicies'], input: { KeyId: absent, Limit: '5' }, type: 'SerializationException', text: 'STRING_VALUE can not be converted to an Integer' },
  { scenario: 'a number for a string', operations: [...dataKeys, ...onKeyId, 'ListAliases'], input: { KeyId: 5 }, type: 'SerializationException', text: 'NUMBER_VALUE can not be converted to a String' },
  { scenario: 'true for a string', operations: [...dataKeys, ...onKeyId, 'ListAliases'], input: { KeyId: true }, type: 'SerializationException', text: 'TRUE_VALUE can not be converted to a String' },
  { scenario: 'a list for a scalar', operations: ['CreateAlias', 'UpdateAlias', 'DeleteAlias'], input: { AliasName: [] }, type: 'SerializationException', text: 'Start of list found where not expected' },
  { scenario: 'a scalar for a list', operations: ['TagResource'], input: { KeyId: absent, Tags: 'x' }, type: 'SerializationException', text: 'Expected list or null' },
  { scenario: 'a scalar for a structure', operations: ['TagResource'], input: { KeyId: absent, Tags: ['x'] }, type: 'SerializationException', text: 'Expected null' },
  { scenario: 'no key', operations: [...dataKeys, ...onKeyId], input: (_made, operation) => rest[operation] ?? {}, type: 'ValidationException', text: broken('Value null', 'keyId', 'not be null') },
  { scenario: 'an empty key id', operations: [...dataKeys, ...onKeyId], input: on(() => ''), type: 'ValidationException', text: broken("Value ''", 'keyId', 'have length greater than or equal to 1') },
  { scenario: 'a key id that is none', operations: [...dataKeys, ...onKeyId, 'ListAliases'], input: on(() => 'fake-key-id'), type: 'NotFoundException', text: "Invalid keyId 'fake-key-id'" },
  { scenario: 'a key that is not there', operations: [...dataKeys, ...onKeyId, 'ListAliases'], input: on(() => absent), type: 'NotFoundException', text: `Key '${keyArn(absent)}' does not exist` },
  { scenario: 'a key of another Region', operations: [...dataKeys, ...onKeyId, 'ListAliases'], input: on(() => keyArn(absent).replace('onprem-1', 'us-east-2')), type: 'NotFoundException', text: 'Invalid arn us-east-2' },
  { scenario: 'an alias where none is taken', operations: [...onKeyId, 'ListAliases'], input: on(() => 'alias/x'), type: 'NotFoundException', text: "Invalid keyId 'alias/x'" },
  { scenario: 'an alias that is not there', operations: dataKeys, input: on(() => 'alias/none'), type: 'NotFoundException', text: `Alias ${aliasArn('alias/none')} is not found.` },

  { scenario: 'no identity policy', operations: [...dataKeys, ...onKeyId], input: on(({ key }) => key.id), as: plain, type: 'AccessDeniedException', text: ({ key }, operation) => deniedOn(plain, `kms:${operation}`, key.arn, noIdentityPolicy(`kms:${operation}`)) },
  { scenario: 'no identity policy for the account', operations: ['ListAliases'], input: {}, as: plain, type: 'AccessDeniedException', text: deniedOn(plain, 'kms:ListAliases', '*', noIdentityPolicy('kms:ListAliases')) },
  { scenario: 'no identity policy for the alias', operations: ['CreateAlias', 'UpdateAlias', 'DeleteAlias'], input: aliased('alias/x'), as: plain, type: 'AccessDeniedException', text: (_made, operation) => deniedOn(plain, `kms:${operation}`, aliasArn('alias/x'), noIdentityPolicy(`kms:${operation}`)) },
  { scenario: 'an explicit deny of the key policy', operations: [...dataKeys, 'GetKeyPolicy'], input: on(({ denying }) => denying.id), as: root, type: 'AccessDeniedException', text: ({ denying }, operation) => deniedOn(root, `kms:${operation}`, denying.arn, deniedByKey) },
  { scenario: 'a ciphertext whose key is denied, unnamed', operations: ['ReEncrypt'], input: ({ ciphertext, key }) => ({ CiphertextBlob: ciphertext, DestinationKeyId: key.id }), as: plain, type: 'AccessDeniedException', text: deniedByCiphertext(plain, 'kms:ReEncryptFrom', noIdentityPolicy('kms:ReEncryptFrom')) },

  { scenario: 'a disabled key', operations: dataKeys, input: on(({ disabled }) => disabled.id), type: 'DisabledException', text: arnOf('disabled', 'is disabled.') },
  { scenario: 'a disabled destination', operations: ['ReEncrypt'], input: ({ ciphertext, disabled }) => ({ CiphertextBlob: ciphertext, DestinationKeyId: disabled.id }), type: 'DisabledException', text: arnOf('disabled', 'is disabled.') },
  { scenario: 'a key pending deletion', operations: [...dataKeys, 'EnableKey', 'DisableKey', 'UpdateKeyDescription', 'TagResource', 'UntagResource'], input: on(({ deleted }) => deleted.id), type: 'KMSInvalidStateException', text: arnOf('deleted', 'is pending deletion.') },
  { scenario: 'a target pending deletion', operations: ['CreateAlias', 'UpdateAlias'], input: ({ deleted }) => ({ AliasName: 'alias/there', TargetKeyId: deleted.id }), type: 'KMSInvalidStateException', text: arnOf('deleted', 'is pending deletion.') },

  { scenario: 'a destination of another usage', operations: ['ReEncrypt'], input: ({ ciphertext, signing }) => ({ CiphertextBlob: ciphertext, DestinationKeyId: signing.id }), type: 'InvalidKeyUsageException', text: arnOf('signing', 'key usage is SIGN_VERIFY which is not valid for ReEncryptTo.') },
  { scenario: 'another source key', operations: ['ReEncrypt'], input: ({ ciphertext, other }) => ({ CiphertextBlob: ciphertext, SourceKeyId: other.id, DestinationKeyId: other.id }), type: 'IncorrectKeyException', text: 'The key ID in the request does not identify a CMK that can perform this operation.' },
  { scenario: 'another context', operations: ['ReEncrypt'], input: ({ ciphertext, other }) => ({ CiphertextBlob: ciphertext, SourceEncryptionContext: { a: 'b' }, DestinationKeyId: other.id }), type: 'InvalidCiphertextException' },
  { scenario: 'an asymmetric key', operations: dataKeys, input: on(({ rsa }) => rsa.id), type: 'InvalidKeyUsageException', text: 'You cannot generate a data key with an asymmetric CMK' },
  { scenario: 'a key of another usage', operations: dataKeys, input: on(({ signing }) => signing.id), type: 'InvalidKeyUsageException', text: (made, operation) => `${made.signing.arn} key usage is SIGN_VERIFY which is not valid for ${operation}.` },
  { scenario: 'no size', operations: dataKeys, input: ({ key }) => ({ KeyId: key.id }), type: 'ValidationException', text: 'Please specify either number of bytes or key spec.' },
  { scenario: 'both sizes', operations: dataKeys, input: ({ key }) => ({ KeyId: key.id, KeySpec: 'AES_128', NumberOfBytes: 16 }), type: 'ValidationException', text: 'Please specify either number of bytes or key spec.' },
  {
    scenario: 'a key spec that is none', operations: dataKeys, input: ({ key }) => ({ KeyId: key.id, KeySpec: 'AES_512' }), type: 'ValidationException',
    text: broken("Value 'AES_512'", 'keySpec', 'satisfy enum value set: [RSA_2048, ECC_NIST_P384, ECC_NIST_P256, ECC_NIST_P521, HMAC_384, RSA_3072, ECC_SECG_P256K1, RSA_4096, SYMMETRIC_DEFAULT, HMAC_256, HMAC_224, HMAC_512, SM2, ML_DSA_44, ML_DSA_65, ML_DSA_87, ECC_NIST_EDWARDS25519, ML_KEM_512, ML_KEM_768, ML_KEM_1024]'),
  },
  { scenario: 'a dry run that would have succeeded', operations: dataKeys, input: ({ key }) => ({ KeyId: key.id, KeySpec: 'AES_128', DryRun: true }), type: 'DryRunOperationException', text: 'The request would have succeeded, but the DryRun option is set.' },

  { scenario: 'a name without the prefix', operations: ['CreateAlias', 'UpdateAlias', 'DeleteAlias'], input: aliased('x'), type: 'ValidationException', text: 'Alias must start with the prefix "alias/". Please see https://docs.aws.amazon.com/kms/latest/developerguide/kms-alias.html' },
  { scenario: 'a reserved name', operations: ['CreateAlias', 'UpdateAlias', 'DeleteAlias'], input: aliased('alias/aws/s3'), type: 'NotAuthorizedException' },
  { scenario: 'a name against the pattern', operations: ['CreateAlias', 'UpdateAlias', 'DeleteAlias'], input: aliased('alias/x y'), type: 'ValidationException', text: broken("Value 'alias/x y'", 'aliasName', 'satisfy regular expression pattern: ^[a-zA-Z0-9:/_-]+$') },
  { scenario: 'a name of 257 characters', operations: ['CreateAlias', 'UpdateAlias', 'DeleteAlias'], input: aliased('alias/'.padEnd(257, 'x')), type: 'ValidationException', text: broken(`Value '${'alias/'.padEnd(257, 'x')}'`, 'aliasName', 'have length less than or equal to 256') },
  { scenario: 'an alias for a target', operations: ['CreateAlias', 'UpdateAlias'], input: { AliasName: 'alias/x', TargetKeyId: 'alias/there' }, type: 'ValidationException', text: 'Aliases must refer to keys. Not aliases' },
  { scenario: 'a name that is taken', operations: ['CreateAlias'], input: aliased('alias/there'), type: 'AlreadyExistsException', text: `An alias with the name ${aliasArn('alias/there')} already exists` },
  { scenario: 'a name that is not there', operations: ['UpdateAlias', 'DeleteAlias'], input: aliased('alias/none'), type: 'NotFoundException', text: `Alias ${aliasArn('alias/none')} is not found.` },
  { scenario: 'a target of another kind', operations: ['UpdateAlias'], input: ({ signing }) => ({ AliasName: 'alias/there', TargetKeyId: signing.id }), type: 'ValidationException', text: ({ signing }) => `Alias ${aliasArn('alias/there')} cannot be moved to a key of another type or usage: ${signing.arn}` },
  { scenario: 'a target with 50 aliases', operations: ['UpdateAlias'], input: ({ full }) => ({ AliasName: 'alias/there', TargetKeyId: full.id }), type: 'LimitExceededException' },
  { scenario: 'a key with 50 aliases', operations: ['CreateAlias'], input: ({ full }) => ({ AliasName: 'alias/x', TargetKeyId: full.id }), type: 'LimitExceededException' },
  { scenario: 'a marker that is none', operations: ['ListAliases', 'ListResourceTags'], input: ({ key }) => ({ KeyId: key.id, Marker: 'none' }), type: 'InvalidMarkerException' },

  { scenario: 'a tag twice', operations: ['TagResource'], input: tagged(['k', '1'], ['k', '2']), type: 'TagException', text: 'Duplicate tag keys' },
  { scenario: 'a reserved tag', operations: ['TagResource'], input: tagged(['aws:k', 'v']), type: 'TagException', text: 'Tags beginning with aws: are reserved' },
  { scenario: 'a reserved tag in capitals', operations: ['TagResource'], input: tagged(['AWS:k', 'v']), type: 'TagException', text: 'Tags beginning with aws: are reserved' },
  { scenario: '51 tags', operations: ['TagResource'], input: tagged(...Array.from({ length: 51 }, (_, index) => [`k${index}`, ''] as const)), type: 'TagException', text: 'Too many tags' },
  { scenario: 'a tag key of 129 characters', operations: ['TagResource'], input: tagged(['k'.repeat(129), 'v']), type: 'ValidationException', text: broken(`Value '${'k'.repeat(129)}'`, 'tags.1.member.tagKey', 'have length less than or equal to 128') },
  { scenario: 'a tag value of 257 characters', operations: ['TagResource'], input: tagged(['k', 'v'.repeat(257)]), type: 'ValidationException', text: broken(`Value '${'v'.repeat(257)}'`, 'tags.1.member.tagValue', 'have length less than or equal to 256') },

  { scenario: 'a policy that is no JSON', operations: ['PutKeyPolicy'], input: policyOfKey('allow'), type: 'MalformedPolicyDocumentException' },
  { scenario: 'a policy that locks the caller out', operations: ['PutKeyPolicy'], input: policyOfKey(JSON.stringify(policyOf(statement('Allow', 'kms:*', { AWS: plain.arn })))), type: 'MalformedPolicyDocumentException', text: 'The new key policy will not allow you to update the key policy in the future.' },
  { scenario: 'a principal that does not exist', operations: ['PutKeyPolicy'], input: policyOfKey(naming(`arn:aws:iam::${account}:user/nobody`)), type: 'MalformedPolicyDocumentException', text: 'Policy contains a statement with one or more invalid principals.' },
  { scenario: 'a principal whose ARN is none', operations: ['PutKeyPolicy'], input: policyOfKey(naming('arn:aws:iam::1:user/x')), type: 'InvalidArnException', text: 'An ARN in the specified key policy is invalid.' },
  { scenario: 'a policy beyond 32 KiB', operations: ['PutKeyPolicy'], input: policyOfKey(open.padEnd(32_769)), type: 'LimitExceededException' },
  { scenario: 'a policy name that is none', operations: ['PutKeyPolicy'], input: ({ key }) => ({ KeyId: key.id, Policy: open, PolicyName: 'other' }), type: 'UnsupportedOperationException' },
  { scenario: 'the policy of resource shares', operations: ['PutKeyPolicy'], input: ({ key }) => ({ KeyId: key.id, Policy: open, PolicyName: 'AWS_RAM' }), type: 'ValidationException', text: 'The AWS_RAM policy can only be managed by the RAM service' },
  { scenario: 'a policy name that is none', operations: ['GetKeyPolicy'], input: ({ key }) => ({ KeyId: key.id, PolicyName: 'AWS_RAM' }), type: 'NotFoundException', text: 'No such policy exists' },
]

beforeAll(async () => {
  scene = await openScene()
  const [key, other, disabled, deleted, full] = [await scene.newKey(), await scene.newKey(), await scene.newKey(), await scene.newKey(), await scene.newKey()] as const
  const denying = await scene.newKey({ Policy: JSON.stringify(policyOf(statement('Allow', 'kms:*', { AWS: account }), statement('Deny', ['kms:Generate*', 'kms:Get*'], '*'))) })
  await scene.setState(disabled.id, 'Disabled')
  await scene.setState(deleted.id, 'PendingDeletion')
  await scene.change(async tx => {
    await insertAlias(tx, { accountId: account, name: 'alias/there', keyId: key.id })
    for (let index = 0; index < 50; index++) await insertAlias(tx, { accountId: account, name: `alias/full-${index}`, keyId: full.id })
  })
  stage = {
    key, other, denying, disabled, deleted, full, signing: await rowKey(scene, { spec: 'RSA_2048', usage: 'SIGN_VERIFY' }), rsa: await rowKey(scene, { spec: 'RSA_2048', usage: 'ENCRYPT_DECRYPT' }),
    ciphertext: String(success(await scene.call('Encrypt', { KeyId: key.id, Plaintext: 'aGVsbG8=' })).CiphertextBlob),
  }
})
afterAll(() => scene.close())

describe.each(all)('errors of %s', operation => {
  for (const { scenario, operations, input, type, text, as } of cases) {
    if (!operations.includes(operation)) continue
    it(`${scenario} is ${type}`, async () => {
      expectRefusal(await scene.call(operation, typeof input === 'function' ? input(stage, operation) : input, as), type, typeof text === 'function' ? text(stage, operation) : text)
    })
  }

  it('an explicit deny of an identity policy is AccessDeniedException', async () => {
    await scene.setPolicy(policyOf(statement('Allow', '*'), statement('Deny', `kms:${operation}*`)))
    const input = { KeyId: stage.key.id, AliasName: 'alias/there', TargetKeyId: stage.other.id, CiphertextBlob: stage.ciphertext, SourceKeyId: stage.key.id, DestinationKeyId: stage.other.id, ...rest[operation] }
    const resource = operation.endsWith('Alias') ? aliasArn('alias/there') : operation === 'ListAliases' ? '*' : stage.key.arn
    const action = operation === 'ReEncrypt' ? 'kms:ReEncryptFrom' : `kms:${operation}`
    expectRefusal(await scene.call(operation, input, plain), 'AccessDeniedException', deniedOn(plain, action, resource, deniedByIdentity))
    await scene.setPolicy(undefined)
  })
})
