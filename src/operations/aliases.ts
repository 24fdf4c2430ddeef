// CreateAlias, UpdateAlias, DeleteAlias, ListAliases.
import { KmsError } from '../errors.ts'
import { aliasArn, keyArn, parseKeyReference, type Locale } from '../keys/identifier.ts'
import { keySpecs } from '../keys/spec.ts'
import { keyStates } from '../keys/state.ts'
import type { Key } from '../keys/key.ts'
import { required, text } from '../shape/shape.ts'
import { countAliases, deleteAlias, findAlias, insertAlias, listAliases, listAliasesOfKey, updateAlias } from '../store/aliases.ts'
import type { Db } from '../store/database.ts'
import { findKey } from '../store/keys.ts'
import { checkAliasName } from './alias-name.ts'
import { keyId, limit, marker } from './members.ts'
import { from, operation, type KeyNeed } from './operation.ts'
import { cutPage, readPage } from './paging.ts'

const aliasName = required(text({ min: 1, max: 256, pattern: '^[a-zA-Z0-9:/_-]+$' }))
/** Aliases of one key. */
const aliasQuota = 50
const takesAliases = keyStates.filter(state => state !== 'PendingDeletion' && state !== 'PendingReplicaDeletion')

const target = (permission: `kms:${string}`): KeyNeed => ({
  key: from('TargetKeyId'), permission, states: takesAliases, aliases: false, otherAccounts: false, grantable: false,
})
/** The key that the alias points to now, whatever its state. */
const pointedTo = (permission: `kms:${string}`): KeyNeed => ({
  key: from('AliasName'), permission, states: 'any', aliases: true, otherAccounts: false, grantable: false,
})

