import { randomUUID } from 'node:crypto'
import { closeSync, constants, openSync, readFileSync, readdirSync, readlinkSync, statSync } from 'node:fs'
import { chmod, mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { StartError } from '../../src/errors.ts'
import { findFrames, pageBytes } from '../../src/audit/frame.ts'
import { JournalUnavailable, minSegmentBytes, openJournal } from '../../src/audit/journal.ts'
import type { Journal } from '../../src/audit/journal.ts'
import { auditEntry } from '../../src/audit/record.ts'
import { recover } from '../../src/audit/recover.ts'
import { drain, entryOf, entryOfBytes, input, requestIds, temporaryDirectory, testJournal, testMetrics } from './fixtures.ts'
import { forgetOwner } from './left-behind.ts'

const nobody: ReadonlySet<string> = new Set()

/** Fills a journal until it refuses; resolves to the request ids that were acknowledged. */
async function fill(journal: Journal): Promise<string[]> {
  const acknowledged: string[] = []
  for (;;) {
    const requestId = randomUUID()
    try {
      await journal.append(entryOfBytes(requestId, 180_000))
      acknowledged.push(requestId)
    } catch (error) {
      expect(error).toBeInstanceOf(JournalUnavailable)
      return acknowledged
    }
  }
}

/** The descriptor under which this process has a file open. */
function descriptorOf(path: string): number {
  const fd = readdirSync('/proc/self/fd').map(Number).find(number => {
    try {
      return readlinkSync(`/proc/self/fd/${number}`) === path
    } catch {
      return false
    }
  })
  if (fd === undefined) throw new Error('the segment is not open')
  return fd
}

/**
 * From now on the kernel answers each write to the segment with ENOSPC: its descriptor is given to /dev/full. No other code of
 * this process runs between closing and opening, so the number cannot go to anything else.
 */
function breakSegment(path: string): void {
  const fd = descriptorOf(path)
  closeSync(fd)
  for (let opened = -1; opened !== fd;) {
    opened = openSync('/dev/full', constants.O_RDWR)
    if (opened > fd) throw new Error('the descriptor was taken')
  }
}

test('a record can be shipped after append resolves, in order and with its look-up', async () => {
  const { journal } = await testJournal()
  const ids = Array.from({ length: 50 }, () => randomUUID())
  await Promise.all(ids.map(id => journal.append(entryOf(id))))
  const [lot, ...rest] = await drain(journal)
  expect(rest).toEqual([])
  expect(lot).toMatchObject({ writer: journal.writer, first: 1, last: 50 })
  expect(requestIds(lot?.lines ?? Buffer.alloc(0))).toEqual(ids)
  expect([...lot?.terms.requestIds ?? []]).toEqual(ids)
})

test('records that arrive together share one write', async () => {
  const { journal, metrics } = await testJournal()
  await Promise.all(Array.from({ length: 200 }, () => journal.append(entryOf(randomUUID()))))
  expect(journal.lag().batches).toBe(1)
  const page = await metrics.registry.metrics()
  expect(page).toContain('audit_records_total 200')
  expect(page).toContain('audit_journal_commit_seconds_count 1')
})

test('records that arrive during a write go into the next one', async () => {
  const { journal } = await testJournal()
  let resolved = 0
  const first = journal.append(entryOf('a')).then(() => resolved++)
  await new Promise(resolve => setImmediate(resolve))
  const others = ['b', 'c', 'd'].map(id => journal.append(entryOf(id)).then(() => resolved++))
  await Promise.all([first, ...others])
  expect(journal.lag().batches).toBe(2)
  expect(resolved).toBe(4)
})

test('segments are allocated in full, for their owner alone', async () => {
  const directory = join(await temporaryDirectory(), 'made', 'here')
  await testJournal({ directory, segments: 3 })
  const names = await readdir(directory)
  expect(names).toHaveLength(3)
  expect(statSync(directory).mode & 0o777).toBe(0o700)
  for (const name of names) {
    const { mode, size, blocks } = statSync(join(directory, name))
    expect(name).toMatch(/^journal-[0-9a-f-]{36}-[012]\.seg$/)
    expect(mode & 0o777).toBe(0o600)
    expect(size).toBe(minSegmentBytes)
    expect(blocks * 512).toBeGreaterThanOrEqual(minSegmentBytes)
  }
})

test.runIf(process.platform === 'linux')('segments are open for writes that return only when the bytes are on disk', async () => {
  const { journal, directory } = await testJournal()
  const fd = descriptorOf(join(directory, `journal-${journal.writer}-0.seg`))
  const flags = /flags:\s*([0-7]+)/.exec(readFileSync(`/proc/self/fdinfo/${fd}`, 'utf8'))?.[1] ?? '0'
  expect(parseInt(flags, 8) & constants.O_DSYNC).toBe(constants.O_DSYNC)
})

test('a directory that others can enter is refused', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'trent-journal-'))
  onTestFinished(() => rm(directory, { recursive: true }))
  await chmod(directory, 0o750)
  const opened = openJournal({ directory, writer: randomUUID(), segmentBytes: minSegmentBytes, segments: 1, metrics: testMetrics().audit })
  await expect(opened).rejects.toThrow(new StartError(`audit journal directory ${directory}: must belong to the user that runs Trent, with mode 0700`))
})

