// Rows of keys: what DescribeKey and ListKeys show, and the state a key is in.
import { keyArn } from '../keys/identifier.ts'
import type { Key, Origin } from '../keys/key.ts'
import type { KeySpecName, KeyUsage } from '../keys/spec.ts'
import type { KeyState } from '../keys/state.ts'
import { changed, row, rows, type Db } from './database.ts'

export interface KeyRow {
  readonly id: string
  readonly account_id: string
  readonly region: string
  readonly spec: string
  readonly usage: string
  readonly origin: string
  readonly state: string
  readonly description: string
  readonly multi_region: boolean
  readonly manager: string
  readonly created_at: Date
  readonly deletion_date: Date | null
  readonly current_material_id: Buffer | null
}

/** Named one by one: a prepared `SELECT *` would fail once a migration adds a column. */
export const keyColumns = `k.id, k.account_id, k.region, k.spec, k.usage, k.origin, k.state, k.description, k.multi_region, k.manager, k.created_at,
  k.deletion_date, k.current_material_id`

/** The columns' values are what insertKey wrote: spec, usage and origin are re-checked by the material's MAC, not here. */
export const keyFromRow = (found: KeyRow): Key => ({
  id: found.id,
  accountId: found.account_id,
  region: found.region,
  arn: keyArn(found.region, found.account_id, found.id),
  spec: found.spec as KeySpecName,
  usage: found.usage as KeyUsage,
  origin: found.origin as Origin,
  state: found.state as KeyState,
  description: found.description,
  multiRegion: found.multi_region,
  manager: found.manager as Key['manager'],
  createdAt: found.created_at,
  deletionDate: found.deletion_date,
  currentMaterialId: found.current_material_id,
})

export type NewKey = Pick<Key, 'id' | 'accountId' | 'region' | 'spec' | 'usage' | 'origin' | 'state' | 'description' | 'multiRegion' | 'manager'>

/** Stores a new key without material and resolves to it, with the creation date that Postgres gave it. */
export async function insertKey(db: Db, key: NewKey): Promise<Key> {
  const inserted = await row<KeyRow>(db, {
    name: 'keys.insert',
    text: `INSERT INTO keys AS k (id, account_id, region, spec, usage, origin, state, description, multi_region, manager)
      VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) RETURNING ${keyColumns}`,
  }, [key.id, key.accountId, key.region, key.spec, key.usage, key.origin, key.state, key.description, key.multiRegion, key.manager])
  if (inserted === undefined) throw new Error('keys.insert: no row came back')
  return keyFromRow(inserted)
}

export async function findKey(db: Db, keyId: string): Promise<Key | undefined> {
  const found = await row<KeyRow>(db, { name: 'keys.find', hot: true, text: `SELECT ${keyColumns} FROM keys k WHERE k.id = $1` }, [keyId])
  return found && keyFromRow(found)
}

/** The key, locked until the transaction ends: for changes that depend on what it is now. */
export async function lockKey(tx: Db, keyId: string): Promise<Key | undefined> {
  const found = await row<KeyRow>(tx, { name: 'keys.lock', text: `SELECT ${keyColumns} FROM keys k WHERE k.id = $1 FOR UPDATE` }, [keyId])
  return found && keyFromRow(found)
}

/** A page of an account's keys behind the key id `after`, by bytes of the id. Keys whose creation has not been confirmed are not listed. */
export async function listKeys(db: Db, accountId: string, after: string | undefined, limit: number): Promise<Key[]> {
  const found = await rows<KeyRow>(db, {
    name: 'keys.list',
    text: `SELECT ${keyColumns} FROM keys k
      WHERE k.account_id = $1 AND k.id > $2
        AND (k.state <> 'Creating' OR EXISTS (SELECT FROM materials m WHERE m.key_id = k.id AND m.mac IS NOT NULL))
      ORDER BY k.id LIMIT $3`,
  }, [accountId, after ?? '', limit])
  return found.map(keyFromRow)
}

/** Keys of an account in any state, for the quota. */
export async function countKeys(db: Db, accountId: string): Promise<number> {
  const found = await row<{ count: string }>(db, { name: 'keys.count', text: 'SELECT count(*) FROM keys WHERE account_id = $1' }, [accountId])
  return Number(found?.count)
}

/**
 * Moves a key from one of the states `from` to `to`; `deletionDate` goes with it, null for all but PendingDeletion.
 * Resolves to false when there is no such key in one of these states.
 */
export async function updateKeyState(db: Db, keyId: string, from: readonly KeyState[], to: KeyState, deletionDate: Date | null): Promise<boolean> {
  return await changed(db, {
    name: 'keys.state',
    text: 'UPDATE keys SET state = $3, deletion_date = $4 WHERE id = $1 AND state = ANY($2)',
  }, [keyId, from, to, deletionDate]) === 1
}

/** Makes a confirmed material (32-byte id, or null where AWS does not name it) the current one and moves the key from `from` to `to`. */
export async function updateCurrentMaterial(db: Db, keyId: string, materialId: Buffer | null, from: KeyState, to: KeyState): Promise<boolean> {
  return await changed(db, {
    name: 'keys.material',
    text: 'UPDATE keys SET current_material_id = $2, state = $4 WHERE id = $1 AND state = $3',
  }, [keyId, materialId, from, to]) === 1
}

export async function updateKeyDescription(db: Db, keyId: string, description: string): Promise<boolean> {
  return await changed(db, { name: 'keys.description', text: 'UPDATE keys SET description = $2 WHERE id = $1' }, [keyId, description]) === 1
}
