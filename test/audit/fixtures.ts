// What the audit tests are about: records of one caller, and a journal in a directory of its own.
import { randomUUID } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { onTestFinished } from 'vitest'
import { minSegmentBytes, openJournal } from '../../src/audit/journal.ts'
import type { Journal, JournalOptions } from '../../src/audit/journal.ts'
import type { Lot } from '../../src/audit/batch.ts'
import { auditEntry } from '../../src/audit/record.ts'
import type { AuditEntry, RecordInput } from '../../src/audit/record.ts'
import { createMetrics } from '../../src/telemetry/metrics.ts'
import type { Metrics } from '../../src/telemetry/metrics.ts'

export const caller = '111122223333'
export const owner = '444455556666'
export const keyArn = (accountId: string): string => `arn:aws:kms:eu-test-1:${accountId}:key/1234abcd-12ab-34cd-56ef-1234567890ab`

export const input: RecordInput = {
  time: new Date('2026-03-04T05:06:07.890Z'),
  eventSource: 'kms.amazonaws.com',
  eventName: 'Decrypt',
  region: 'eu-test-1',
  sourceIPAddress: '192.0.2.7',
  userAgent: 'aws-cli/2',
  userIdentity: {
    type: 'IAMUser', principalId: 'AIDAEXAMPLEEXAMPLE222', arn: `arn:aws:iam::${caller}:user/app`, accountId: caller,
    accessKeyId: 'AKIAEXAMPLEEXAMPLE22', userName: 'app',
  },
  requestParameters: { keyId: 'alias/app', encryptionAlgorithm: 'SYMMETRIC_DEFAULT', encryptionContext: { purpose: 'test' } },
  responseElements: null,
  requestId: '00000000-0000-4000-8000-000000000001',
  readOnly: true,
  resources: [{ accountId: caller, type: 'AWS::KMS::Key', ARN: keyArn(caller) }],
  recipientAccountId: caller,
}

/** A record that is told from others by its request id. */
export const entryOf = (requestId: string, more: Partial<RecordInput> = {}): AuditEntry => auditEntry({ ...input, ...more, requestId })

/** A record of about so many bytes. */
export const entryOfBytes = (requestId: string, bytes: number): AuditEntry =>
  entryOf(requestId, { requestParameters: { a: 'x'.repeat(Math.min(bytes, 90_000)) }, responseElements: { b: 'x'.repeat(Math.max(0, Math.min(bytes - 90_000, 90_000))) } })

/** Request ids of some lines, in their order. */
export const requestIds = (lines: Buffer): string[] =>
  lines.toString().split('\n').slice(0, -1).map(line => (JSON.parse(line) as { requestID: string }).requestID)

export async function temporaryDirectory(): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'trent-journal-'))
  onTestFinished(() => rm(directory, { recursive: true, force: true }))
  return directory
}

export function testMetrics(): Metrics {
  const metrics = createMetrics({ version: '0', operations: [], tokens: [] })
  onTestFinished(() => void metrics.close())
  return metrics
}

/** A journal of the smallest segments; closed at the end of the test. */
export async function testJournal(options: Partial<JournalOptions> = {}): Promise<{ journal: Journal; directory: string; metrics: Metrics }> {
  const metrics = testMetrics()
  const directory = options.directory ?? await temporaryDirectory()
  const journal = await openJournal({
    directory, writer: randomUUID(), segmentBytes: minSegmentBytes, segments: 2, metrics: metrics.audit, ...options,
  })
  onTestFinished(() => journal.close())
  return { journal, directory, metrics }
}

/** All that a journal holds, released as it is read. */
export async function drain(source: Pick<Journal, 'peek' | 'release'>, maxBytes = 1024 * 1024): Promise<Lot[]> {
  const lots: Lot[] = []
  for (;;) {
    const lot = await source.peek(maxBytes)
    if (lot === undefined) return lots
    lots.push(lot)
    await source.release(lot.last)
  }
}
