// Every error that AWS KMS is known to answer (kms-errors.json: where from, and how surely, stands in each line): what of it the operations
// that are built can meet is met here; what they cannot meet yet is listed with its reason. A scenario in neither list fails.
import { readFileSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest'
import { operations } from '../../src/operations/table.ts'
import { raw, region, send } from '../support/aws.ts'
import { keyArn, openScene, policyOf, statement, success, type Json, type Reply, type Scene, type TestKey } from '../support/scene.ts'

interface Scenario {
  readonly operations: readonly string[]
  readonly exception: string
  readonly http: number
  /** Verbatim but for {…}; null: no text on the wire, or none that is known. */
  readonly message: string | null
  readonly confidence: string
}

const scenarios = JSON.parse(readFileSync(new URL('kms-errors.json', import.meta.url), 'utf8')) as Readonly<Record<string, Scenario>>
const { account, identities: { plain, foreign, root } } = inject('installation')
const absentId = '0d990263-018e-4e65-a703-eff731de951e'
const hello = 'aGVsbG8='

let scene: Scene
let key: TestKey
let other: TestKey
let ciphertext: string
let underContext: string

beforeAll(async () => {
  scene = await openScene()
  key = await scene.newKey()
  other = await scene.newKey()
  ciphertext = await encrypted({ KeyId: key.id, Plaintext: hello })
  underContext = await encrypted({ KeyId: key.id, Plaintext: hello, EncryptionContext: { a: 'b' } })
})
afterAll(async () => { await scene.close() })

const encrypted = async (input: Json): Promise<string> => String(success(await scene.call('Encrypt', input)).CiphertextBlob)

/** What the text's {…} stand for in this run; without it, that is known beforehand or is anything. */
type Fill = Readonly<Record<string, string>>
interface Met { readonly reply: Reply; readonly fill?: Fill }
type Meet = () => Promise<Met | readonly Met[]>

const met = (operation: string, input: () => Json | string, fill: () => Fill = () => ({})): Meet =>
  async () => ({ reply: await scene.call(operation, input()), fill: fill() })
/** One after the other: some change what others rest on. */
const all = (...meets: readonly Meet[]): Meet => async () => {
  const seen: Met[] = []
  for (const meet of meets) seen.push(...[await meet()].flat())
  return seen
}
const each = (names: readonly string[], meetOf: (operation: string) => Meet): Meet => all(...names.map(meetOf))

/** Operations that take a key alone, or nearly so. */
const ofKey: Readonly<Record<string, Json>> = {
  DescribeKey: {}, EnableKey: {}, DisableKey: {}, GetKeyPolicy: {}, ListKeyPolicies: {}, ListResourceTags: {}, UntagResource: { TagKeys: ['x'] },
  TagResource: { Tags: [{ TagKey: 'x', TagValue: 'y' }] }, UpdateKeyDescription: { Description: '' }, Encrypt: { Plaintext: hello },
  GenerateDataKey: { KeySpec: 'AES_256' }, GenerateDataKeyWithoutPlaintext: { KeySpec: 'AES_256' }, PutKeyPolicy: { Policy: '{}' },
}
const aliasTakers = ['DescribeKey', 'Encrypt', 'GenerateDataKey', 'GenerateDataKeyWithoutPlaintext']
const stateSensitive = ['Encrypt', 'GenerateDataKey', 'GenerateDataKeyWithoutPlaintext']

const onKey = (named: string, fill: () => Fill = () => ({}), names = Object.keys(ofKey)): Meet =>
  each(names, operation => met(operation, () => ({ ...ofKey[operation], KeyId: named }), fill))

const inState = (state: Parameters<Scene['setState']>[1], names = stateSensitive): Meet => async () => {
  const { id, arn } = await scene.newKey()
  await scene.setState(id, state)
  return await each(names, operation => met(operation, () => ({ ...ofKey[operation], KeyId: id }), () => ({ key_arn: arn })))()
}

/** As the user without any policy, unless told which one. */
const denied = (policy: Json | undefined, as: typeof plain, call: () => Promise<Reply>, fill: () => Fill): Meet => async () => {
  await scene.setPolicy(policy)
  try {
    return { reply: await call(), fill: { principal_arn: as.arn, Action: 'Encrypt', key_arn: key.arn, ...fill() } }
  } finally {
    await scene.setPolicy(undefined)
  }
}
const encryptAs = (as: typeof plain) => () => scene.call('Encrypt', { KeyId: key.id, Plaintext: hello }, as)

const unsigned = async (headers: Readonly<Record<string, string>>): Promise<Reply> => {
  const { status, headers: answered, text } = await send(scene.trent.url, 'POST', { 'Content-Type': 'application/x-amz-json-1.1', 'X-Amz-Target': 'TrentService.ListKeys', ...headers }, '{}')
  return { status, headers: answered, text, body: JSON.parse(text) as Json }
}
const signed = async (request: Parameters<typeof raw>[1]): Promise<Reply> => {
  const { status, headers, text } = await raw(scene.trent.url, { target: 'TrentService.ListKeys', ...request })
  return { status, headers, text, body: JSON.parse(text) as Json }
}

const withPolicy = (Policy: Json): Meet => all(met('CreateKey', () => ({ Policy: JSON.stringify(Policy) })), met('PutKeyPolicy', () => ({ KeyId: key.id, Policy: JSON.stringify(Policy) })))
const withTags = (...Tags: readonly Json[]): Meet => all(met('CreateKey', () => ({ Tags })), met('TagResource', () => ({ KeyId: key.id, Tags })))
const manyTags = Array.from({ length: 51 }, (_, index) => ({ TagKey: `k${index}`, TagValue: '' }))
const aliasCall = (AliasName: string, operation: string): Meet => met(operation, () => ({ AliasName, ...(operation === 'DeleteAlias' ? {} : { TargetKeyId: key.id }) }))
const openDecrypt = (input: () => Json): Meet => met('Decrypt', input)
const dryRuns: Readonly<Record<string, () => Json>> = {
  Encrypt: () => ({ KeyId: key.id, Plaintext: hello }), Decrypt: () => ({ CiphertextBlob: ciphertext }), GenerateDataKey: () => ({ KeyId: key.id, KeySpec: 'AES_256' }),
  GenerateDataKeyWithoutPlaintext: () => ({ KeyId: key.id, KeySpec: 'AES_256' }), ReEncrypt: () => ({ CiphertextBlob: ciphertext, DestinationKeyId: other.id }),
}

/** On a key made for it. */
const onNewKey = (operation: string, newKey: Json, input: Json): Meet => async () => {
  const { id, arn } = await scene.newKey(newKey)
  return { reply: await scene.call(operation, { KeyId: id, ...input }), fill: { key_arn: arn } }
}
const wrongMac: Meet = async () => {
  const { id: KeyId } = await scene.newKey({ KeySpec: 'HMAC_256', KeyUsage: 'GENERATE_VERIFY_MAC' })
  const { Mac } = success(await scene.call('GenerateMac', { KeyId, Message: hello, MacAlgorithm: 'HMAC_SHA_256' }))
  return { reply: await scene.call('VerifyMac', { KeyId, Message: 'aGVsbG8h', MacAlgorithm: 'HMAC_SHA_256', Mac }) }
}

const cases: Readonly<Record<string, Meet>> = {
  'recorded/generate_random_invalid_number_of_bytes[0]/generate-random-exc': met('GenerateRandom', () => ({ NumberOfBytes: 0 })),
  'recorded/generate_random_invalid_number_of_bytes[1025]/generate-random-exc': met('GenerateRandom', () => ({ NumberOfBytes: 1025 })),
  'recorded/get_key_in_different_region/describe-key-diff-region-with-id': met('DescribeKey', () => ({ KeyId: absentId }), () => ({ key_arn: keyArn(absentId) })),
  'recorded/get_key_in_different_region/describe-key-diff-region-with-arn': met('DescribeKey', () => ({ KeyId: keyArn(absentId).replace(region, 'eu-west-9') }), () => ({ region_of_the_arn: 'eu-west-9' })),
  'recorded/get_key_does_not_exist/describe-key-with-valid-id-mrk': met('DescribeKey', () => ({ KeyId: 'mrk-0d990263018e4e65a703eff731de951e' }), () => ({ key_arn: keyArn('mrk-0d990263018e4e65a703eff731de951e') })),
  'recorded/get_key_invalid_uuid/describe-key-with-invalid-uuid': met('DescribeKey', () => ({ KeyId: 'fake-key-id' })),
  'recorded/get_key_invalid_uuid/describe-key-with-invalid-uuid-2': met('DescribeKey', () => ({ KeyId: '134f2428cec14b25a1ae9048164dba47' })),
  'recorded/get_key_invalid_uuid/describe-key-with-invalid-uuid-mrk': met('DescribeKey', () => ({ KeyId: 'mrk-fake-key-id' })),
  'recorded/replicate_key/describe-key-from-different-region': met('DescribeKey', () => ({ KeyId: absentId }), () => ({ key_arn: keyArn(absentId) })),
  'recorded/create_alias/create_alias': aliasCall('blue', 'CreateAlias'),
  'recorded/hmac_create_key_invalid_operations/create-hmac-key-without-key-usage': met('CreateKey', () => ({ KeySpec: 'HMAC_256' })),
  'recorded/hmac_create_key_invalid_operations/create-hmac-key-invalid-spec': met('CreateKey', () => ({ KeySpec: 'HMAC_random', KeyUsage: 'GENERATE_VERIFY_MAC' })),
  'recorded/hmac_create_key_invalid_operations/create-hmac-key-invalid-key-usage': met('CreateKey', () => ({ KeySpec: 'HMAC_256', KeyUsage: 'RANDOM' })),
  'recorded/import_key_symmetric/encrypt-before-import-error': inState('PendingImport'),
  'recorded/import_key_symmetric/encrypt-after-delete-error': inState('PendingImport'),
  'recorded/error_messaging_for_invalid_keys/decrypt-invalid-key-id': openDecrypt(() => ({ KeyId: other.id, CiphertextBlob: ciphertext })),
  'recorded/plaintext_size_for_encrypt/invalid-plaintext-size-encrypt': met('Encrypt', () => ({ KeyId: key.id, Plaintext: Buffer.alloc(4097).toString('base64') })),
  'recorded/encrypt_decrypt_encryption_context/decrypt_response_without_encryption_context': openDecrypt(() => ({ CiphertextBlob: underContext })),
  'recorded/encrypt_decrypt_encryption_context/decrypt_response_with_invalid_ciphertext': openDecrypt(() => ({ CiphertextBlob: hello, EncryptionContext: { a: 'b' }, KeyId: key.id })),
  'recorded/encryption_context_generate_data_key/decrypt-without-encryption-context': dataKeyWithoutContext('GenerateDataKey'),
  'recorded/encryption_context_generate_data_key_without_plaintext/decrypt-without-encryption-context': dataKeyWithoutContext('GenerateDataKeyWithoutPlaintext'),
  'recorded/encryption_context_generate_data_key_pair/decrypt-without-encryption-context': dataKeyWithoutContext('GenerateDataKeyPair', { KeyPairSpec: 'ECC_NIST_P256' }),
  'recorded/encryption_context_generate_data_key_pair_without_plaintext/decrypt-without-encryption-context': dataKeyWithoutContext('GenerateDataKeyPairWithoutPlaintext', { KeyPairSpec: 'ECC_NIST_P256' }),
  'recorded/generate_data_key_pair_dry_run/dryrun_exception': met('GenerateDataKeyPair', () => ({ KeyId: key.id, KeyPairSpec: 'RSA_2048', DryRun: true })),
  'recorded/generate_data_key_pair_without_plaintext_dry_run/dryrun_exception': met('GenerateDataKeyPairWithoutPlaintext', () => ({ KeyId: key.id, KeyPairSpec: 'RSA_2048', DryRun: true })),
  'recorded/derive_shared_secret/response-invalid-key-spec': met('CreateKey', () => ({ KeySpec: 'RSA_2048', KeyUsage: 'KEY_AGREEMENT' })),
  'recorded/tag_key_with_duplicate_tag_keys_raises_error/duplicate-tag-keys': withTags({ TagKey: 'a', TagValue: '1' }, { TagKey: 'a', TagValue: '2' }),
  'recorded/create_key_with_too_many_tags_raises_error/invalid-tag-key': met('CreateKey', () => ({ Tags: manyTags })),
  'recorded/tag_existing_key_with_invalid_tag_key/invalid-tag-key': withTags({ TagKey: 'aws:key1', TagValue: '' }),
  'recorded/key_with_long_tag_value_raises_error/too-long-tag-value': met('TagResource', () => ({ KeyId: key.id, Tags: [{ TagKey: 'a', TagValue: 'v'.repeat(257) }] }), () => ({ 'the 257-character value': 'v'.repeat(257) })),
  'recorded/create_key_with_invalid_tag_key[lowercase_prefix]/invalid-tag-key': met('CreateKey', () => ({ Tags: [{ TagKey: 'aws:key1', TagValue: '' }] })),
  'recorded/create_key_with_invalid_tag_key[too_long_key]/invalid-tag-key': met('CreateKey', () => ({ Tags: [{ TagKey: 'k'.repeat(129), TagValue: '' }] }), () => ({ 'the 129-character value': 'k'.repeat(129) })),
  'recorded/key_rotations_encryption_decryption/bad-ciphertext': openDecrypt(() => ({ CiphertextBlob: `${ciphertext.slice(0, -8)}AAAAAAA=`, KeyId: key.id })),
  'recorded/re_encrypt_incorrect_source_key/incorrect-source-key': met('ReEncrypt', () => ({ CiphertextBlob: ciphertext, SourceKeyId: other.id, DestinationKeyId: key.id })),
  'protocol/body-not-json': met('ListKeys', () => '{'),
  'protocol/body-is-json-array': met('ListKeys', () => '[]'),
  'protocol/string-given-for-integer': met('ListKeys', () => ({ Limit: 'x' })),
  'protocol/number-given-for-string': met('DescribeKey', () => ({ KeyId: 1 })),
  'protocol/true-given-for-string': met('DescribeKey', () => ({ KeyId: true })),
  'protocol/true-given-for-integer': met('ListKeys', () => ({ Limit: true })),
  'protocol/list-given-for-scalar': met('DescribeKey', () => ({ KeyId: [] })),
  'protocol/scalar-given-for-list': met('UntagResource', () => ({ KeyId: key.id, TagKeys: 'x' })),
  'protocol/scalar-given-for-structure': met('TagResource', () => ({ KeyId: key.id, Tags: ['x'] })),
  'protocol/unknown-or-missing-target': all(met('NoSuchOperation', () => ({})), met('listkeys', () => ({})), async () => ({ reply: await signed({ target: 'ListKeys' }) })),
  'auth/signature-mismatch': async () => ({ reply: await signed({ credentials: { ...root, secretAccessKey: 'x'.repeat(40) } }) }),
  'auth/clock-skew-future': async () => ({ reply: await signed({ headers: { 'X-Amz-Date': stamp(3_600) } }), fill: { x_amz_date: stamp(3_600), server_now_plus_5min: '*', server_now: '*' } }),
  'auth/scope-wrong-region': async () => ({ reply: await signed({ region: 'eu-west-9' }) }),
  'auth/unknown-access-key-or-session-token': async () => [
    { reply: await signed({ credentials: { accessKeyId: 'AKIAIOSFODNN7NOBODYX', secretAccessKey: 'x'.repeat(40) } }) },
    { reply: await signed({ headers: { 'X-Amz-Security-Token': 'token' } }) },
  ],
  'auth/no-credentials': async () => ({ reply: await unsigned({}) }),
  'auth/authorization-header-incomplete': async () => ({ reply: await unsigned({ Authorization: 'AWS4-HMAC-SHA256 a=b' }), fill: { authorization_header: 'AWS4-HMAC-SHA256 a=b' } }),
  'authz/no-identity-policy': denied(undefined, plain, encryptAs(plain), () => ({})),
  'authz/explicit-deny-identity': denied(policyOf(statement('Allow', '*'), statement('Deny', 'kms:Encrypt')), plain, encryptAs(plain), () => ({})),
  'authz/explicit-deny-resource-policy': async () => {
    const Policy = JSON.stringify(policyOf(statement('Allow', 'kms:*', { AWS: `arn:aws:iam::${account}:root` }), statement('Deny', 'kms:Encrypt', '*')))
    const { id, arn } = await scene.newKey({ Policy })
    return { reply: await scene.call('Encrypt', { KeyId: id, Plaintext: hello }, root), fill: { principal_arn: root.arn, Action: 'Encrypt', key_arn: arn } }
  },
  'authz/decrypt-without-key-id': all(
    denied(undefined, plain, () => scene.call('Decrypt', { CiphertextBlob: ciphertext }, plain), () => ({ reason: '*' })),
    denied(undefined, foreign, () => scene.call('Decrypt', { CiphertextBlob: ciphertext }, foreign), () => ({ reason: '*' })),
  ),
  'validation/required-member-null': met('DescribeKey', () => ({})),
  'validation/string-too-short': met('DescribeKey', () => ({ KeyId: '' })),
  'validation/pattern': each(['CreateAlias', 'UpdateAlias', 'DeleteAlias'], operation => async () => ({ reply: (await aliasCall('alias/b lue', operation)() as Met).reply, fill: { value: 'alias/b lue' } })),
  'validation/limit-out-of-range': each(['ListKeys', 'ListAliases', 'ListKeyPolicies', 'ListResourceTags'], operation => met(operation, () => ({ ...(operation === 'ListKeyPolicies' || operation === 'ListResourceTags' ? { KeyId: key.id } : {}), Limit: 1001 }), () => ({ n: '1001' }))),
  'keyid/malformed': onKey('fake', () => ({ given: 'fake' })),
  'keyid/well-formed-but-absent': onKey(absentId, () => ({ key_arn: keyArn(absentId) })),
  'keyid/arn-of-another-region': onKey(keyArn(absentId).replace(region, 'eu-west-9'), () => ({ region_of_the_arn: 'eu-west-9' })),
  'keyid/alias-absent': onKey('alias/none', () => ({ alias_arn: keyArn('').replace('key/', 'alias/none') }), aliasTakers),
  'state/disabled': inState('Disabled'),
  'state/pending-deletion': inState('PendingDeletion'),
  'state/unavailable': inState('Unavailable'),
  // Its material may be used meanwhile.
  'state/updating': inState('Updating', ['DisableKey']),
  'state/creating': inState('Creating'),
  'state/pending-replica-deletion': inState('PendingReplicaDeletion'),
  'createkey/usage-incompatible-with-spec': all(
    met('CreateKey', () => ({ KeyUsage: 'SIGN_VERIFY' }), () => ({ USAGE: 'SIGN_VERIFY', SPEC: 'SYMMETRIC_DEFAULT' })),
    met('CreateKey', () => ({ KeyUsage: 'ENCRYPT_DECRYPT', KeySpec: 'HMAC_256' }), () => ({ USAGE: 'ENCRYPT_DECRYPT', SPEC: 'HMAC_256' })),
  ),
  'createkey/both-spec-members': met('CreateKey', () => ({ KeySpec: 'SYMMETRIC_DEFAULT', CustomerMasterKeySpec: 'SYMMETRIC_DEFAULT' })),
  'alias/no-prefix': each(['CreateAlias', 'UpdateAlias', 'DeleteAlias'], operation => aliasCall('blue', operation)),
  'alias/reserved-prefix': each(['CreateAlias', 'UpdateAlias', 'DeleteAlias'], operation => aliasCall('alias/aws/x', operation)),
  'alias/target-is-alias': each(['CreateAlias', 'UpdateAlias'], operation => met(operation, () => ({ AliasName: 'alias/new', TargetKeyId: 'alias/none' }))),
  'alias/incompatible-update': async () => {
    const hmac = await keyOfSpec('HMAC_256', 'GENERATE_VERIFY_MAC')
    success(await scene.call('CreateAlias', { AliasName: 'alias/of-one-kind', TargetKeyId: key.id }))
    return { reply: await scene.call('UpdateAlias', { AliasName: 'alias/of-one-kind', TargetKeyId: hmac }) }
  },
  'alias/delete-absent': each(['UpdateAlias', 'DeleteAlias'], operation => async () => ({ reply: (await aliasCall('alias/none', operation)() as Met).reply, fill: { alias_arn: keyArn('').replace('key/', 'alias/none') } })),
  'usage/incompatible': async () => {
    const id = await keyOfSpec('HMAC_256', 'GENERATE_VERIFY_MAC')
    return { reply: await scene.call('Encrypt', { KeyId: id, Plaintext: hello }), fill: { key_arn: keyArn(id), KEY_USAGE: 'GENERATE_VERIFY_MAC', Operation: 'Encrypt' } }
  },
  'usage/reencrypt-destination': async () => {
    const id = await keyOfSpec('HMAC_256', 'GENERATE_VERIFY_MAC')
    return { reply: await scene.call('ReEncrypt', { CiphertextBlob: ciphertext, DestinationKeyId: id }), fill: { key_arn: keyArn(id), KEY_USAGE: 'GENERATE_VERIFY_MAC' } }
  },
  'recorded/error_messaging_for_invalid_keys/encrypt-invalid-key-id': async () => {
    const id = await keyOfSpec('RSA_2048', 'SIGN_VERIFY')
    return { reply: await scene.call('Encrypt', { KeyId: id, Plaintext: hello }), fill: { key_arn: keyArn(id) } }
  },
  'usage/algorithm-vs-spec': each(['Encrypt'], operation => met(operation, () => ({ KeyId: key.id, Plaintext: hello, EncryptionAlgorithm: 'RSAES_OAEP_SHA_256' }), () => ({ ALG: 'RSAES_OAEP_SHA_256', SPEC: 'SYMMETRIC_DEFAULT' }))),
  'usage/data-key-with-asymmetric-key': async () => ({ reply: await scene.call('GenerateDataKey', { KeyId: await keyOfSpec('RSA_2048', 'ENCRYPT_DECRYPT'), KeySpec: 'AES_256' }) }),
  'crypto/wrong-key-id': all(openDecrypt(() => ({ KeyId: other.id, CiphertextBlob: ciphertext })), met('ReEncrypt', () => ({ SourceKeyId: other.id, CiphertextBlob: ciphertext, DestinationKeyId: key.id }))),
  'crypto/data-key-length-both-or-neither': each(['GenerateDataKey', 'GenerateDataKeyWithoutPlaintext'], operation => all(met(operation, () => ({ KeyId: key.id })), met(operation, () => ({ KeyId: key.id, KeySpec: 'AES_256', NumberOfBytes: 32 })))),
  'crypto/data-key-bad-keyspec': met('GenerateDataKey', () => ({ KeyId: key.id, KeySpec: 'AES_512' }), () => ({ v: 'AES_512', members: '*' })),
  'crypto/random-missing-length': met('GenerateRandom', () => ({})),
  'crypto/dry-run-success': each(Object.keys(dryRuns), operation => met(operation, () => ({ ...dryRuns[operation]?.(), DryRun: true }))),
  ...Object.fromEntries(([[224, 'generate'], [224, 'verify'], [256, 'generate'], [256, 'verify'], [384, 'verify'], [512, 'generate'], [512, 'verify']] as const).map(([size, verb]) => [
    `recorded/generate_and_verify_mac[HMAC_${size}-HMAC_SHA_${size}]/${verb}-mac-invalid-key-id`,
    met(verb === 'generate' ? 'GenerateMac' : 'VerifyMac', () => ({ KeyId: 'key_id', Message: hello, MacAlgorithm: `HMAC_SHA_${size}`, Mac: hello })),
  ])),
  'recorded/invalid_generate_mac[HMAC_224-HMAC_SHA_256]/generate-mac': onNewKey('GenerateMac', { KeySpec: 'HMAC_224', KeyUsage: 'GENERATE_VERIFY_MAC' }, { Message: hello, MacAlgorithm: 'HMAC_SHA_256' }),
  'recorded/invalid_verify_mac[HMAC_256-HMAC_SHA_256-some different important message]/verify-mac': wrongMac,
  'recorded/invalid_verify_mac[HMAC_256-HMAC_SHA_512-some important message]/verify-mac': onNewKey('VerifyMac', { KeySpec: 'HMAC_256', KeyUsage: 'GENERATE_VERIFY_MAC' }, { Message: hello, MacAlgorithm: 'HMAC_SHA_512', Mac: hello }),
  'recorded/invalid_verify_mac[HMAC_256-INVALID-some important message]/verify-mac': onNewKey('VerifyMac', { KeySpec: 'HMAC_256', KeyUsage: 'GENERATE_VERIFY_MAC' }, { Message: hello, MacAlgorithm: 'INVALID', Mac: hello }),
  'recorded/error_messaging_for_invalid_keys/generate-mac-invalid-key-id': onNewKey('GenerateMac', {}, { Message: hello, MacAlgorithm: 'HMAC_SHA_256' }),
  'crypto/bad-mac': wrongMac,
  ...Object.fromEntries(([
    ['RSA_2048', 'RSASSA_PSS_SHA_256', true], ['RSA_2048', 'RSASSA_PSS_SHA_384', true], ['RSA_2048', 'RSASSA_PSS_SHA_512', false], ['RSA_4096', 'RSASSA_PKCS1_V1_5_SHA_256', true],
    ['RSA_4096', 'RSASSA_PKCS1_V1_5_SHA_512', true], ['ECC_NIST_P256', 'ECDSA_SHA_256', true], ['ECC_SECG_P256K1', 'ECDSA_SHA_256', true], ['ECC_NIST_P384', 'ECDSA_SHA_384', false],
  ] as const).flatMap(([KeySpec, SigningAlgorithm, digest]) => {
    const newKey = { KeySpec, KeyUsage: 'SIGN_VERIFY' }
    const called = `recorded/sign_verify[${KeySpec}-${SigningAlgorithm}]`
    const badSignature = [`${called}/bad-signature`, onNewKey('Verify', newKey, { Message: hello, SigningAlgorithm, Signature: hello })] as const
    const badDigest = [`${called}/bad-digest`, onNewKey('Sign', newKey, { Message: hello, SigningAlgorithm, MessageType: 'DIGEST' })] as const
    return KeySpec === 'ECC_SECG_P256K1' ? [badDigest] : digest ? [badDigest, badSignature] : [badSignature]
  })),
  'recorded/error_messaging_for_invalid_keys/sign-invalid-key-id': onNewKey('Sign', { KeySpec: 'HMAC_256', KeyUsage: 'GENERATE_VERIFY_MAC' }, { Message: hello, SigningAlgorithm: 'RSASSA_PSS_SHA_256' }),
  'recorded/error_messaging_for_invalid_keys/verify-invalid-key-id': onNewKey('Verify', {}, { Message: hello, SigningAlgorithm: 'RSASSA_PSS_SHA_256', Signature: hello }),
  'recorded/derive_shared_secret/response-invalid-key-usage': onNewKey('DeriveSharedSecret', { KeySpec: 'ECC_NIST_P256', KeyUsage: 'SIGN_VERIFY' }, { KeyAgreementAlgorithm: 'ECDH', PublicKey: hello }),
  'recorded/derive_shared_secret/response-invalid-key': onNewKey('DeriveSharedSecret', {}, { KeyAgreementAlgorithm: 'ECDH', PublicKey: hello }),
  'crypto/ecdh-bad-public-key': onNewKey('DeriveSharedSecret', { KeySpec: 'ECC_NIST_P256', KeyUsage: 'KEY_AGREEMENT' }, { KeyAgreementAlgorithm: 'ECDH', PublicKey: hello }),
  'usage/get-public-key-symmetric': met('GetPublicKey', () => ({ KeyId: key.id })),
  ...Object.fromEntries(([['RSA_2048', 'RSAES_OAEP_SHA_1'], ['RSA_2048', 'RSAES_OAEP_SHA_256'], ['RSA_4096', 'RSAES_OAEP_SHA_256']] as const).map(([KeySpec, EncryptionAlgorithm]) => [
    `recorded/encrypt_validate_plaintext_size_per_key_type[${KeySpec}-${EncryptionAlgorithm}]/generate-random-exc`,
    onNewKey('Encrypt', { KeySpec, KeyUsage: 'ENCRYPT_DECRYPT' }, { EncryptionAlgorithm, Plaintext: Buffer.alloc(500).toString('base64') }),
  ])),
  'crypto/rsa-plaintext-too-long': async () => {
    const { id } = await scene.newKey({ KeySpec: 'RSA_2048', KeyUsage: 'ENCRYPT_DECRYPT' })
    const fill = { ALG: 'RSAES_OAEP_SHA_1', SPEC: 'RSA_2048', n: '214' }
    const long = Buffer.alloc(215).toString('base64')
    return [
      { reply: await scene.call('Encrypt', { KeyId: id, Plaintext: long, EncryptionAlgorithm: 'RSAES_OAEP_SHA_1' }), fill },
      { reply: await scene.call('ReEncrypt', { CiphertextBlob: await encrypted({ KeyId: key.id, Plaintext: long }), DestinationKeyId: id, DestinationEncryptionAlgorithm: 'RSAES_OAEP_SHA_1' }), fill },
    ]
  },
  'crypto/digest-length': each(['Sign', 'Verify'], operation => async () => {
    const { id } = await scene.newKey({ KeySpec: 'ECC_NIST_P384', KeyUsage: 'SIGN_VERIFY' })
    return { reply: await scene.call(operation, { KeyId: id, Message: hello, MessageType: 'DIGEST', SigningAlgorithm: 'ECDSA_SHA_384', Signature: hello }), fill: { ALG: 'ECDSA_SHA_384' } }
  }),
  'tags/duplicate': withTags({ TagKey: 'a', TagValue: '1' }, { TagKey: 'a', TagValue: '2' }),
  'tags/too-many': all(met('CreateKey', () => ({ Tags: manyTags })), async () => {
    const { id } = await scene.newKey({ Tags: manyTags.slice(1) })
    return { reply: await scene.call('TagResource', { KeyId: id, Tags: manyTags.slice(0, 1) }) }
  }),
  'tags/key-too-long': all(...['CreateKey', 'TagResource'].map(operation => met(operation, () => ({ ...(operation === 'CreateKey' ? {} : { KeyId: key.id }), Tags: [{ TagKey: 'k'.repeat(129), TagValue: '' }] }), () => ({ value: 'k'.repeat(129) })))),
  'policy/lockout': withPolicy(policyOf(statement('Deny', 'kms:*', '*'))),
  'policy/invalid-principal': withPolicy(policyOf(statement('Allow', 'kms:*', { AWS: `arn:aws:iam::${account}:user/nobody` }))),
  'policy/invalid-arn': withPolicy(policyOf(statement('Allow', 'kms:*', { AWS: 'arn:aws:iam:' }))),
  'policy/unknown-name-on-put': met('PutKeyPolicy', () => ({ KeyId: key.id, PolicyName: 'other', Policy: JSON.stringify(policyOf(statement('Allow', 'kms:*', '*'))) })),
  'policy/too-long': withPolicy({ ...policyOf(statement('Allow', 'kms:*', { AWS: account })), Id: 'x'.repeat(33_000) }),
}

/** Not met here, each with what has to be there first, or with the test that meets it. */
const elsewhere: readonly (readonly [scenario: RegExp, why: string])[] = [
  [/^(xks|cks)\/|^createkey\/xks|^crypto\/random-external-store/, 'custom key stores are refused as a whole: UnsupportedOperationException'],
  [/^policy\/forallvalues/, 'conditions of policies are read and never fulfilled yet: a statement with one allows nothing, so nothing is overly permissive'],
  [/^usage\/reuse-old-text-2021/, 'AWS has another text since: usage/incompatible'],
  [/^keyid\/alias-where-not-accepted/, 'of CreateGrant, which is not built yet; others answer keyid/malformed'],
  [/^auth\/expired-session-token/, 'there are no session tokens yet: one is auth/unknown-access-key-or-session-token'],
  [/^quota\/resource/, 'test/operations/keys.system.test.ts and aliases.system.test.ts'],
  [/^throttle\/request-rate|^server\//, 'test/pipeline: made by faults, not by input'],
]

function stamp(secondsFromNow: number): string {
  // The second in which the test file was loaded, so that what is signed and what is expected are the same.
  return `${new Date(Math.floor(loaded / 1000) * 1000 + secondsFromNow * 1000).toISOString().slice(0, 19).replaceAll(/[-:]/g, '')}Z`
}
const loaded = Date.now()

function dataKeyWithoutContext(operation: string, spec: Json = { KeySpec: 'AES_256' }): Meet {
  return async () => {
    const { CiphertextBlob, PrivateKeyCiphertextBlob } = success(await scene.call(operation, { KeyId: key.id, ...spec, EncryptionContext: { a: 'b' } }))
    return { reply: await scene.call('Decrypt', { CiphertextBlob: CiphertextBlob ?? PrivateKeyCiphertextBlob }) }
  }
}

/** A row of a key of a spec that cannot be made yet: usage and algorithm are checked before there is any need for its material. */
async function keyOfSpec(spec: string, usage: string): Promise<string> {
  const { id } = await scene.newKey()
  await scene.change(tx => tx.query({ name: 'test-key-of-spec', text: 'UPDATE keys SET spec = $2, usage = $3 WHERE id = $1', values: [id, spec, usage] }))
  return id
}

const escaped = (text: string): string => text.replaceAll(/[.*+?^${}()|[\]\\]/g, found => `\\${found}`)

/** The text with its {…} filled in; `*` stands for anything. Enumerations have more members since they were recorded. */
function textOf(message: string, fill: Fill): RegExp {
  const parts = message.split(/(\{[^}]*\})/).map(part => {
    if (!part.startsWith('{')) return escaped(part)
    const value = fill[part.slice(1, -1)]
    if (value === undefined) throw new Error(`what does ${part} stand for?`)
    return value === '*' ? '.+' : escaped(value)
  })
  return new RegExp(`^${parts.join('').replace(/(enum value set: .*)(\\\]$)/, '$1(, \\w+)*$2')}$`, 's')
}

const isBuilt = (operation: string): boolean => {
  const entry = operations.get(operation)
  return entry !== undefined && !('refused' in entry)
}
const isRefusedWhole = (operation: string): boolean => operations.get(operation) !== undefined && !isBuilt(operation)

describe('each scenario of kms-errors.json', () => {
  for (const [name, scenario] of Object.entries(scenarios)) {
    const meet = cases[name]
    if (meet !== undefined) {
      it(`${name} (${scenario.confidence})`, async () => {
        for (const { reply, fill = {} } of [await meet()].flat()) {
          expect({ status: reply.status, type: reply.body.__type }, reply.text).toEqual({ status: scenario.http, type: scenario.exception })
          const text = reply.body[scenario.exception === 'AccessDeniedException' ? 'Message' : 'message']
          if (scenario.message !== null) expect(text).toMatch(textOf(scenario.message, fill))
        }
      })
    }
  }

  it('is met above, listed with its reason, or of an operation that is refused as a whole', () => {
    const open = Object.entries(scenarios).filter(([name, scenario]) =>
      cases[name] === undefined && !elsewhere.some(([pattern]) => pattern.test(name)) && !scenario.operations.every(isRefusedWhole))
    expect(open.map(([name, { operations: names }]) => `${name}: ${names.join(', ')}`)).toEqual([])
    expect(Object.keys(cases).filter(name => scenarios[name] === undefined), 'cases of no scenario').toEqual([])
    expect(elsewhere.filter(([pattern]) => !Object.keys(scenarios).some(name => pattern.test(name))), 'reasons for no scenario').toEqual([])
  })
})
