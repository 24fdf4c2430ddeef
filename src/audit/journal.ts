// The journal of one process: a request is answered only after its record is on disk here. Records that arrive while a write is
// under way share the next one (group commit: 190-220 µs a write, 3-13 µs a record, measured). Segments form a ring; one is used
// again when all its records are in Postgres. When none is free, or the disk fails, append rejects: no audit, no answer.
// After a write error every record is refused until a new segment has been allocated and synced, which is tried again each
// second; what had been acknowledged stays in the failed segment and is still shipped from there.
import { setImmediate } from 'node:timers'
import type { AuditMetrics } from '../telemetry/metrics.ts'
import { Backlog } from './backlog.ts'
import type { Lag } from './backlog.ts'
import type { Lot } from './batch.ts'
import { encodeFrame, frameBytes } from './frame.ts'
import { maxRecordBytes } from './record.ts'
import type { AuditEntry } from './record.ts'
import { termsOf } from './search-terms.ts'
import { Segment, prepareDirectory } from './segment.ts'

export interface JournalOptions {
  /** 0700, on a disk of this host; belongs to the gateways of one host only. */
  readonly directory: string
  /** A new UUID for each run of a process: numbers begin at 1. */
  readonly writer: string
  /** At least minSegmentBytes; a multiple of the page size. */
  readonly segmentBytes: number
  /** At least 1. All are allocated before openJournal resolves. */
  readonly segments: number
  readonly metrics: AuditMetrics
  /** Milliseconds after a disk error until a new segment is tried. */
  readonly reopenMs?: number
}

export const minSegmentBytes = 1024 * 1024
/** Lines of one frame at most, unless one record alone has more. */
const frameLineBytes = 512 * 1024
/** Bounds what waits behind a slow disk; callers are bounded by the number of requests anyway. */
const queueBytes = 16 * 1024 * 1024

/** The record is not durable: the request must not be answered. 'full': Postgres has been away for too long. */
export class JournalUnavailable extends Error {
  override readonly name = 'JournalUnavailable'
  readonly reason: 'full' | 'failed' | 'closed'

  constructor(reason: JournalUnavailable['reason'], options?: ErrorOptions) {
    super(`the audit journal is ${reason}`, options)
    this.reason = reason
  }
}

interface Waiting {
  readonly entry: AuditEntry
  readonly bytes: number
  readonly resolve: () => void
  readonly reject: (error: JournalUnavailable) => void
}

/** @throws StartError for a directory that others can enter; RangeError for bounds; the system's error when allocation fails. */
export async function openJournal(options: JournalOptions): Promise<Journal> {
  const { directory, writer, segmentBytes, segments } = options
  if (segmentBytes < minSegmentBytes || segmentBytes % 4096 !== 0 || segments < 1) throw new RangeError('journal segments')
  await prepareDirectory(directory)
  const ring: Segment[] = []
  for (let index = 0; index < segments; index++) ring.push(await Segment.create(directory, writer, index, segmentBytes))
  return new Journal(options, ring)
}

export class Journal {
  readonly #options: JournalOptions
  readonly #backlog: Backlog
  #ring: Segment[]
  /** Failed segments that still hold records for Postgres. */
  #failedSegments: Segment[] = []
  #segmentsMade: number
  #next = 1
  #epoch = 0
  #queue: Waiting[] = []
  #queuedBytes = 0
  #state: 'open' | 'full' | 'failed' = 'open'
  #isClosed = false
  #committing: Promise<void> | undefined
  #reopening: Promise<void> | undefined
  #reopenTimer: NodeJS.Timeout | undefined

  constructor(options: JournalOptions, ring: Segment[]) {
    this.#options = options
    this.#ring = ring
    this.#segmentsMade = ring.length
    this.#backlog = new Backlog(options.writer)
  }

  get writer(): string {
    return this.#options.writer
  }

  /** 'open' when records are taken; for readiness. */
  get state(): 'open' | JournalUnavailable['reason'] {
    return this.#isClosed ? 'closed' : this.#state
  }

