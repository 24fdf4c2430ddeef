// What stands in the audit trail of a database.
import { gunzipSync } from 'node:zlib'
import { rows, type Db } from '../../src/store/database.ts'

export interface AuditRecord {
  readonly eventName: string
  readonly errorCode?: string
  readonly requestID: string
  readonly resources?: readonly { readonly ARN: string }[]
}

/** All records that have reached Postgres. */
export async function auditRecords(db: Db): Promise<AuditRecord[]> {
  const batches = await rows<{ records: Buffer }>(db, { name: 'test.audit', text: 'SELECT records FROM audit_batches' })
  return batches.flatMap(({ records }) => gunzipSync(records).toString().trimEnd().split('\n').map(line => JSON.parse(line) as AuditRecord))
}
