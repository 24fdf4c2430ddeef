// The members of each result, written down from AWS's API reference: what an answer has beyond them, lacks of them, or has of
// another kind is a fault.
import type { Json } from './case.ts'

type Kind = 'text' | 'base64' | 'number' | 'boolean' | 'texts' | 'object' | 'objects' | 'arn' | 'material'

const kinds: Readonly<Record<Kind, (value: unknown) => boolean>> = {
  text: value => typeof value === 'string',
  base64: value => typeof value === 'string' && value.length > 0 && Buffer.from(value, 'base64').toString('base64') === value,
  number: value => typeof value === 'number',
  boolean: value => typeof value === 'boolean',
  texts: value => Array.isArray(value) && value.every(one => typeof one === 'string'),
  object: value => typeof value === 'object' && value !== null && !Array.isArray(value),
  objects: value => Array.isArray(value) && value.every(kind => typeof kind === 'object' && kind !== null),
  arn: value => typeof value === 'string' && /^arn:aws:kms:onprem-1:\d{12}:key\/[0-9a-f-]{36}$/.test(value),
  material: value => typeof value === 'string' && /^[0-9a-f]{64}$/.test(value),
}

/** A name with a question mark may be absent. undefined: the body has no bytes. */
const results: Readonly<Record<string, Readonly<Record<string, Kind>> | undefined>> = {
  CreateKey: { KeyMetadata: 'object' },
  DescribeKey: { KeyMetadata: 'object' },
  ListKeys: { Keys: 'objects', Truncated: 'boolean', 'NextMarker?': 'text' },
  Encrypt: { CiphertextBlob: 'base64', KeyId: 'arn', EncryptionAlgorithm: 'text' },
  Decrypt: { KeyId: 'arn', Plaintext: 'base64', EncryptionAlgorithm: 'text', KeyMaterialId: 'material' },
  ReEncrypt: {
    CiphertextBlob: 'base64', SourceKeyId: 'arn', KeyId: 'arn', SourceEncryptionAlgorithm: 'text', DestinationEncryptionAlgorithm: 'text',
    SourceKeyMaterialId: 'material', DestinationKeyMaterialId: 'material',
  },
  GenerateDataKey: { CiphertextBlob: 'base64', Plaintext: 'base64', KeyId: 'arn', KeyMaterialId: 'material' },
  GenerateDataKeyPair: { PrivateKeyCiphertextBlob: 'base64', PrivateKeyPlaintext: 'base64', PublicKey: 'base64', KeyId: 'arn', KeyPairSpec: 'text', KeyMaterialId: 'material' },
  GenerateDataKeyPairWithoutPlaintext: { PrivateKeyCiphertextBlob: 'base64', PublicKey: 'base64', KeyId: 'arn', KeyPairSpec: 'text', KeyMaterialId: 'material' },
  GenerateDataKeyWithoutPlaintext: { CiphertextBlob: 'base64', KeyId: 'arn', KeyMaterialId: 'material' },
  GenerateRandom: { Plaintext: 'base64' },
  ListAliases: { Aliases: 'objects', Truncated: 'boolean', 'NextMarker?': 'text' },
  GetKeyPolicy: { Policy: 'text', PolicyName: 'text' },
  ListKeyPolicies: { PolicyNames: 'texts', Truncated: 'boolean', 'NextMarker?': 'text' },
  ListResourceTags: { Tags: 'objects', Truncated: 'boolean', 'NextMarker?': 'text' },
  CreateAlias: undefined,
  UpdateAlias: undefined,
  DeleteAlias: undefined,
  EnableKey: undefined,
  DisableKey: undefined,
  UpdateKeyDescription: undefined,
  PutKeyPolicy: undefined,
  TagResource: undefined,
  UntagResource: undefined,
}

export function faultOfResult(operation: string, empty: boolean, output: Json): string | undefined {
  if (!Object.hasOwn(results, operation)) return `nobody has written down what ${operation} answers`
  const members = results[operation]
  if (members === undefined) return empty ? undefined : 'the result should have no bytes'
  if (empty) return 'the result has no bytes'
  const known = new Set<string>()
  for (const [name, kind] of Object.entries(members)) {
    const bare = name.replace(/\?$/, '')
    known.add(bare)
    if (output[bare] === undefined && bare !== name) continue
    if (!kinds[kind](output[bare])) return `${bare} is not ${kind}`
  }
  const stray = Object.keys(output).find(name => !known.has(name))
  return stray === undefined ? undefined : `the result has a member ${stray}`
}
