// Access keys: the secret is sealed by the HSM, see identity/.
import { changed, lookUpMs, row, rows, type Db } from './database.ts'

export type AccessKeyStatus = 'Active' | 'Inactive'

export interface AccessKey {
  /** AKIA and 16 characters. */
  readonly id: string
  readonly accountId: string
  /** Null for the account's root user. */
  readonly userId: string | null
  readonly status: AccessKeyStatus
  readonly sealedSecret: Buffer
  /** Version of the service key that sealed it. */
  readonly serviceKeyVersion: number
  readonly createdAt: Date
}

/** An access key with the user it speaks for and the user's policy documents, all of one moment. */
export interface StoredAccessKey extends AccessKey {
  readonly user: { readonly id: string; readonly name: string; readonly path: string } | null
  readonly policyDocuments: readonly string[]
}

const columns = `a.id, a.account_id AS "accountId", a.user_id AS "userId", a.status, a.sealed_secret AS "sealedSecret",
  a.service_key_version AS "serviceKeyVersion", a.created_at AS "createdAt"`

/** The user must belong to the same account as the key. Resolves to false when that is not so, or the id is taken. */
export async function insertAccessKey(db: Db, key: Omit<AccessKey, 'createdAt'>): Promise<boolean> {
  return await changed(db, {
    name: 'access-keys.insert',
    text: `INSERT INTO access_keys (id, account_id, user_id, status, sealed_secret, service_key_version) SELECT $1, $2, $3, $4, $5, $6
      WHERE $3::text IS NULL OR EXISTS (SELECT FROM users WHERE id = $3 AND account_id = $2) ON CONFLICT (id) DO NOTHING`,
  }, [key.id, key.accountId, key.userId, key.status, key.sealedSecret, key.serviceKeyVersion]) === 1
}

export async function loadAccessKey(db: Db, accessKeyId: string): Promise<StoredAccessKey | undefined> {
  return await row<StoredAccessKey>(db, {
    name: 'access-keys.load',
    hot: true,
    withinMs: lookUpMs,
    text: `SELECT ${columns},
        CASE WHEN u.id IS NOT NULL THEN json_build_object('id', u.id, 'name', u.name, 'path', u.path) END AS user,
        ARRAY(SELECT p.document FROM user_policies p WHERE p.user_id = a.user_id ORDER BY p.name) AS "policyDocuments"
      FROM access_keys a LEFT JOIN users u ON u.id = a.user_id WHERE a.id = $1`,
  }, [accessKeyId])
}

/** Access keys of a user, or with `userId` null of the account's root user, oldest first. */
export async function listAccessKeys(db: Db, accountId: string, userId: string | null): Promise<AccessKey[]> {
  return await rows<AccessKey>(db, {
    name: 'access-keys.list',
    text: `SELECT ${columns} FROM access_keys a WHERE a.account_id = $1 AND a.user_id IS NOT DISTINCT FROM $2 ORDER BY a.created_at, a.id`,
  }, [accountId, userId])
}

/** Resolves to false when there is no such access key. */
export async function updateAccessKeyStatus(db: Db, accessKeyId: string, status: AccessKeyStatus): Promise<boolean> {
  return await changed(db, { name: 'access-keys.status', text: 'UPDATE access_keys SET status = $2 WHERE id = $1' }, [accessKeyId, status]) === 1
}

/** Resolves to false when there is no such access key. */
export async function deleteAccessKey(db: Db, accessKeyId: string): Promise<boolean> {
  return await changed(db, { name: 'access-keys.delete', text: 'DELETE FROM access_keys WHERE id = $1' }, [accessKeyId]) === 1
}
