// The record of a change goes into the transaction that makes the change: both are there or neither.
import { randomUUID } from 'node:crypto'
import { insertAuditBatch } from '../store/audit-batches.ts'
import type { Db } from '../store/database.ts'
import { batchOf } from './batch.ts'
import type { AuditEntry } from './record.ts'
import { termsOf } from './search-terms.ts'

/** Numbers the batches that this process writes inside transactions. Not a journal's writer: rolled back numbers leave gaps. */
export class TransactionWriter {
  readonly writer: string = randomUUID()
  #next = 1

  take(count: number): number {
    const first = this.#next
    this.#next += count
    return first
  }
}

/** Inserts the record of a change, and its owner's copies if there are any, as one row. @throws DatabaseError */
export async function insertRecord(tx: Db, writer: TransactionWriter, entries: readonly AuditEntry[]): Promise<void> {
  if (entries.length === 0) throw new RangeError('a change without a record')
  const first = writer.take(entries.length)
  const lot = {
    writer: writer.writer,
    first,
    last: first + entries.length - 1,
    lines: Buffer.from(entries.map(entry => `${entry.line}\n`).join('')),
    terms: termsOf(entries.map(entry => entry.lookup)),
  }
  if (!(await insertAuditBatch(tx, await batchOf(lot)))) throw new Error('the number of an audit record is taken')
}
