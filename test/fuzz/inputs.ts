// Valid inputs of every operation that is built, from its declaration, with real keys, aliases and ciphertexts where members name
// them; and what may be said of them. `must` are the errors of which one has to come, `may` those that may.
import type { ErrorCode } from '../../src/errors.ts'
import type { KeyNeed, Operation } from '../../src/operations/operation.ts'
import { operations } from '../../src/operations/table.ts'
import { bare } from '../../src/shape/shape.ts'
import { policyText } from './policies.ts'
import type { Random } from './random.ts'
import { within } from './values.ts'
import type { Blob, World, WorldKey } from './world.ts'

export const built: ReadonlyMap<string, Operation> = new Map([...operations].flatMap(([name, entry]) => 'refused' in entry ? [] : [[name, entry]]))
export const refusedNames = [...operations].flatMap(([name, entry]) => 'refused' in entry ? [name] : [])

export interface Draft {
  readonly operation: string
  readonly input: Record<string, unknown>
  readonly must: Set<ErrorCode>
  readonly may: Set<ErrorCode>
  /** The ciphertext in it. */
  readonly blob?: Blob
}

/** Calls of an operation for each hundred of another: what makes keys or is slow is rare. */
const weights: Readonly<Record<string, number>> = { CreateKey: 0.02, PutKeyPolicy: 0.3, CreateAlias: 0.3, UpdateAlias: 0.3, DeleteAlias: 0.3, TagResource: 0.3, UntagResource: 0.3, UpdateKeyDescription: 0.3, EnableKey: 0.3, DisableKey: 0.3 }
const choices = [...built.keys()].map(name => [weights[name] ?? 1, name] as const)

export const anyOperation = (random: Random): string => random.weighted(choices)

export function validDraft(random: Random, world: World, name: string): Draft {
  const operation = built.get(name)
  if (operation === undefined) throw new RangeError(`${name} is not built`)
  const input: Record<string, unknown> = {}
  for (const [member, shape] of Object.entries(operation.input)) {
    if (shape.kind === 'required' || random.chance(rarely.has(member) ? 0.02 : 0.3)) input[member] = within(random, bare(shape))
  }
  const blob = 'CiphertextBlob' in operation.input && 'DestinationKeyId' in operation.input || name === 'Decrypt' ? random.pick(world.blobs) : undefined
  const draft: Draft = { operation: name, input, must: new Set(), may: new Set(), ...(blob === undefined ? {} : { blob }) }
  if (blob !== undefined) putCiphertext(random, draft, blob, name === 'Decrypt' ? 'EncryptionContext' : 'SourceEncryptionContext')
  for (const need of Object.values(operation.needs)) putKey(random, world, draft, operation, need)
  members(random, draft)
  rules[name]?.(random, draft, world)
  if (input.DryRun === true) draft.must.add('DryRunOperationException')
  return draft
}

const rarely: ReadonlySet<string> = new Set(['Recipient', 'CustomKeyStoreId', 'XksKeyId', 'DryRunModifiers', 'Marker', 'DryRun', 'CustomerMasterKeySpec', 'MultiRegion'])

function putCiphertext(random: Random, { input }: Draft, { bytes, context }: Blob, contextMember: string): void {
  input.CiphertextBlob = bytes.toString('base64')
  if (context.length === 0) {
    delete input[contextMember]
    return
  }
  const pairs: Record<string, string> = {}
  // Assigned, a key called __proto__ would be lost.
  for (const [key, value] of random.shuffled(context)) Object.defineProperty(pairs, key, { value, enumerable: true })
  input[contextMember] = pairs
}

function putKey(random: Random, world: World, draft: Draft, operation: Operation, need: KeyNeed): void {
  const { input, must, may } = draft
  const { member } = need.key
  if (member === 'AliasName') return
  if (need.key.kind === 'ciphertext') {
    if (random.chance(0.5)) delete input[member]
    else if (draft.blob !== undefined) input[member] = random.pick([draft.blob.key.id, draft.blob.key.arn])
    return
  }
  if (operation.kind === 'write') may.add('KMSInvalidStateException')
  const [kind, choose] = random.weighted(operation.kind === 'write' ? [[60, ['scratch', ({ scratch }) => random.pick(scratch)]], ...wrongKeys] satisfies Keys : [...rightKeys, ...wrongKeys])
  const chosen = choose(world, random)
  input[member] = typeof chosen === 'string' ? chosen : random.pick([chosen.id, chosen.arn])
  for (const code of errorsOfKey(kind, need)) must.add(code)
  // Every key of the world is symmetric.
  if (need.usage !== undefined && need.usage !== 'ENCRYPT_DECRYPT') must.add('InvalidKeyUsageException')
}