  /** Resolves when the record is on disk. @throws JournalUnavailable, RangeError for a record above maxRecordBytes. */
  append(entry: AuditEntry): Promise<void> {
    const bytes = Buffer.byteLength(entry.line) + 1
    if (bytes > maxRecordBytes) return Promise.reject(new RangeError(`an audit record of ${bytes} bytes`))
    const { state } = this
    if (state === 'failed' || state === 'closed') return this.#refuse(state)
    if (this.#queuedBytes + bytes > queueBytes) return this.#refuse('full')
    return new Promise((resolve, reject) => {
      this.#queue.push({ entry, bytes, resolve, reject })
      this.#queuedBytes += bytes
      this.#committing ??= this.#commitAll()
    })
  }

  lag(): Lag {
    return this.#backlog.lag()
  }

  /** See Backlog.peek. */
  peek(maxBytes: number): Promise<Lot | undefined> {
    return this.#backlog.peek(maxBytes)
  }

  /** Records up to number `last` are in Postgres; resolves to the number of batches let go. */
  async release(last: number): Promise<number> {
    const released = this.#backlog.release(last)
    if (this.#state === 'full') this.#state = 'open'
    const done = this.#failedSegments.filter(segment => segment.held === 0)
    this.#failedSegments = this.#failedSegments.filter(segment => segment.held > 0)
    for (const segment of done) await discard(segment)
    return released
  }

  /** Takes no more records, waits for those under way; deletes the segments when all is in Postgres and leaves them when not. */
  async close(): Promise<void> {
    if (this.#isClosed) return
    this.#isClosed = true
    await this.#committing
    clearTimeout(this.#reopenTimer)
    await this.#reopening
    const isEmpty = this.lag().batches === 0
    for (const segment of [...this.#ring, ...this.#failedSegments]) await (isEmpty ? discard(segment) : segment.close())
  }

  #refuse(reason: JournalUnavailable['reason']): Promise<never> {
    this.#options.metrics.refused(1)
    return Promise.reject(new JournalUnavailable(reason))
  }

  async #commitAll(): Promise<void> {
    // Everything that this turn of the event loop brings shares the first write.
    await new Promise(resolve => setImmediate(resolve))
    while (this.#queue.length > 0) await this.#commit(this.#take())
    this.#committing = undefined
  }

  /** The oldest waiting records, as many as one frame may hold. */
  #take(): Waiting[] {
    let bytes = 0
    let count = 0
    for (const waiting of this.#queue) {
      if (count > 0 && bytes + waiting.bytes > frameLineBytes) break
      bytes += waiting.bytes
      count++
    }
    this.#queuedBytes -= bytes
    return this.#queue.splice(0, count)
  }

  async #commit(batch: readonly Waiting[]): Promise<void> {
    const segment = this.#place(frameBytes(batch.reduce((sum, waiting) => sum + waiting.bytes, 0)))
    if (segment === undefined) {
      this.#state = 'full'
      this.#reject(batch, new JournalUnavailable('full'))
      return
    }
    const { position } = segment
    const began = performance.now()
    const frame = encodeFrame(this.#next, this.#epoch, batch.map(waiting => waiting.entry.line))
    try {
      await segment.append(frame)
    } catch (cause) {
      this.#fail(batch, new JournalUnavailable('failed', { cause }))
      return
    }
    const terms = termsOf(batch.map(waiting => waiting.entry.lookup))
    this.#backlog.push({ segment, position, length: frame.length, first: this.#next, count: batch.length, since: Date.now(), terms })
    this.#next += batch.length
    this.#state = 'open'
    this.#options.metrics.committed(batch.length, (performance.now() - began) / 1000)
    for (const waiting of batch) waiting.resolve()
  }

  /** The segment for the next frame, which is the ring's first from then on; undefined when all are full of unshipped records. */
  #place(length: number): Segment | undefined {
    const [current, ...others] = this.#ring
    if (current === undefined || current.fits(length)) return current
    // The oldest first: what stays on disk are the newest records, shipped or not.
    const turned = [...others, current]
    const free = turned.findIndex(segment => segment.held === 0)
    if (free === -1) return undefined
    this.#ring = [...turned.slice(free), ...turned.slice(0, free)]
    this.#ring[0]?.rewind()
    return this.#ring[0]
  }

  #reject(batch: readonly Waiting[], error: JournalUnavailable): void {
    this.#options.metrics.refused(batch.length)
    for (const waiting of batch) waiting.reject(error)
  }

  /**
   * Whether the frame is on disk is not known, so its numbers go to the next frame, in a new segment and under a new epoch:
   * recovery prefers that one. A record may so be kept of a request that was refused, never the reverse.
   */
  #fail(batch: readonly Waiting[], error: JournalUnavailable): void {
    this.#state = 'failed'
    this.#options.metrics.failing(true)
    this.#reject([...batch, ...this.#queue.splice(0)], error)
    this.#queuedBytes = 0
    if (!this.#isClosed) this.#reopenLater()
  }

  #reopenLater(): void {
    this.#reopenTimer = setTimeout(() => {
      this.#reopening = this.#reopen()
    }, this.#options.reopenMs ?? 1000)
    this.#reopenTimer.unref()
  }

  async #reopen(): Promise<void> {
    const { directory, writer, segmentBytes, metrics } = this.#options
    try {
      const fresh = await Segment.create(directory, writer, this.#segmentsMade++, segmentBytes)
      const [failed, ...others] = this.#ring
      this.#ring = [fresh, ...others]
      if (failed !== undefined && failed.held > 0) this.#failedSegments.push(failed)
      else if (failed !== undefined) await discard(failed)
      this.#epoch++
      this.#state = 'open'
      metrics.failing(false)
    } catch {
      // The disk still refuses: the state says so, and the next try is due.
      if (!this.#isClosed) this.#reopenLater()
    }
  }
}

/** Removes a segment whose records are in Postgres. A disk that refuses even this costs space, and recovery tries again. */
const discard = (segment: Segment): Promise<void> => segment.remove().catch(() => undefined)
