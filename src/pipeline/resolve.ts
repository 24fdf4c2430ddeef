// From what a request calls its keys to the keys: ids, ARNs, aliases, and ciphertexts, which name their key themselves.
// A key that is not there is an answer too: authorize() decides what the caller may know of it.
import type { Caller } from '../identity/caller.ts'
import type { KeyEntry } from '../cache/key-entry.ts'
import { parseCiphertext, type CiphertextHeader } from '../keys/ciphertext.ts'
import { aliasArn, isAliasName, isKeyId, keyArn, keyIdBytes, keyIdFromBytes, parseKeyReference, type KeyReference, type Locale } from '../keys/identifier.ts'
import { KmsError } from '../errors.ts'
import type { KeyNeed, Operation, ParsedInput } from '../operations/operation.ts'
import type { Resources } from './resources.ts'

export interface ResolvedKey {
  readonly name: string
  readonly need: KeyNeed
  readonly entry: KeyEntry | undefined
  /** What a missing key would be called: its ARN, or its alias's. undefined where only a ciphertext names it. */
  readonly arn: string | undefined
  readonly missing: 'key' | 'alias'
  readonly accountId: string | undefined
  /** The header of the ciphertext that names the key, to be held against the key named beside it. */
  readonly header: CiphertextHeader | undefined
}

/** @throws NotFoundException for what is no key id, InvalidCiphertextException for what is no ciphertext */
export async function resolve(resources: Resources, operation: Operation, input: ParsedInput, caller: Caller): Promise<ResolvedKey[]> {
  const locale = { region: resources.region, accountId: caller.accountId }
  const resolved: ResolvedKey[] = []
  for (const [name, need] of Object.entries(operation.needs)) resolved.push(await resolveOne(resources, locale, name, need, input))
  return resolved
}

async function resolveOne(resources: Resources, locale: Locale, name: string, need: KeyNeed, input: ParsedInput): Promise<ResolvedKey> {
  const named = input[need.key.member]
  const blob = need.key.kind === 'ciphertext' ? input[need.key.blob] : undefined
  if (typeof named !== 'string') return await byCiphertext(resources, name, need, blob)
  const reference = parseKeyReference(named, locale)
  if (reference.kind === 'alias' && !need.aliases) throw new KmsError('NotFoundException', `Invalid keyId '${named}'`)
  const keyId = await keyIdOf(resources, reference)
  const header = Buffer.isBuffer(blob) ? headerOf(blob) : undefined
  const found = keyId === undefined ? undefined : await visible(resources, keyId)
  // A bare id means the caller's own account, except beside a ciphertext, which names the key whoever owns it.
  const anyAccount = reference.form === 'id' && header !== undefined && keyId !== undefined && header.keyId.equals(keyIdBytes(keyId))
  const entry = found !== undefined && (anyAccount || found.key.accountId === reference.accountId) ? found : undefined
  return {
    name, need, entry, header, accountId: entry?.key.accountId ?? reference.accountId,
    missing: reference.kind,
    arn: reference.kind === 'alias' ? aliasArn(locale.region, reference.accountId, reference.name) : keyArn(locale.region, reference.accountId, reference.keyId),
  }
}

async function byCiphertext(resources: Resources, name: string, need: KeyNeed, blob: unknown): Promise<ResolvedKey> {
  const { header } = parseCiphertext(Buffer.isBuffer(blob) ? blob : Buffer.alloc(0))
  const keyId = keyIdFromBytes(header.keyId, header.multiRegion)
  const entry = isKeyId(keyId) ? await visible(resources, keyId) : undefined
  return { name, need, entry, header, arn: undefined, missing: 'key', accountId: entry?.key.accountId }
}

/** A blob beside a KeyId is read as far as it can be; what is wrong with it is said only to who may use the key. */
function headerOf(blob: Buffer): CiphertextHeader | undefined {
  try {
    return parseCiphertext(blob).header
  } catch {
    return undefined
  }
}

async function keyIdOf({ cache }: Resources, reference: KeyReference): Promise<string | undefined> {
  if (reference.kind === 'key') return reference.keyId
  // What no alias can be called is not asked for: Postgres takes no NUL, and the cache need not remember it.
  if (!isAliasName(reference.name)) return undefined
  const found = cache.alias(reference.accountId, reference.name)
  return found instanceof Promise ? await found : found
}

/** A key whose material was never confirmed has been told to nobody: it is not there. */
async function visible({ cache, region }: Resources, keyId: string): Promise<KeyEntry | undefined> {
  const found = cache.key(keyId)
  const entry = found instanceof Promise ? await found : found
  if (entry === undefined || entry.key.region !== region) return undefined
  return entry.key.state === 'Creating' && entry.current === undefined ? undefined : entry
}