type Keys = readonly (readonly [weight: number, readonly [kind: string, choose: (world: World, random: Random) => WorldKey | string]])[]

/** Never given to what would change them. */
const rightKeys: Keys = [
  [20, ['open', ({ open }, random) => random.pick(open)]], [2, ['alias', (_, random) => `alias/fixed-${random.below(4)}`]], [1, ['disabled', ({ disabled }) => disabled]],
]
const wrongKeys: Keys = [
  [1, ['missing', (_, random) => random.uuid()]], [1, ['shared', ({ shared }) => shared.arn]], [1, ['closed', ({ closed }) => closed.arn]], [1, ['absent-alias', () => 'alias/no-such-alias']],
  [1, ['malformed', (_, random) => random.text(random.between(1, 60))]],
  [1, ['own-names', (_, random) => random.pick(['__proto__', 'constructor', 'alias/__proto__', `alias/${random.text(5)}`, `arn:aws:kms:onprem-1:111122223333:alias/${random.text(4)}`, `arn:aws:kms:us-east-1:111122223333:key/${random.uuid()}`])]],
]

/** AWS's errors for keys that are not right. */
function errorsOfKey(kind: string, need: KeyNeed): readonly ErrorCode[] {
  const noAlias: readonly ErrorCode[] = need.key.member === 'TargetKeyId' ? ['ValidationException', 'NotFoundException'] : ['NotFoundException']
  switch (kind) {
    case 'alias': return need.aliases ? [] : noAlias
    case 'disabled': return need.states === 'any' || need.states.includes('Disabled') ? [] : ['DisabledException']
    case 'missing': return ['NotFoundException']
    case 'absent-alias': return noAlias
    case 'shared': return need.otherAccounts ? [] : ['AccessDeniedException']
    case 'closed': return ['AccessDeniedException']
    case 'malformed': return ['NotFoundException']
    case 'own-names': return [...noAlias, 'AccessDeniedException']
    default: return []
  }
}

/** Members that are the same in all operations. */
function members(random: Random, { input, must, may }: Draft): void {
  if ('GrantTokens' in input) may.add('InvalidGrantTokenException')
  if (input.Recipient !== undefined) must.add('UnsupportedOperationException')
  for (const name of ['EncryptionAlgorithm', 'SourceEncryptionAlgorithm', 'DestinationEncryptionAlgorithm']) {
    if (input[name] !== undefined && random.chance(0.9)) input[name] = 'SYMMETRIC_DEFAULT'
    if (input[name] !== undefined && input[name] !== 'SYMMETRIC_DEFAULT') must.add('InvalidKeyUsageException')
  }
  if (input.Marker !== undefined) {
    if (random.chance(0.5)) input.Marker = random.bytes(random.between(1, 60)).toString('base64')
    // Where there is one page, any marker will do.
    may.add('InvalidMarkerException')
  }
  if (Array.isArray(input.DryRunModifiers) && input.DryRunModifiers.length > 0) {
    if (input.DryRun !== true) must.add('ValidationException')
    else may.add('ValidationException')
  }
  if ('Policy' in input) input.Policy = policyText(random)
}

type Rule = (random: Random, draft: Draft, world: World) => void

const dataKeySize: Rule = (random, { input, must }) => {
  if (random.chance(0.9)) {
    if (random.chance(0.5)) delete input.NumberOfBytes
    else delete input.KeySpec
    if (input.KeySpec === undefined && input.NumberOfBytes === undefined) input.KeySpec = 'AES_256'
  }
  if ((input.KeySpec === undefined) === (input.NumberOfBytes === undefined)) must.add('ValidationException')
}

const alias: Rule = (random, { operation, input, may, must }) => {
  const [name, code] = random.weighted<readonly [string, ErrorCode | undefined]>([
    [20, [`alias/fuzz-${random.below(64)}`, undefined]], [1, ['alias/aws/x', 'NotAuthorizedException']], [1, ['fuzz', 'ValidationException']], [1, ['alias/a:b', 'InvalidAliasNameException']], [1, ['alias/', 'InvalidAliasNameException']],
  ])
  input.AliasName = name
  if (code !== undefined) must.add(code)
  else if (operation === 'CreateAlias') may.add('AlreadyExistsException').add('LimitExceededException')
  else may.add('NotFoundException').add('LimitExceededException')
}

