// Started by journal.system.test.ts: appends records from 32 callers at once and prints the id of each one acknowledged, until
// it is killed. argv: the journal's directory.
import { randomUUID } from 'node:crypto'
import { writeSync } from 'node:fs'
import { openJournal } from '../../dist/audit/journal.js'
import { auditEntry } from '../../dist/audit/record.js'
import { createMetrics } from '../../dist/telemetry/metrics.js'

const metrics = createMetrics({ version: '0', operations: [], tokens: [] })
const journal = await openJournal({
  directory: process.argv[2], writer: randomUUID(), segmentBytes: 4 * 1024 * 1024, segments: 8, metrics: metrics.audit,
})

async function call() {
  for (;;) {
    const requestId = randomUUID()
    await journal.append(auditEntry({
      time: new Date(), eventSource: 'kms.amazonaws.com', eventName: 'Encrypt', region: 'eu-test-1', sourceIPAddress: '192.0.2.7', userAgent: 'test',
      userIdentity: { type: 'IAMUser' }, requestParameters: null, responseElements: null, requestId, readOnly: true, recipientAccountId: '111122223333',
    }))
    writeSync(1, `${requestId}\n`)
  }
}

for (let caller = 0; caller < 32; caller++) void call()
