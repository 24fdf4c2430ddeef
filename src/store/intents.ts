// Intents: what is about to happen in the HSM, written before it does and deleted after it is confirmed. Whoever works on one
// holds a claim on it for a while; when the claim runs out (a crash, a hang) the next one takes over and rolls it forward.
import { changed, row, rows, type Db } from './database.ts'

export type IntentKind = 'create-material' | 'add-backing'

export interface NewIntent {
  /** UUID. */
  readonly id: string
  readonly kind: IntentKind
  readonly keyId: string
  /** Whatever `apply` needs; JSON. */
  readonly payload: unknown
}

export interface Intent extends NewIntent {
  /** Names this claim: a claim that has run out and was taken over has another one. */
  readonly claim: string
  readonly createdAt: Date
}

/** Microseconds matter in a claim, and a JavaScript Date has none: it stays text. */
const columns = 'id, kind, key_id AS "keyId", payload, claimed_until::text AS claim, created_at AS "createdAt"'
const lease = (parameter: string): string => `clock_timestamp() + ${parameter} * interval '1 millisecond'`

/** Stores an intent, claimed by the caller for `leaseMs`. */
export async function insertIntent(db: Db, intent: NewIntent, leaseMs: number): Promise<Intent> {
  const inserted = await row<Intent>(db, {
    name: 'intents.insert',
    text: `INSERT INTO intents (id, kind, key_id, payload, claimed_until) VALUES ($1, $2, $3, $4, ${lease('$5')}) RETURNING ${columns}`,
  }, [intent.id, intent.kind, intent.keyId, JSON.stringify(intent.payload), leaseMs])
  if (inserted === undefined) throw new Error('intents.insert: no row came back')
  return inserted
}

/** Claims up to `limit` intents that nobody holds, the longest free first, for `leaseMs`: those that fail again and again do not keep others from their turn. Those being claimed by another are passed over, not waited for. */
export async function claimIntents(db: Db, limit: number, leaseMs: number): Promise<Intent[]> {
  return await rows<Intent>(db, {
    name: 'intents.claim',
    text: `UPDATE intents SET claimed_until = ${lease('$2')}
      WHERE id IN (SELECT id FROM intents WHERE claimed_until < clock_timestamp() ORDER BY claimed_until, created_at LIMIT $1 FOR UPDATE SKIP LOCKED)
      RETURNING ${columns}`,
  }, [limit, leaseMs])
}

/** Holds a claim for `leaseMs` from now. Resolves to the intent with its new claim, or undefined when it is done or another has taken over. */
export async function extendIntent(db: Db, intent: Pick<Intent, 'id' | 'claim'>, leaseMs: number): Promise<Intent | undefined> {
  return await row<Intent>(db, {
    name: 'intents.extend',
    text: `UPDATE intents SET claimed_until = ${lease('$3')} WHERE id = $1 AND claimed_until = $2::timestamptz RETURNING ${columns}`,
  }, [intent.id, intent.claim, leaseMs])
}

/** Lets go of a claim, so that a later claimIntents finds it, behind those that have been free for longer. Resolves to false when it is done or another has taken over. */
export async function releaseIntent(db: Db, intent: Pick<Intent, 'id' | 'claim'>): Promise<boolean> {
  return await changed(db, {
    name: 'intents.release', text: "UPDATE intents SET claimed_until = clock_timestamp() WHERE id = $1 AND claimed_until = $2::timestamptz",
  }, [intent.id, intent.claim]) === 1
}

/**
 * Deletes an intent that is confirmed, in the transaction that confirms it. Not bound to the claim: `apply` may be repeated,
 * whoever confirms first is right. Resolves to false when it is gone already.
 */
export async function deleteIntent(db: Db, id: string): Promise<boolean> {
  return await changed(db, { name: 'intents.delete', text: 'DELETE FROM intents WHERE id = $1' }, [id]) === 1
}

/** Intents not yet done, for metrics and the crash suite. */
export async function countIntents(db: Db): Promise<number> {
  const found = await row<{ count: string }>(db, { name: 'intents.count', text: 'SELECT count(*) FROM intents' })
  return Number(found?.count)
}
