// Rows of aliases. Names keep their `alias/` and are compared by bytes.
import { changed, lookUpMs, row, rows, type Db } from './database.ts'

export interface Alias {
  readonly accountId: string
  /** With `alias/`. */
  readonly name: string
  readonly keyId: string
  readonly createdAt: Date
  readonly updatedAt: Date
}

const columns = 'account_id AS "accountId", name, key_id AS "keyId", created_at AS "createdAt", updated_at AS "updatedAt"'

export async function findAlias(db: Db, accountId: string, name: string): Promise<Alias | undefined> {
  return await row<Alias>(db, {
    name: 'aliases.find', hot: true, withinMs: lookUpMs, text: `SELECT ${columns} FROM aliases WHERE account_id = $1 AND name = $2`,
  }, [accountId, name])
}

/** A page of an account's aliases behind the name `after`, by bytes of the name. */
export async function listAliases(db: Db, accountId: string, after: string | undefined, limit: number): Promise<Alias[]> {
  return await rows<Alias>(db, {
    name: 'aliases.list', text: `SELECT ${columns} FROM aliases WHERE account_id = $1 AND name > $2 ORDER BY name LIMIT $3`,
  }, [accountId, after ?? '', limit])
}

/** A page of a key's aliases behind the name `after`, by bytes of the name. */
export async function listAliasesOfKey(db: Db, keyId: string, after: string | undefined, limit: number): Promise<Alias[]> {
  return await rows<Alias>(db, {
    name: 'aliases.list-of-key', text: `SELECT ${columns} FROM aliases WHERE key_id = $1 AND name > $2 ORDER BY name LIMIT $3`,
  }, [keyId, after ?? '', limit])
}

/** Aliases of a key, for the quota. */
export async function countAliases(db: Db, keyId: string): Promise<number> {
  const found = await row<{ count: string }>(db, { name: 'aliases.count', text: 'SELECT count(*) FROM aliases WHERE key_id = $1' }, [keyId])
  return Number(found?.count)
}

/** Resolves to false when the account has an alias of this name. */
export async function insertAlias(db: Db, alias: Pick<Alias, 'accountId' | 'name' | 'keyId'>): Promise<boolean> {
  return await changed(db, {
    name: 'aliases.insert',
    text: 'INSERT INTO aliases (account_id, name, key_id) VALUES ($1, $2, $3) ON CONFLICT (account_id, name) DO NOTHING',
  }, [alias.accountId, alias.name, alias.keyId]) === 1
}

/** Points an alias to another key. Resolves to false when it does not point to the key `from`. */
export async function updateAlias(db: Db, alias: Pick<Alias, 'accountId' | 'name' | 'keyId'>, from: string): Promise<boolean> {
  return await changed(db, {
    name: 'aliases.update', text: 'UPDATE aliases SET key_id = $3, updated_at = now() WHERE account_id = $1 AND name = $2 AND key_id = $4',
  }, [alias.accountId, alias.name, alias.keyId, from]) === 1
}

/** Resolves to false when it does not point to this key. */
export async function deleteAlias(db: Db, alias: Pick<Alias, 'accountId' | 'name' | 'keyId'>): Promise<boolean> {
  return await changed(db, {
    name: 'aliases.delete', text: 'DELETE FROM aliases WHERE account_id = $1 AND name = $2 AND key_id = $3',
  }, [alias.accountId, alias.name, alias.keyId]) === 1
}
