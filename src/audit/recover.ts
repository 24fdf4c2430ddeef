// What dead processes left on disk: their journals are read, shipped to Postgres like a living one's, then deleted.
import { readdir, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { Backlog } from './backlog.ts'
import type { HeldFrame, Lag } from './backlog.ts'
import type { Lot } from './batch.ts'
import { findFrames, pageBytes } from './frame.ts'
import { isAlive } from './owner.ts'
import { Segment, ownerOf, parseSegmentName } from './segment.ts'

/** A half-made segment holds nothing; it is deleted when it is surely no longer in the making. */
const unfinishedMs = 10 * 60 * 1000

export interface RecoveredJournal {
  readonly writer: string
  /** How many numbers behind `shipped` are missing between the frames: acknowledged records that the disk lost, an alarm. */
  missingAfter(shipped: number): number
  lag(): Lag
  peek(maxBytes: number): Promise<Lot | undefined>
  release(last: number): Promise<number>
  /** Deletes the segments if all is released, leaves them otherwise. */
  close(): Promise<void>
}

/**
 * Reads the journals of all writers whose process is gone. `living` are writers that the caller knows to be at work; a process
 * is told from a later one of the same pid by its start time. Torn last frames were never acknowledged and are passed over.
 * A directory that does not exist holds no journals.
 */
export async function recover(directory: string, living: ReadonlySet<string>): Promise<RecoveredJournal[]> {
  const byWriter = new Map<string, Segment[]>()
  for (const name of await namesIn(directory)) {
    const parsed = parseSegmentName(name)
    if (parsed === undefined || living.has(parsed.writer)) continue
    const path = join(directory, name)
    if (!parsed.isComplete) await removeIfOld(path)
    else byWriter.set(parsed.writer, [...(byWriter.get(parsed.writer) ?? []), ...(await openLeft(path))])
  }
  const journals: RecoveredJournal[] = []
  for (const [writer, segments] of byWriter) {
    const journal = await readJournal(writer, segments)
    if (journal !== undefined) journals.push(journal)
  }
  return journals
}

async function namesIn(directory: string): Promise<string[]> {
  return (await unlessMissing(readdir(directory))) ?? []
}

/** Another process may recover the same journals at the same time: what it has deleted is not there to open. */
async function openLeft(path: string): Promise<Segment[]> {
  const segment = await unlessMissing(Segment.openLeft(path))
  return segment === undefined ? [] : [segment]
}

async function removeIfOld(path: string): Promise<void> {
  const found = await unlessMissing(stat(path))
  if (found !== undefined && Date.now() - found.mtimeMs > unfinishedMs) await rm(path, { force: true })
}

async function unlessMissing<T>(work: Promise<T>): Promise<T | undefined> {
  try {
    return await work
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined
    throw error
  }
}

interface PlacedFrame extends HeldFrame {
  readonly epoch: number
}

/** undefined when the writer's process still runs. */
async function readJournal(writer: string, segments: readonly Segment[]): Promise<RecoveredJournal | undefined> {
  const frames: PlacedFrame[] = []
  for (const segment of segments) {
    const bytes = await segment.readAll()
    const owner = ownerOf(bytes.subarray(0, pageBytes))
    // A damaged first page does not say; the writer is not among the living, so its records are taken.
    if (owner !== undefined && isAlive(owner)) {
      await closeAll(segments)
      return undefined
    }
    const since = Date.now()
    frames.push(...findFrames(bytes, pageBytes).map(frame => ({ ...frame, segment, since })))
  }
  const kept = inOrder(frames)
  const backlog = new Backlog(writer)
  for (const frame of kept) backlog.push(frame)
  return {
    writer,
    missingAfter: shipped => missingAfter(shipped, kept),
    lag: () => backlog.lag(),
    peek: maxBytes => backlog.peek(maxBytes),
    release: last => Promise.resolve(backlog.release(last)),
    close: () => (backlog.lag().batches === 0 ? removeAll(segments) : closeAll(segments)),
  }
}

/** By number; where a later epoch gives numbers again, what an earlier one has from there on was never acknowledged. */
function inOrder(frames: readonly PlacedFrame[]): PlacedFrame[] {
  const ordered: PlacedFrame[] = []
  for (const frame of frames.toSorted((a, b) => a.epoch - b.epoch || a.first - b.first)) {
    while ((ordered.at(-1)?.first ?? -1) >= frame.first) ordered.pop()
    ordered.push(frame)
  }
  return ordered
}

function missingAfter(shipped: number, frames: readonly HeldFrame[]): number {
  let missing = 0
  let next = shipped + 1
  for (const { first, count } of frames) {
    missing += Math.max(0, first - next)
    next = Math.max(next, first + count)
  }
  return missing
}

async function closeAll(segments: readonly Segment[]): Promise<void> {
  for (const segment of segments) await segment.close()
}

async function removeAll(segments: readonly Segment[]): Promise<void> {
  for (const segment of segments) await segment.remove()
}
