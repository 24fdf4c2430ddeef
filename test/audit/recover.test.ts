import { randomUUID } from 'node:crypto'
import { existsSync } from 'node:fs'
import { open, readdir, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { pageBytes } from '../../src/audit/frame.ts'
import { processMark } from '../../src/audit/owner.ts'
import { recover } from '../../src/audit/recover.ts'
import type { RecoveredJournal } from '../../src/audit/recover.ts'
import { termsOf } from '../../src/audit/search-terms.ts'
import { drain, entryOf, requestIds, temporaryDirectory, testJournal } from './fixtures.ts'
import { headerPage, leaveSegment } from './left-behind.ts'

const nobody: ReadonlySet<string> = new Set()
const lines = (...ids: string[]): string[] => ids.map(id => entryOf(id).line)

async function recoverOne(directory: string): Promise<RecoveredJournal> {
  const [journal, ...rest] = await recover(directory, nobody)
  expect(rest).toEqual([])
  if (journal === undefined) throw new Error('nothing was recovered')
  return journal
}

const idsOf = async (journal: RecoveredJournal): Promise<string[]> => (await drain(journal)).flatMap(lot => requestIds(lot.lines))

test('a directory that does not exist, or holds other files, has nothing to recover', async () => {
  const directory = await temporaryDirectory()
  expect(await recover(join(directory, 'none'), nobody)).toEqual([])
  await writeFile(join(directory, 'notes.txt'), 'x')
  await writeFile(join(directory, 'journal-x-0.seg'), 'x')
  expect(await recover(directory, nobody)).toEqual([])
  expect(await readdir(directory)).toHaveLength(2)
})

test('records of all segments come in the order of their numbers, with their look-ups', async () => {
  const directory = await temporaryDirectory()
  const writer = randomUUID()
  await leaveSegment(directory, writer, 0, [{ first: 4, lines: lines('d') }, { first: 5, lines: lines('e', 'f') }])
  await leaveSegment(directory, writer, 1, [{ first: 1, lines: lines('a', 'b') }, { first: 3, lines: lines('c') }])
  const journal = await recoverOne(directory)
  const lot = await journal.peek(1024 * 1024)
  expect(lot).toMatchObject({ writer, first: 1, last: 6 })
  expect(requestIds(lot?.lines ?? Buffer.alloc(0))).toEqual(['a', 'b', 'c', 'd', 'e', 'f'])
  expect(lot?.terms).toEqual(termsOf(['a', 'b', 'c', 'd', 'e', 'f'].map(id => entryOf(id).lookup)))
  expect(journal.missingAfter(0)).toBe(0)
})

test('segments are deleted only when everything in them has been released', async () => {
  const directory = await temporaryDirectory()
  const path = await leaveSegment(directory, randomUUID(), 0, [{ first: 1, lines: lines('a') }, { first: 2, lines: lines('b') }])
  const journal = await recoverOne(directory)
  await journal.release(1)
  await journal.close()
  expect(existsSync(path)).toBe(true)
  const again = await recoverOne(directory)
  expect(await idsOf(again)).toEqual(['a', 'b'])
  await again.close()
  expect(existsSync(path)).toBe(false)
})

test('the journal of a living process is left alone, whether the caller knows of it or not', async () => {
  const { journal, directory } = await testJournal()
  await journal.append(entryOf('mine'))
  expect(await recover(directory, nobody)).toEqual([])
  const known = randomUUID()
  await leaveSegment(directory, known, 0, [{ first: 1, lines: lines('theirs') }])
  expect(await recover(directory, new Set([known]))).toEqual([])
  expect((await recover(directory, nobody)).map(found => found.writer)).toEqual([known])
})

test('a journal whose pid has gone to another process is recovered', async () => {
  const directory = await temporaryDirectory()
  const earlier = (processMark(process.pid) ?? '').replace(/start \d+/, 'start 1')
  await leaveSegment(directory, randomUUID(), 0, [{ first: 1, lines: lines('a') }], headerPage(earlier))
  expect(await idsOf(await recoverOne(directory))).toEqual(['a'])
})

test('a torn last frame is passed over', async () => {
  const directory = await temporaryDirectory()
  const path = await leaveSegment(directory, randomUUID(), 0, [{ first: 1, lines: lines('a') }, { first: 2, lines: lines('torn') }])
  const file = await open(path, 'r+')
  await file.write(Buffer.alloc(100), 0, 100, 2 * pageBytes + 64)
  await file.close()
  const journal = await recoverOne(directory)
  expect(await idsOf(journal)).toEqual(['a'])
  expect(journal.missingAfter(0)).toBe(0)
})

test.each([[0, 1], [1, 0]])('after a disk error the numbers of the later epoch hold, in whatever order files %i and %i are found', async (failed, fresh) => {
  const directory = await temporaryDirectory()
  const writer = randomUUID()
  await leaveSegment(directory, writer, failed, [{ first: 1, lines: lines('a') }, { first: 2, lines: lines('refused-1', 'refused-2', 'refused-3') }])
  await leaveSegment(directory, writer, fresh, [{ first: 2, epoch: 1, lines: lines('b') }, { first: 3, epoch: 1, lines: lines('c') }])
  const journal = await recoverOne(directory)
  expect(journal.missingAfter(0)).toBe(0)
  expect(await idsOf(journal)).toEqual(['a', 'b', 'c'])
})

test('a damaged first page costs no record', async () => {
  const directory = await temporaryDirectory()
  await leaveSegment(directory, randomUUID(), 0, [{ first: 1, lines: lines('a') }], Buffer.alloc(pageBytes, 0x7b))
  expect(await idsOf(await recoverOne(directory))).toEqual(['a'])
})

test('numbers that the disk lost are counted behind what is shipped, and a row never spans them', async () => {
  const directory = await temporaryDirectory()
  const writer = randomUUID()
  await leaveSegment(directory, writer, 0, [{ first: 10, lines: lines('a') }, { first: 11, lines: lines('b') }, { first: 15, lines: lines('c', 'd') }])
  const journal = await recoverOne(directory)
  expect(journal.missingAfter(9)).toBe(3)
  expect(journal.missingAfter(0)).toBe(12)
  expect(journal.missingAfter(16)).toBe(0)
  expect((await drain(journal)).map(lot => [lot.first, lot.last])).toEqual([[10, 11], [15, 16]])
})

test('a segment that was never finished is deleted when it is old, and left when it may be in the making', async () => {
  const directory = await temporaryDirectory()
  const [old, young] = [0, 1].map(index => join(directory, `journal-${randomUUID()}-${index}.seg.new`)) as [string, string]
  for (const path of [old, young]) await writeFile(path, 'x')
  const longAgo = new Date(Date.now() - 3600_000)
  await utimes(old, longAgo, longAgo)
  expect(await recover(directory, nobody)).toEqual([])
  expect([existsSync(old), existsSync(young)]).toEqual([false, true])
})
