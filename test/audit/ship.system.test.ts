// Journals to a real Postgres: every record once, whatever happens to connections and processes.
import { randomUUID } from 'node:crypto'
import { readdir } from 'node:fs/promises'
import { gunzipSync } from 'node:zlib'
import { beforeAll, expect, onTestFinished, test } from 'vitest'
import { batchOf } from '../../src/audit/batch.ts'
import { recover } from '../../src/audit/recover.ts'
import { termsOf } from '../../src/audit/search-terms.ts'
import { startShipper } from '../../src/audit/ship.ts'
import type { Shipper, ShipperOptions } from '../../src/audit/ship.ts'
import { TransactionWriter, insertRecord } from '../../src/audit/transaction.ts'
import { insertAuditBatch } from '../../src/store/audit-batches.ts'
import { openPool, poolLimits, transaction } from '../../src/store/database.ts'
import type { Pool } from '../../src/store/database.ts'
import { createLog } from '../../src/telemetry/log.ts'
import type { Log } from '../../src/telemetry/log.ts'
import { useDatabase } from '../support/database.ts'
import { startProxy } from '../support/proxy.ts'
import { caller, entryOf, requestIds, temporaryDirectory, testJournal, testMetrics } from './fixtures.ts'
import { leaveSegment } from './left-behind.ts'

const database = useDatabase()
let pool: Pool
beforeAll(() => { pool = database.pool })

interface Row {
  first: number
  last: number
  ids: string[]
}

/** The rows of a writer, oldest first, with the request ids in them. */
async function rowsOf(writer: string): Promise<Row[]> {
  const { rows } = await pool.query<{ first: string; last: string; records: Buffer }>(
    'SELECT first, last, records FROM audit_batches WHERE writer = $1 ORDER BY first', [writer])
  return rows.map(row => ({ first: Number(row.first), last: Number(row.last), ids: requestIds(gunzipSync(row.records)) }))
}

const idsOf = async (writer: string): Promise<string[]> => (await rowsOf(writer)).flatMap(row => row.ids)

/** Numbers run from 1 without gap or overlap, and each row holds as many records as it says. */
function expectWhole(rows: readonly Row[]): void {
  let next = 1
  for (const row of rows) {
    expect(row.first).toBe(next)
    expect(row.ids).toHaveLength(row.last - row.first + 1)
    next = row.last + 1
  }
}

function logged(): { log: Log; lines: string[] } {
  const lines: string[] = []
  return { lines, log: createLog({ level: 'debug', name: 'test', destination: { write: (line: string) => void lines.push(line) } }) }
}

function ship(options: Pick<ShipperOptions, 'journal'> & Partial<ShipperOptions>): Shipper {
  const shipper = startShipper({ db: pool, metrics: testMetrics().audit, log: logged().log, everyMs: 5, ...options })
  onTestFinished(() => shipper.close(0).then(() => undefined))
  return shipper
}

test('records are stored while the journal lives, each once, found by what stands in them', async () => {
  const { journal } = await testJournal()
  const metrics = testMetrics()
  const shipper = ship({ journal, metrics: metrics.audit })
  const ids = Array.from({ length: 300 }, () => randomUUID())
  for (let start = 0; start < ids.length; start += 30) await Promise.all(ids.slice(start, start + 30).map(id => journal.append(entryOf(id))))
  await expect.poll(() => journal.lag().batches).toBe(0)
  const rows = await rowsOf(journal.writer)
  expectWhole(rows)
  expect(rows.flatMap(row => row.ids)).toEqual(ids)
  expect(rows.length).toBeLessThanOrEqual(10)
  const { rows: [found] } = await pool.query<Record<string, unknown>>(
    'SELECT accounts, event_names, key_ids, principals, first_time, last_time FROM audit_batches WHERE writer = $1 AND $2 = ANY(request_ids)',
    [journal.writer, ids[150]])
  expect(found).toEqual({
    accounts: [caller],
    event_names: ['Decrypt'],
    key_ids: ['1234abcd-12ab-34cd-56ef-1234567890ab'],
    principals: [`arn:aws:iam::${caller}:user/app`, 'AIDAEXAMPLEEXAMPLE222', 'app', 'AKIAEXAMPLEEXAMPLE22'],
    first_time: new Date('2026-03-04T05:06:07Z'),
    last_time: new Date('2026-03-04T05:06:07Z'),
  })
  await shipper.close(5000)
  expect(await metrics.registry.metrics()).toContain('audit_journal_unshipped_batches 0')
})

