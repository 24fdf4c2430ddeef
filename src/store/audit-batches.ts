// Audit records, shipped in batches: one row a batch, never a row a record.
import { changed, row, rows, type Db } from './database.ts'

export interface AuditBatch {
  /** UUID of the journal that wrote it. */
  readonly writer: string
  /** Sequence numbers of its first and last record in that journal. */
  readonly first: number
  readonly last: number
  readonly firstTime: Date
  readonly lastTime: Date
  /** gzip of the records, one JSON document a line. */
  readonly records: Buffer
  /** What stands in the records, each value once: for look-up. */
  readonly accounts: readonly string[]
  readonly eventNames: readonly string[]
  readonly keyIds: readonly string[]
  readonly principals: readonly string[]
  readonly requestIds: readonly string[]
}

/** Stores a batch. Resolves to false when it is there already: the answer to an earlier try was lost. */
export async function insertAuditBatch(db: Db, batch: AuditBatch): Promise<boolean> {
  return await changed(db, {
    name: 'audit-batches.insert',
    hot: true,
    text: `INSERT INTO audit_batches (writer, first, last, first_time, last_time, records, accounts, event_names, key_ids, principals, request_ids)
      VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) ON CONFLICT (writer, first) DO NOTHING`,
  }, [
    batch.writer, batch.first, batch.last, batch.firstTime, batch.lastTime, batch.records, batch.accounts, batch.eventNames, batch.keyIds,
    batch.principals, batch.requestIds,
  ]) === 1
}

/** The highest sequence number that a journal has shipped; undefined when none. */
export async function lastShipped(db: Db, writer: string): Promise<number | undefined> {
  const found = await row<{ last: string | null }>(db, {
    name: 'audit-batches.last', text: 'SELECT max(last) AS last FROM audit_batches WHERE writer = $1',
  }, [writer])
  return found?.last == null ? undefined : Number(found.last)
}

export interface AuditQuery {
  /** Batches with records of this account. */
  readonly accountId?: string
  readonly eventName?: string
  readonly keyId?: string
  readonly principal?: string
  readonly requestId?: string
  /** Batches that reach into [from, to]. */
  readonly from: Date
  readonly to: Date
  /** Goes on behind this batch of the page before. */
  readonly after?: Pick<AuditBatch, 'lastTime' | 'writer' | 'first'>
  readonly limit: number
}

const columns = `writer, first, last, first_time AS "firstTime", last_time AS "lastTime", records, accounts, event_names AS "eventNames",
  key_ids AS "keyIds", principals, request_ids AS "requestIds"`

/** The batches that may hold matching records, newest first; the records in them are the caller's to filter. */
export async function listAuditBatches(db: Db, query: AuditQuery): Promise<AuditBatch[]> {
  const found = await rows<Omit<AuditBatch, 'first' | 'last'> & { first: string; last: string }>(db, {
    name: 'audit-batches.list',
    text: `SELECT ${columns} FROM audit_batches
      WHERE last_time >= $1 AND first_time <= $2
        AND ($3::text IS NULL OR $3 = ANY(accounts)) AND ($4::text IS NULL OR $4 = ANY(event_names)) AND ($5::text IS NULL OR $5 = ANY(key_ids))
        AND ($6::text IS NULL OR $6 = ANY(principals)) AND ($7::text IS NULL OR $7 = ANY(request_ids))
        AND ($8::timestamptz IS NULL OR (last_time, writer, first) < ($8, $9::uuid, $10::bigint))
      ORDER BY last_time DESC, writer DESC, first DESC LIMIT $11`,
  }, [
    query.from, query.to, query.accountId, query.eventName, query.keyId, query.principal, query.requestId,
    query.after?.lastTime, query.after?.writer, query.after?.first, query.limit,
  ])
  return found.map(batch => ({ ...batch, first: Number(batch.first), last: Number(batch.last) }))
}
