// The audit trail as it stands in Postgres.
import { gunzipSync } from 'node:zlib'
import type { Pool } from '../../src/store/database.ts'
import { until, type Json } from './scene.ts'

/** Every record that has been shipped so far. */
export async function wholeTrail(pool: Pool): Promise<Json[]> {
  const { rows } = await pool.query<{ records: Buffer }>('SELECT records FROM audit_batches ORDER BY first_time, writer, first')
  return rows.flatMap(({ records }) => gunzipSync(records).toString().trimEnd().split('\n').map(line => JSON.parse(line) as Json))
}

/** The records of these requests, by request id, once all have come. */
export async function recordsOf(pool: Pool, requestIds: readonly string[]): Promise<Map<string, Json[]>> {
  const found = new Map<string, Json[]>()
  await until('the audit records to be shipped', async () => {
    found.clear()
    for (const record of await wholeTrail(pool)) {
      const id = String(record.requestID)
      if (requestIds.includes(id)) found.set(id, [...found.get(id) ?? [], record])
    }
    return found.size === new Set(requestIds).size
  })
  return found
}

/** The one record of a request. */
export async function recordOf(pool: Pool, requestId: string): Promise<Json> {
  const [record, second] = (await recordsOf(pool, [requestId])).get(requestId) ?? []
  if (record === undefined || second !== undefined) throw new Error(`request ${requestId} has not exactly one record`)
  return record
}