test('a lot is bounded in bytes', async () => {
  const { journal } = await testJournal()
  for (const id of ['a', 'b', 'c']) await journal.append(entryOf(id))
  ship({ journal, lotBytes: 4096 })
  await expect.poll(() => journal.lag().batches).toBe(0)
  expect((await rowsOf(journal.writer)).map(row => row.ids)).toEqual([['a'], ['b'], ['c']])
})

test('while Postgres is away nothing is lost and failures are counted; when it is back everything arrives once', async () => {
  const proxy = await startProxy(database.url)
  const remote = openPool(proxy.url, { ...poolLimits, connectMs: 500 })
  onTestFinished(async () => {
    await remote.end()
    await proxy.close()
  })
  const { journal } = await testJournal()
  const metrics = testMetrics()
  const { log, lines } = logged()
  ship({ journal, db: remote, metrics: metrics.audit, log })
  await journal.append(entryOf('before'))
  await expect.poll(() => journal.lag().batches).toBe(0)
  proxy.cut()
  for (const id of ['away-1', 'away-2', 'away-3']) await journal.append(entryOf(id))
  await expect.poll(async () => (await metrics.registry.metrics()).match(/audit_ship_failures_total (\d+)/)?.[1]).not.toBe('0')
  expect(journal.lag()).toMatchObject({ batches: 3, bytes: 3 * 4096 })
  expect(lines.filter(line => line.includes('could not be shipped'))).toHaveLength(1)
  proxy.mend()
  await journal.append(entryOf('after'))
  await expect.poll(() => journal.lag().batches, { timeout: 15_000 }).toBe(0)
  const rows = await rowsOf(journal.writer)
  expectWhole(rows)
  expect(rows.flatMap(row => row.ids)).toEqual(['before', 'away-1', 'away-2', 'away-3', 'after'])
})

test('a row that was stored although its answer was lost is not stored again, and what came later is', async () => {
  const { journal } = await testJournal()
  for (const id of ['a', 'b']) await journal.append(entryOf(id))
  const lot = await journal.peek(1024 * 1024)
  if (lot === undefined) throw new Error('nothing to ship')
  await insertAuditBatch(pool, await batchOf(lot))
  for (const id of ['c', 'd']) await journal.append(entryOf(id))
  ship({ journal })
  await expect.poll(() => journal.lag().batches).toBe(0)
  const rows = await rowsOf(journal.writer)
  expectWhole(rows)
  expect(rows.map(row => row.ids)).toEqual([['a', 'b'], ['c', 'd']])
})

test('the journal of a dead process is shipped from where it stopped and then deleted', async () => {
  const directory = await temporaryDirectory()
  const writer = randomUUID()
  const entries = ['a', 'b', 'c', 'd'].map(id => entryOf(id))
  await leaveSegment(directory, writer, 0, entries.map((entry, index) => ({ first: index + 1, lines: [entry.line] })))
  const shipped = { writer, first: 1, last: 2, lines: Buffer.from(`${entries[0]?.line}\n${entries[1]?.line}\n`), terms: termsOf(entries.slice(0, 2).map(entry => entry.lookup)) }
  await insertAuditBatch(pool, await batchOf(shipped))
  const { journal } = await testJournal()
  const shipper = ship({ journal })
  shipper.adopt(await recover(directory, new Set()))
  await expect.poll(() => readdir(directory)).toEqual([])
  const rows = await rowsOf(writer)
  expectWhole(rows)
  expect(rows.map(row => row.ids)).toEqual([['a', 'b'], ['c', 'd']])
})

test('records shipped long ago that still stand in a segment used again are not stored twice', async () => {
  const directory = await temporaryDirectory()
  const writer = randomUUID()
  const entries = ['a', 'b', 'c', 'd'].map(id => entryOf(id))
  const old = entries.slice(0, 3)
  await insertAuditBatch(pool, await batchOf({
    writer, first: 1, last: 3, lines: Buffer.from(old.map(entry => `${entry.line}\n`).join('')), terms: termsOf(old.map(entry => entry.lookup)),
  }))
  await leaveSegment(directory, writer, 0, entries.slice(1).map((entry, index) => ({ first: index + 2, lines: [entry.line] })))
  const { journal } = await testJournal()
  ship({ journal }).adopt(await recover(directory, new Set()))
  await expect.poll(() => readdir(directory)).toEqual([])
  const rows = await rowsOf(writer)
  expectWhole(rows)
  expect(rows.map(row => row.ids)).toEqual([['a', 'b', 'c'], ['d']])
})