function checkTarget({ AliasName, TargetKeyId }: { AliasName: string; TargetKeyId: string }): void {
  checkAliasName(AliasName)
  if (TargetKeyId.startsWith('alias/') || /^arn:[^:]*:kms:[^:]*:[^:]*:alias\//.test(TargetKeyId)) throw new KmsError('ValidationException', 'Aliases must refer to keys. Not aliases')
}

export const CreateAlias = operation({
  kind: 'write',
  input: { AliasName: aliasName, TargetKeyId: required(keyId) },
  needs: { target: target('kms:CreateAlias') },
  alias: { member: 'AliasName', permission: 'kms:CreateAlias' },
  readOnly: false,
  audit: ['AliasName'],
  check: checkTarget,
  async handle({ input, keys, locale, tx, notes }) {
    const { key } = keys.target
    // The key's row is locked: of two aliases at once, the second counts the first.
    if (await countAliases(tx, key.id) >= aliasQuota) throw new KmsError('LimitExceededException')
    const made = await insertAlias(tx, { accountId: locale.accountId, name: input.AliasName, keyId: key.id })
    if (!made) throw new KmsError('AlreadyExistsException', `An alias with the name ${aliasArn(locale.region, locale.accountId, input.AliasName)} already exists`)
    notes.responseElements = { keyId: key.arn }
    return undefined
  },
})

export const UpdateAlias = operation({
  kind: 'write',
  input: { AliasName: aliasName, TargetKeyId: required(keyId) },
  needs: { former: pointedTo('kms:UpdateAlias'), target: target('kms:UpdateAlias') },
  alias: { member: 'AliasName', permission: 'kms:UpdateAlias' },
  readOnly: false,
  audit: ['AliasName'],
  check: checkTarget,
  async handle({ input, keys, locale, tx, notes }) {
    const { former, target } = keys
    if (kindOf(former.key) !== kindOf(target.key) || former.key.usage !== target.key.usage) {
      throw new KmsError('ValidationException', `Alias ${aliasArn(locale.region, locale.accountId, input.AliasName)} cannot be moved to a key of another type or usage: ${target.key.arn}`)
    }
    const moves = former.key.id !== target.key.id
    if (moves && await countAliases(tx, target.key.id) >= aliasQuota) throw new KmsError('LimitExceededException')
    const alias = { accountId: locale.accountId, name: input.AliasName, keyId: target.key.id }
    if (!await updateAlias(tx, alias, former.key.id)) throw await movedMeanwhile(tx, input.AliasName, locale)
    notes.responseElements = { keyId: target.key.arn }
    return undefined
  },
})

/** Symmetric, asymmetric and HMAC keys do not stand in for each other. */
function kindOf({ spec }: Key): 'symmetric' | 'mac' | 'asymmetric' {
  if (spec === 'SYMMETRIC_DEFAULT') return 'symmetric'
  return keySpecs[spec].usages.GENERATE_VERIFY_MAC === undefined ? 'asymmetric' : 'mac'
}

export const DeleteAlias = operation({
  kind: 'write',
  input: { AliasName: aliasName },
  needs: { former: pointedTo('kms:DeleteAlias') },
  alias: { member: 'AliasName', permission: 'kms:DeleteAlias' },
  readOnly: false,
  audit: ['AliasName'],
  check({ AliasName }) {
    checkAliasName(AliasName)
  },
  async handle({ input, keys, locale, tx, notes }) {
    const { key } = keys.former
    const gone = await deleteAlias(tx, { accountId: locale.accountId, name: input.AliasName, keyId: key.id })
    if (!gone) throw await movedMeanwhile(tx, input.AliasName, locale)
    notes.responseElements = { keyId: key.arn }
    return undefined
  },
})

/**
 * The error when an alias no longer points to the key that the caller was found to have permission on: the one it points to now may be
 * another's to move. Clients try KMSInternalException again, and then permission is asked for that key.
 */
async function movedMeanwhile(tx: Db, name: string, { region, accountId }: Locale): Promise<KmsError> {
  if (await findAlias(tx, accountId, name) === undefined) return new KmsError('NotFoundException', `Alias ${aliasArn(region, accountId, name)} is not found.`)
  return new KmsError('KMSInternalException', 'The request was rejected because an internal exception occurred. The request can be retried.')
}

const defaultPage = 50
const longestPage = 100

export const ListAliases = operation({
  kind: 'read',
  input: { KeyId: keyId, Limit: limit, Marker: marker },
  needs: {},
  account: [{ permission: 'kms:ListAliases' }],
  readOnly: true,
  audit: ['KeyId', 'Limit', 'Marker'],
  async handle({ input, locale, db }) {
    const key = input.KeyId === undefined ? undefined : await ownKey(db, input.KeyId, locale)
    const listing = ['ListAliases', locale.accountId, key?.id ?? '']
    const page = readPage(listing, input.Marker, Math.min(input.Limit ?? defaultPage, longestPage), defaultPage)
    const found = key === undefined
      ? await listAliases(db, locale.accountId, page.after, page.limit + 1)
      : await listAliasesOfKey(db, key.id, page.after, page.limit + 1)
    const { entries, more } = cutPage(listing, found, page.limit, alias => alias.name)
    return {
      Aliases: entries.map(({ name, keyId: to, createdAt, updatedAt }) => ({
        AliasName: name, AliasArn: aliasArn(locale.region, locale.accountId, name), TargetKeyId: to, CreationDate: createdAt, LastUpdatedDate: updatedAt,
      })),
      ...more,
    }
  },
})

/** The key that narrows a listing: of the caller's own account, by id or ARN. @throws NotFoundException */
async function ownKey(db: Db, named: string, locale: Locale): Promise<Key> {
  const reference = parseKeyReference(named, locale)
  if (reference.kind === 'alias') throw new KmsError('NotFoundException', `Invalid keyId '${named}'`)
  const key = reference.accountId === locale.accountId ? await findKey(db, reference.keyId) : undefined
  // A key whose material was never confirmed has been told to nobody.
  const visible = key?.state !== 'Creating' || key.currentMaterialId !== null
  if (key === undefined || !visible || key.accountId !== locale.accountId) throw new KmsError('NotFoundException', `Key '${keyArn(locale.region, reference.accountId, reference.keyId)}' does not exist`)
  return key
}