const tags: Rule = (random, { operation, input, may }) => {
  // Few names, so that keys do not fill up.
  const names = random.shuffled(Array.from({ length: 40 }, (_, at) => at % 4 === 0 ? `tag ${['\u00e9', '\u{1f600}', '__proto__', '"', '\\'][at % 5]}${at}` : `tag-${at}`)).slice(0, random.below(12))
  const odd = random.chance(0.05) ? [random.pick(['aws:x', 'AWS:y', 'tag-1', `odd ${random.text(3)}`])] : []
  const all = [...names, ...odd]
  if (operation === 'UntagResource') input.TagKeys = all
  else input.Tags = all.map(TagKey => ({ TagKey, TagValue: random.text(random.length(256)) }))
  may.add('TagException')
}

const policy: Rule = (random, draft, world) => {
  const { input, may, must } = draft
  if (random.chance(0.8)) delete input.PolicyName
  if (input.PolicyName !== undefined) may.add('UnsupportedOperationException')
  if (random.chance(0.5)) {
    // What the text generator made may lock out whoever comes next: only for keys kept for that.
    input.KeyId = random.pick(world.policed).id
    must.clear()
    may.add('AccessDeniedException').add('MalformedPolicyDocumentException').add('LimitExceededException').add('InvalidArnException')
    return
  }
  input.Policy = policyText(random, 'sound')
}

const keyPair: Rule = (random, { input, must }) => {
  // RSA pairs take seconds.
  input.KeyPairSpec = random.pick(['ECC_NIST_P256', 'ECC_NIST_P384', 'ECC_NIST_P521', 'ECC_SECG_P256K1', 'ECC_NIST_EDWARDS25519', 'SM2', 'ML_KEM_768'])
  if (input.KeyPairSpec === 'SM2' || input.KeyPairSpec === 'ML_KEM_768') must.add('UnsupportedOperationException')
}

const rules: Readonly<Record<string, Rule>> = {
  GenerateDataKeyPair: keyPair,
  GenerateDataKeyPairWithoutPlaintext: keyPair,
  GetPublicKey(_random, { must }) {
    must.add('UnsupportedOperationException')
  },
  GenerateDataKey: dataKeySize,
  GenerateDataKeyWithoutPlaintext: dataKeySize,
  CreateAlias: alias,
  UpdateAlias: alias,
  DeleteAlias: alias,
  TagResource: tags,
  UntagResource: tags,
  PutKeyPolicy: policy,
  GenerateRandom(random, { input, must }) {
    if (input.NumberOfBytes === undefined && random.chance(0.9)) input.NumberOfBytes = random.between(1, 1024)
    if (input.NumberOfBytes === undefined) must.add('ValidationException')
    if (input.CustomKeyStoreId !== undefined) must.add('CustomKeyStoreNotFoundException')
  },
  GetKeyPolicy(random, { input, must, may }, { policed }) {
    if (random.chance(0.8)) delete input.PolicyName
    if (random.chance(0.05)) {
      input.KeyId = random.pick(policed).id
      must.clear()
      may.add('AccessDeniedException')
    }
    if (input.PolicyName !== undefined && input.PolicyName !== 'default') must.add('NotFoundException')
  },
  UpdateKeyDescription(_random, { input, must }) {
    if (typeof input.Description === 'string' && input.Description.includes('\0')) must.add('ValidationException')
  },
  ListAliases(random, { input, may }, { open, scratch }) {
    if (input.KeyId === undefined) return
    input.KeyId = random.chance(0.8) ? random.pick([...open, ...scratch]).id : random.text(random.between(1, 40))
    may.add('NotFoundException')
  },
  CreateKey(random, { input, may }) {
    if (random.chance(0.5)) for (const name of ['KeyUsage', 'KeySpec', 'Origin', 'CustomerMasterKeySpec', 'MultiRegion']) delete input[name]
    if (random.chance(0.5)) delete input.Policy
    const codes: readonly ErrorCode[] = [
      'ValidationException', 'UnsupportedOperationException', 'CustomKeyStoreNotFoundException', 'TagException', 'MalformedPolicyDocumentException', 'LimitExceededException', 'InvalidArnException',
    ]
    for (const code of codes) may.add(code)
  },
}