test('closing ships the journals of dead processes too', async () => {
  const directory = await temporaryDirectory()
  const writer = randomUUID()
  const ids = ['a', 'b', 'c', 'd', 'e']
  await leaveSegment(directory, writer, 0, ids.map((id, index) => ({ first: index + 1, lines: [entryOf(id).line] })))
  const { journal } = await testJournal()
  const shipper = ship({ journal, lotBytes: 4096 })
  shipper.adopt(await recover(directory, new Set()))
  expect(await shipper.close(10_000)).toBe(0)
  expect(await idsOf(writer)).toEqual(ids)
  expect(await readdir(directory)).toEqual([])
})

test('two processes that recover the same journal store each record once', async () => {
  const directory = await temporaryDirectory()
  const writer = randomUUID()
  const ids = Array.from({ length: 60 }, (_, index) => `r${index}`)
  await leaveSegment(directory, writer, 0, ids.map((id, index) => ({ first: index + 1, lines: [entryOf(id).line] })))
  for (const lotBytes of [3 * 4096, 7 * 4096]) {
    const { journal } = await testJournal()
    ship({ journal, lotBytes }).adopt(await recover(directory, new Set()))
  }
  await expect.poll(() => readdir(directory)).toEqual([])
  await expect.poll(() => idsOf(writer)).toEqual(ids)
  expectWhole(await rowsOf(writer))
})

test('acknowledged records that the disk lost are an alarm in the log', async () => {
  const directory = await temporaryDirectory()
  await leaveSegment(directory, randomUUID(), 0, [{ first: 1, lines: [entryOf('a').line] }, { first: 5, lines: [entryOf('b').line] }])
  const { journal } = await testJournal()
  const { log, lines } = logged()
  ship({ journal, log }).adopt(await recover(directory, new Set()))
  await expect.poll(() => readdir(directory)).toEqual([])
  expect(lines.map(line => JSON.parse(line) as object)).toContainEqual(
    expect.objectContaining({ level: 'error', missing: 3, msg: 'a recovered audit journal lacks acknowledged records' }))
})

test('closing ships what is left and deletes the segments', async () => {
  const { journal, directory } = await testJournal()
  const shipper = ship({ journal, everyMs: 60_000 })
  await Promise.all(['a', 'b'].map(id => journal.append(entryOf(id))))
  expect(await shipper.close(5000)).toBe(0)
  expect(await idsOf(journal.writer)).toEqual(['a', 'b'])
  expect(await readdir(directory)).toEqual([])
})

test('closing gives up at the deadline when Postgres hangs, and the records stay on disk for the next start', async () => {
  const proxy = await startProxy(database.url)
  const remote = openPool(proxy.url, { ...poolLimits, connectMs: 1000 })
  remote.on('error', () => undefined)
  onTestFinished(async () => {
    await proxy.close()
    await remote.end()
  })
  const { journal, directory } = await testJournal()
  proxy.freeze()
  const shipper = ship({ journal, db: remote })
  await journal.append(entryOf('a'))
  expect(await shipper.close(20)).toBe(1)
  expect(await readdir(directory)).toHaveLength(2)
})

test('the record of a change is there if the change is', async () => {
  const writer = new TransactionWriter()
  await transaction(pool, tx => insertRecord(tx, writer, [entryOf('made'), entryOf('owner')]))
  const failed = transaction(pool, async tx => {
    await insertRecord(tx, writer, [entryOf('undone')])
    throw new Error('the change failed')
  })
  await expect(failed).rejects.toThrow('the change failed')
  await transaction(pool, tx => insertRecord(tx, writer, [entryOf('next')]))
  expect(await rowsOf(writer.writer)).toEqual([{ first: 1, last: 2, ids: ['made', 'owner'] }, { first: 4, last: 4, ids: ['next'] }])
})

test('a change without a record is refused', async () => {
  await expect(transaction(pool, tx => insertRecord(tx, new TransactionWriter(), []))).rejects.toThrow(new RangeError('a change without a record'))
})
