// Journals as a dead process leaves them, made without killing one: segments whose first page names no living process.
import { open, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { encodeFrame, pageBytes } from '../../src/audit/frame.ts'
import { segmentName } from '../../src/audit/segment.ts'

/** Every segment of the directory gets a first page that says it was written by a process of an earlier boot. */
export async function forgetOwner(directory: string): Promise<void> {
  for (const name of await readdir(directory)) {
    const file = await open(join(directory, name), 'r+')
    await file.write(headerPage('boot 0 pid:[1] pid 1 start 1'), 0, pageBytes, 0)
    await file.close()
  }
}

export function headerPage(owner: string): Buffer {
  const page = Buffer.alloc(pageBytes)
  page.write(JSON.stringify({ journal: 1, writer: '', owner }))
  return page
}

export interface LeftFrame {
  readonly first: number
  readonly lines: readonly string[]
  readonly epoch?: number
}

/** Writes one segment with these frames and some empty pages. */
export async function leaveSegment(directory: string, writer: string, index: number, frames: readonly LeftFrame[], page = headerPage('')): Promise<string> {
  const path = join(directory, segmentName(writer, index))
  const file = await open(path, 'wx', 0o600)
  const bodies = frames.map(({ first, epoch = 0, lines }) => encodeFrame(first, epoch, lines))
  await file.writeFile(Buffer.concat([page, ...bodies, Buffer.alloc(2 * pageBytes)]))
  await file.close()
  return path
}
