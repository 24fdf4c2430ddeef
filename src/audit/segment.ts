// A file of a journal: allocated in full before its first use, so that no append can fail for want of space, and written with
// O_DSYNC, so that a write that returned is on disk.
import { constants } from 'node:fs'
import { mkdir, open, rename, rm, stat } from 'node:fs/promises'
import type { FileHandle } from 'node:fs/promises'
import { join } from 'node:path'
import { StartError } from '../errors.ts'
import { pageBytes } from './frame.ts'
import { processMark } from './owner.ts'

export const segmentName = (writer: string, index: number): string => `journal-${writer}-${index}.seg`

const namePattern = /^journal-([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})-(\d+)\.seg(\.new)?$/

/** What a file's name says; undefined for files that are no segments. `isComplete` is false for one whose making was cut short. */
export function parseSegmentName(name: string): { writer: string; isComplete: boolean } | undefined {
  const [, writer, , suffix] = namePattern.exec(name) ?? []
  return writer === undefined ? undefined : { writer, isComplete: suffix === undefined }
}

/**
 * Makes the directory, 0700. Records name callers and keys: one that others can read, or replace files in, is refused.
 * @throws StartError
 */
export async function prepareDirectory(directory: string): Promise<void> {
  await mkdir(directory, { recursive: true, mode: 0o700 })
  const found = await stat(directory)
  if (!found.isDirectory() || (found.mode & 0o077) !== 0 || found.uid !== process.geteuid?.()) {
    throw new StartError(`audit journal directory ${directory}: must belong to the user that runs Trent, with mode 0700`)
  }
}

/** The first page of a segment: JSON and zeros. Frames begin behind it. */
interface Header {
  readonly journal: 1
  readonly writer: string
  readonly owner: string
}

/** The process that wrote a segment, or undefined where the first page is damaged. `page` is the first page or more. */
export function ownerOf(page: Buffer): string | undefined {
  try {
    const { owner } = JSON.parse(page.subarray(0, page.indexOf(0)).toString()) as Partial<Header>
    return typeof owner === 'string' ? owner : undefined
  } catch {
    return undefined
  }
}

export class Segment {
  readonly path: string
  /** Frames that are not yet in Postgres. */
  held = 0
  /** Where the next frame goes. */
  position = pageBytes
  readonly #bytes: number
  readonly #handle: FileHandle

  private constructor(path: string, bytes: number, handle: FileHandle) {
    this.path = path
    this.#bytes = bytes
    this.#handle = handle
  }

  /** Allocates a segment: zeros are written, since a sparse file may still find the disk full. It has its name only when whole. */
  static async create(directory: string, writer: string, index: number, bytes: number): Promise<Segment> {
    const path = join(directory, segmentName(writer, index))
    const unfinished = `${path}.new`
    const file = await open(unfinished, 'wx', 0o600)
    try {
      await fill(file, writer, bytes)
      await file.sync()
      await rename(unfinished, path)
      await syncDirectory(directory)
    } catch (error) {
      await rm(unfinished, { force: true })
      throw error
    } finally {
      await file.close()
    }
    return new Segment(path, bytes, await open(path, constants.O_RDWR | constants.O_DSYNC))
  }

  /** A segment that another process left, for reading only. */
  static async openLeft(path: string): Promise<Segment> {
    const handle = await open(path, 'r')
    return new Segment(path, (await handle.stat()).size, handle)
  }

  fits(length: number): boolean {
    return this.position + length <= this.#bytes
  }

  /** Starts over; what stands there has been shipped. */
  rewind(): void {
    this.position = pageBytes
  }

  /** Resolves when the frame is on disk. */
  async append(frame: Buffer): Promise<void> {
    for (let written = 0; written < frame.length;) {
      const { bytesWritten } = await this.#handle.write(frame, written, frame.length - written, this.position + written)
      if (bytesWritten === 0) throw new Error(`${this.path}: nothing was written`)
      written += bytesWritten
    }
    this.position += frame.length
  }

  async read(position: number, length: number): Promise<Buffer> {
    const bytes = Buffer.alloc(length)
    for (let read = 0; read < length;) {
      const { bytesRead } = await this.#handle.read(bytes, read, length - read, position + read)
      if (bytesRead === 0) throw new Error(`${this.path}: ends early`)
      read += bytesRead
    }
    return bytes
  }

  /** The whole file. */
  async readAll(): Promise<Buffer> {
    return await this.read(0, this.#bytes)
  }

  async close(): Promise<void> {
    await this.#handle.close()
  }

  async remove(): Promise<void> {
    try {
      await this.close()
    } finally {
      await rm(this.path, { force: true })
    }
  }
}

const chunkBytes = 1024 * 1024

async function fill(file: FileHandle, writer: string, bytes: number): Promise<void> {
  const header: Header = { journal: 1, writer, owner: processMark(process.pid) ?? '' }
  const zeros = Buffer.alloc(chunkBytes)
  const page = Buffer.alloc(pageBytes)
  page.write(JSON.stringify(header))
  await file.writeFile(page)
  for (let rest = bytes - pageBytes; rest > 0; rest -= chunkBytes) await file.writeFile(zeros.subarray(0, Math.min(rest, chunkBytes)))
}

async function syncDirectory(directory: string): Promise<void> {
  const handle = await open(directory, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}
