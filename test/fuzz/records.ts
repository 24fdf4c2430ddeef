// The audit trail of a run, however long it is.
import { gunzipSync } from 'node:zlib'
import { rows, type Db } from '../../src/store/database.ts'

/** Takes the request ids that have a record out of `wanted`; resolves to the number of different ids that had none there. */
export async function strikeRecorded(db: Db, wanted: Set<string>): Promise<number> {
  const others = new Set<string>()
  const struck = new Set<string>()
  let after = { writer: '00000000-0000-0000-0000-000000000000', first: '0' }
  for (;;) {
    const batches = await rows<{ writer: string; first: string; records: Buffer }>(db, {
      name: 'fuzz.audit', text: 'SELECT writer, first, records FROM audit_batches WHERE (writer, first) > ($1, $2) ORDER BY writer, first LIMIT 500',
    }, [after.writer, after.first])
    for (const { records } of batches) {
      for (const [, id = ''] of gunzipSync(records).toString().matchAll(/"requestID":"([0-9a-f-]{36})"/g)) {
        if (wanted.delete(id)) struck.add(id)
        else if (!struck.has(id)) others.add(id)
      }
    }
    const last = batches.at(-1)
    if (last === undefined) return others.size
    after = last
  }
}