test('a journal that is full of unshipped records refuses, and takes records again once they are shipped', async () => {
  const { journal, metrics } = await testJournal()
  const acknowledged = await fill(journal)
  expect(acknowledged).toHaveLength(10)
  expect(journal.state).toBe('full')
  await expect(journal.append(entryOfBytes('late', 180_000))).rejects.toThrow('the audit journal is full')
  expect(await metrics.registry.metrics()).toContain('audit_records_refused_total 2')
  const lots = await drain(journal)
  expect(lots.flatMap(lot => requestIds(lot.lines))).toEqual(acknowledged)
  expect(journal.state).toBe('open')
  await journal.append(entryOf('again'))
  expect((await drain(journal)).flatMap(lot => requestIds(lot.lines))).toEqual(['again'])
})

test('a ring goes round many times without losing or repeating a record, and does not grow', async () => {
  const { journal, directory } = await testJournal({ segments: 3 })
  const written: string[] = []
  const shipped: string[] = []
  for (let round = 0; round < 40; round++) {
    const ids = Array.from({ length: 1 + (round % 4) }, () => randomUUID())
    await Promise.all(ids.map(id => journal.append(entryOfBytes(id, 120_000))))
    written.push(...ids)
    if (round % 3 === 0) shipped.push(...(await drain(journal, 300_000)).flatMap(lot => requestIds(lot.lines)))
  }
  shipped.push(...(await drain(journal)).flatMap(lot => requestIds(lot.lines)))
  expect(shipped).toEqual(written)
  expect((await readdir(directory)).map(name => statSync(join(directory, name)).size)).toEqual(Array(3).fill(minSegmentBytes))
})

test('a lot is bounded, and released only up to the number that was shipped', async () => {
  const { journal } = await testJournal()
  for (const id of ['a', 'b', 'c', 'd']) await journal.append(entryOfBytes(id, 50_000))
  const one = await journal.peek(120_000)
  expect(requestIds(one?.lines ?? Buffer.alloc(0))).toEqual(['a', 'b'])
  expect(await journal.release(1)).toBe(1)
  expect((await journal.peek(1))?.first).toBe(2)
  expect(await journal.release(1)).toBe(0)
  expect(await journal.release(4)).toBe(3)
  expect(journal.lag()).toEqual({ bytes: 0, batches: 0, seconds: 0 })
})

