// Key ids, ARNs and alias names: parsing, printing and AWS's texts for what is malformed.
import { randomUUID } from 'node:crypto'
import { KmsError } from '../errors.ts'

const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/
const multiRegionId = /^mrk-[0-9a-f]{32}$/
const arnPattern = /^arn:([a-z0-9-]+):kms:([a-z0-9-]+):([0-9]{12}):(key|alias)\/(.+)$/

/** Where a name is read: decides what a bare id or alias name means. */
export interface Locale {
  readonly region: string
  readonly accountId: string
}

export type KeyReference =
  | { readonly kind: 'key'; readonly accountId: string; readonly keyId: string; readonly form: 'id' | 'arn' }
  | { readonly kind: 'alias'; readonly accountId: string; readonly name: string; readonly form: 'name' | 'arn' }

export const newKeyId = (): string => randomUUID()
export const keyArn = (region: string, accountId: string, keyId: string): string => `arn:aws:kms:${region}:${accountId}:key/${keyId}`
export const aliasArn = (region: string, accountId: string, name: string): string => `arn:aws:kms:${region}:${accountId}:${name}`
const aliasPattern = /^alias\/[a-zA-Z0-9/_-]{1,250}$/
/** Whether an alias can have this name, `alias/` included: AWS's pattern without the colon, which the service refuses. */
export const isAliasName = (text: string): boolean => aliasPattern.test(text)
export const isKeyId = (text: string): boolean => uuid.test(text) || multiRegionId.test(text)

/** The 16 bytes of a key id as they stand in ciphertexts and material rows. */
export const keyIdBytes = (keyId: string): Buffer => Buffer.from(keyId.replace(/^mrk-/, '').replaceAll('-', ''), 'hex')

/** The key id that 16 bytes stand for. */
export function keyIdFromBytes(bytes: Buffer, multiRegion: boolean): string {
  const hex = bytes.toString('hex')
  if (multiRegion) return `mrk-${hex}`
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-')
}

/**
 * Reads a KeyId member: key id, key ARN, alias name or alias ARN.
 * @throws NotFoundException with AWS's texts: `Invalid keyId '…'` for what is none of these, `Invalid arn <region>` for another Region.
 */
export function parseKeyReference(text: string, locale: Locale): KeyReference {
  if (text.startsWith('alias/')) return { kind: 'alias', accountId: locale.accountId, name: text, form: 'name' }
  if (isKeyId(text)) return { kind: 'key', accountId: locale.accountId, keyId: text, form: 'id' }
  const [, partition, region, accountId, kind, name] = arnPattern.exec(text) ?? []
  if (partition !== 'aws' || region === undefined || accountId === undefined || name === undefined) {
    throw new KmsError('NotFoundException', `Invalid keyId '${text}'`)
  }
  if (region !== locale.region) throw new KmsError('NotFoundException', `Invalid arn ${region}`)
  if (kind === 'alias') return { kind, accountId, name: `alias/${name}`, form: 'arn' }
  if (!isKeyId(name)) throw new KmsError('NotFoundException', `Invalid keyId '${text}'`)
  return { kind: 'key', accountId, keyId: name, form: 'arn' }
}
