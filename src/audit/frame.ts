// A batch of records as it stands in a segment: a header, the lines, zeros up to the next page. A frame that was torn by a crash
// was never acknowledged; its checksum does not hold, and it is passed over.
import { crc32 } from 'node:zlib'

/**
 * Frames begin on pages, so that no write touches a page of a frame already acknowledged: a power failure in the middle of a
 * write can tear only the frame being written.
 */
export const pageBytes = 4096

/** 0xff is in no UTF-8 text, so nothing that a client sends can look like the beginning of a frame. */
const magic = 0xff54_4a31
const headerBytes = 32

export interface Frame {
  /** Number of the first record; the others follow it. */
  readonly first: number
  readonly count: number
  /** Grows with each disk error: a frame of a later epoch replaces unacknowledged ones of the same number. */
  readonly epoch: number
  /** The records, one a line, each line ended. */
  readonly lines: Buffer
}

const padded = (length: number): number => Math.ceil(length / pageBytes) * pageBytes

/** Bytes on disk of a frame with so many bytes of lines, a multiple of pageBytes. */
export const frameBytes = (lineBytes: number): number => padded(headerBytes + lineBytes)

/** magic u32, length of the lines u32, first u64, count u32, epoch u32, CRC-32 over header and lines u32, zero u32; big-endian. */
export function encodeFrame(first: number, epoch: number, lines: readonly string[]): Buffer {
  const text = `${lines.join('\n')}\n`
  const length = Buffer.byteLength(text)
  const frame = Buffer.allocUnsafe(frameBytes(length))
  frame.writeUInt32BE(magic, 0)
  frame.writeUInt32BE(length, 4)
  frame.writeBigUInt64BE(BigInt(first), 8)
  frame.writeUInt32BE(lines.length, 16)
  frame.writeUInt32BE(epoch, 20)
  frame.writeUInt32BE(0, 28)
  frame.write(text, headerBytes)
  frame.fill(0, headerBytes + length)
  frame.writeUInt32BE(checksum(frame, length), 24)
  return frame
}

/** The frame that begins at `offset`; undefined where there is none or it is damaged. */
export function decodeFrame(bytes: Buffer, offset = 0): Frame | undefined {
  if (offset + headerBytes > bytes.length || bytes.readUInt32BE(offset) !== magic) return undefined
  const length = bytes.readUInt32BE(offset + 4)
  const end = offset + headerBytes + length
  if (end > bytes.length || bytes.readUInt32BE(offset + 24) !== checksum(bytes.subarray(offset, end), length)) return undefined
  return {
    first: Number(bytes.readBigUInt64BE(offset + 8)),
    count: bytes.readUInt32BE(offset + 16),
    epoch: bytes.readUInt32BE(offset + 20),
    lines: bytes.subarray(offset + headerBytes, end),
  }
}

export interface FoundFrame extends Omit<Frame, 'lines'> {
  readonly position: number
  /** Bytes on disk, a multiple of pageBytes. */
  readonly length: number
}

/**
 * All frames of a segment, from `start` on. Segments are used again without being cleared: behind the newest frame stand older
 * ones, told by their lower numbers. Damage in the middle costs the damaged frame only.
 */
export function findFrames(segment: Buffer, start: number): FoundFrame[] {
  const found: FoundFrame[] = []
  let expected = 0
  for (let position = start; position < segment.length;) {
    const frame = decodeFrame(segment, position)
    const isNewer = frame !== undefined && frame.first >= expected
    const length = frame === undefined ? pageBytes : frameBytes(frame.lines.length)
    if (isNewer) {
      found.push({ first: frame.first, count: frame.count, epoch: frame.epoch, position, length })
      expected = frame.first + frame.count
    }
    position += length
  }
  return found
}

/** Over the 24 bytes before the checksum and the lines behind the header. */
const checksum = (frame: Buffer, length: number): number =>
  crc32(frame.subarray(headerBytes, headerBytes + length), crc32(frame.subarray(0, 24)))