test('a record above the limit is refused and costs no other record', async () => {
  const { journal } = await testJournal()
  const huge = { ...auditEntry(input), line: 'x'.repeat(256 * 1024) }
  await expect(journal.append(huge)).rejects.toThrow('an audit record of 262145 bytes')
  await journal.append(entryOf('small'))
  expect((await drain(journal)).flatMap(lot => requestIds(lot.lines))).toEqual(['small'])
})

test('what waits behind the disk is bounded, and the bound is of what waits, not of what has passed', async () => {
  const { journal } = await testJournal({ segments: 30 })
  const burst = () => Promise.allSettled(Array.from({ length: 100 }, () => journal.append(entryOfBytes('many', 180_000))))
  for (let round = 0; round < 2; round++) {
    const refused = (await burst()).filter(result => result.status === 'rejected')
    // 16 MiB hold 92 of these records.
    expect(refused.map(result => String(result.reason))).toEqual(Array(8).fill('JournalUnavailable: the audit journal is full'))
    expect((await drain(journal)).flatMap(lot => requestIds(lot.lines))).toHaveLength(92)
  }
})

test.runIf(process.platform === 'linux')('after a disk error records are refused until a new segment is allocated, and none acknowledged before is lost', async () => {
  const { journal, directory, metrics } = await testJournal({ reopenMs: 1, segments: 1 })
  await journal.append(entryOf('before'))
  breakSegment(join(directory, `journal-${journal.writer}-0.seg`))
  const failing = await Promise.allSettled([journal.append(entryOf('lost-1')), journal.append(entryOf('lost-2'))])
  expect(failing.map(result => result.status === 'rejected' && String(result.reason))).toEqual(Array(2).fill('JournalUnavailable: the audit journal is failed'))
  expect(journal.state).toBe('failed')
  await expect(journal.append(entryOf('meanwhile'))).rejects.toThrow('the audit journal is failed')
  expect(await metrics.registry.metrics()).toContain('audit_journal_failing 1')
  await expect.poll(() => journal.state).toBe('open')
  await journal.append(entryOf('after'))
  expect(await metrics.registry.metrics()).toContain('audit_journal_failing 0')
  expect(await metrics.registry.metrics()).toContain('audit_records_refused_total 3')

  // On disk stand both segments: what a crash at this moment would leave.
  await journal.close()
  const frames = (await readdir(directory)).flatMap(name => findFrames(readFileSync(join(directory, name)), pageBytes))
  expect(frames.map(({ first, epoch }) => [first, epoch]).sort()).toEqual([[1, 0], [2, 1]])
  expect(await recoverAsDead(directory)).toEqual([{ first: 1, last: 2, ids: ['before', 'after'] }])
})

test('a closed journal refuses, having committed what was waiting', async () => {
  const { journal } = await testJournal()
  const waiting = [journal.append(entryOf('a')), journal.append(entryOf('b'))]
  const closed = journal.close()
  await expect(journal.append(entryOf('late'))).rejects.toThrow('the audit journal is closed')
  await closed
  await Promise.all(waiting)
  expect(journal.state).toBe('closed')
  expect(journal.lag().batches).toBe(1)
})

test('closing deletes the segments of a journal that is shipped and keeps those of one that is not', async () => {
  const { journal, directory } = await testJournal()
  await journal.append(entryOf('a'))
  await journal.close()
  expect(await readdir(directory)).toHaveLength(2)
  const other = await testJournal()
  await other.journal.append(entryOf('a'))
  await drain(other.journal)
  await other.journal.close()
  expect(await readdir(other.directory)).toEqual([])
})

/** Reads the journals of a directory as if their process had ended: its mark is made that of an earlier process. */
async function recoverAsDead(directory: string): Promise<{ first: number; last: number; ids: string[] }[]> {
  await forgetOwner(directory)
  const journals = await recover(directory, nobody)
  const lots = await Promise.all(journals.map(journal => drain(journal)))
  for (const journal of journals) await journal.close()
  return lots.flat().map(lot => ({ first: lot.first, last: lot.last, ids: requestIds(lot.lines) }))
}
