// Accounts, users and their policies.
import { changed, row, rows, type Db } from './database.ts'

export interface Account {
  /** 12 digits. */
  readonly id: string
  readonly name: string
  readonly createdAt: Date
}

export interface User {
  /** AIDA and 17 characters. */
  readonly id: string
  readonly accountId: string
  readonly name: string
  /** Begins and ends with a slash. */
  readonly path: string
  readonly createdAt: Date
}

const accountColumns = 'id, name, created_at AS "createdAt"'
const userColumns = 'id, account_id AS "accountId", name, path, created_at AS "createdAt"'

/** Resolves to false when there is an account with this id. */
export async function insertAccount(db: Db, account: Pick<Account, 'id' | 'name'>): Promise<boolean> {
  return await changed(db, {
    name: 'accounts.insert', text: 'INSERT INTO accounts (id, name) VALUES ($1, $2) ON CONFLICT (id) DO NOTHING',
  }, [account.id, account.name]) === 1
}

export async function findAccount(db: Db, accountId: string): Promise<Account | undefined> {
  return await row<Account>(db, { name: 'accounts.find', text: `SELECT ${accountColumns} FROM accounts WHERE id = $1` }, [accountId])
}

/** Locks an account until the transaction ends, against others that count what it has. */
export async function lockAccount(tx: Db, id: string): Promise<void> {
  // NO KEY: rows that refer to the account may be inserted meanwhile.
  await row(tx, { name: 'accounts.lock', text: 'SELECT id FROM accounts WHERE id = $1 FOR NO KEY UPDATE' }, [id])
}

/** Those of the account ids that exist. */
export async function findAccounts(db: Db, ids: readonly string[]): Promise<string[]> {
  const found = await rows<{ id: string }>(db, { name: 'accounts.find-many', text: 'SELECT id FROM accounts WHERE id = ANY($1)' }, [ids])
  return found.map(({ id }) => id)
}

/** A page of the accounts behind the id `after`. */
export async function listAccounts(db: Db, after: string | undefined, limit: number): Promise<Account[]> {
  return await rows<Account>(db, {
    name: 'accounts.list', text: `SELECT ${accountColumns} FROM accounts WHERE id > $1 ORDER BY id LIMIT $2`,
  }, [after ?? '', limit])
}

/** Resolves to false when the account has a user of this name in any case, as IAM has it. */
export async function insertUser(db: Db, user: Omit<User, 'createdAt'>): Promise<boolean> {
  return await changed(db, {
    name: 'users.insert',
    text: 'INSERT INTO users (id, account_id, name, path) VALUES ($1, $2, $3, $4) ON CONFLICT (account_id, lower(name)) DO NOTHING',
  }, [user.id, user.accountId, user.name, user.path]) === 1
}

export async function findUser(db: Db, accountId: string, name: string): Promise<User | undefined> {
  return await row<User>(db, {
    name: 'users.find', text: `SELECT ${userColumns} FROM users WHERE account_id = $1 AND lower(name) = lower($2)`,
  }, [accountId, name])
}

/** Those of the named users that exist, by account (12 digits) and name. One query, however many. */
export async function findUsers(db: Db, named: readonly Pick<User, 'accountId' | 'name'>[]): Promise<User[]> {
  return await rows<User>(db, {
    name: 'users.find-many',
    text: `SELECT ${userColumns} FROM users WHERE (account_id, lower(name)) IN (SELECT a, lower(n) FROM unnest($1::text[], $2::text[]) AS t(a, n))`,
  }, [named.map(user => user.accountId), named.map(user => user.name)])
}

/** A page of an account's users behind the id `after`. */
export async function listUsers(db: Db, accountId: string, after: string | undefined, limit: number): Promise<User[]> {
  return await rows<User>(db, {
    name: 'users.list', text: `SELECT ${userColumns} FROM users WHERE account_id = $1 AND id > $2 ORDER BY id LIMIT $3`,
  }, [accountId, after ?? '', limit])
}

/** Deletes a user with policies and access keys. Resolves to false when there is none. */
export async function deleteUser(db: Db, userId: string): Promise<boolean> {
  return await changed(db, { name: 'users.delete', text: 'DELETE FROM users WHERE id = $1' }, [userId]) === 1
}

/** A user's policy documents by name, in the order of the names. */
export async function listUserPolicies(db: Db, userId: string): Promise<Map<string, string>> {
  const found = await rows<{ name: string; document: string }>(db, {
    name: 'user-policies.list', text: 'SELECT name, document FROM user_policies WHERE user_id = $1 ORDER BY name',
  }, [userId])
  return new Map(found.map(({ name, document }) => [name, document]))
}

export async function putUserPolicy(db: Db, userId: string, name: string, document: string): Promise<void> {
  await changed(db, {
    name: 'user-policies.put',
    text: 'INSERT INTO user_policies (user_id, name, document) VALUES ($1, $2, $3) ON CONFLICT (user_id, name) DO UPDATE SET document = excluded.document',
  }, [userId, name, document])
}

/** Resolves to false when the user has no policy of this name. */
export async function deleteUserPolicy(db: Db, userId: string, name: string): Promise<boolean> {
  return await changed(db, { name: 'user-policies.delete', text: 'DELETE FROM user_policies WHERE user_id = $1 AND name = $2' }, [userId, name]) === 1
}
