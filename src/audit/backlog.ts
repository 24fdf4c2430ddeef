// The frames of one writer that are on disk but not yet in Postgres, oldest first. Only places are kept in memory, not records:
// a Postgres that is away for long must not fill the heap.
import type { Lot } from './batch.ts'
import { decodeFrame } from './frame.ts'
import { lookupOfLine } from './record.ts'
import { joinTerms, termsOf, type SearchTerms } from './search-terms.ts'
import type { Segment } from './segment.ts'

export interface HeldFrame {
  readonly segment: Segment
  readonly position: number
  /** Bytes on disk. */
  readonly length: number
  readonly first: number
  readonly count: number
  readonly since: number
  /** Known while the writer lives; read from the lines when it does not. */
  readonly terms?: SearchTerms
}

export interface Lag {
  readonly bytes: number
  readonly batches: number
  /** Age of the oldest record on disk, 0 when there is none. */
  readonly seconds: number
}

const lastOf = (frame: HeldFrame): number => frame.first + frame.count - 1

export class Backlog {
  readonly writer: string
  #frames: HeldFrame[] = []
  #bytes = 0

  constructor(writer: string) {
    this.writer = writer
  }

  push(frame: HeldFrame): void {
    frame.segment.held++
    this.#frames.push(frame)
    this.#bytes += frame.length
  }

  lag(now = Date.now()): Lag {
    const [oldest] = this.#frames
    return { bytes: this.#bytes, batches: this.#frames.length, seconds: oldest === undefined ? 0 : Math.max(0, (now - oldest.since) / 1000) }
  }

  /**
   * The oldest records, whole frames up to `maxBytes` on disk (at least one frame), read back from disk.
   * @throws Error when a frame is damaged: what was acknowledged is gone, and nothing after it can be shipped as if it were whole.
   */
  async peek(maxBytes: number): Promise<Lot | undefined> {
    const frames = this.#oldest(maxBytes)
    const [oldest] = frames
    const newest = frames.at(-1)
    if (oldest === undefined || newest === undefined) return undefined
    const read = (await Promise.all(extentsOf(frames).map(readExtent))).flat()
    return {
      writer: this.writer,
      first: oldest.first,
      last: lastOf(newest),
      lines: Buffer.concat(read.map(frame => frame.lines)),
      terms: joinTerms(read.map(frame => frame.terms)),
    }
  }

  /** Records up to number `last` are in Postgres. Resolves to the number of frames that this lets go. */
  release(last: number): number {
    const kept = this.#frames.findIndex(frame => lastOf(frame) > last)
    const released = this.#frames.splice(0, kept === -1 ? this.#frames.length : kept)
    for (const frame of released) {
      frame.segment.held--
      this.#bytes -= frame.length
    }
    return released.length
  }

  /** A row holds consecutive numbers, so the run ends where one is missing. */
  #oldest(maxBytes: number): HeldFrame[] {
    const run: HeldFrame[] = []
    let bytes = 0
    for (const frame of this.#frames) {
      const previous = run.at(-1)
      bytes += frame.length
      if (previous !== undefined && (bytes > maxBytes || lastOf(previous) + 1 !== frame.first)) break
      run.push(frame)
    }
    return run
  }
}

/** Frames that stand behind each other in one segment: one read for all. */
function extentsOf(frames: readonly HeldFrame[]): HeldFrame[][] {
  const extents: HeldFrame[][] = []
  for (const frame of frames) {
    const previous = extents.at(-1)?.at(-1)
    if (previous?.segment === frame.segment && previous.position + previous.length === frame.position) extents.at(-1)?.push(frame)
    else extents.push([frame])
  }
  return extents
}

async function readExtent(frames: readonly HeldFrame[]): Promise<{ lines: Buffer; terms: SearchTerms }[]> {
  const [oldest] = frames
  if (oldest === undefined) return []
  const { segment, position } = oldest
  const bytes = await segment.read(position, frames.reduce((sum, frame) => sum + frame.length, 0))
  return frames.map(held => {
    const frame = decodeFrame(bytes, held.position - position)
    if (frame?.first !== held.first) throw new Error(`${segment.path}: the frame at ${held.position} is damaged`)
    return { lines: frame.lines, terms: held.terms ?? termsOf(frame.lines.toString().split('\n').slice(0, -1).map(lookupOfLine)) }
  })
}
