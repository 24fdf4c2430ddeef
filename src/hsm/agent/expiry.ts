// When a call is too old to begin. Gateway and agent are processes of one host, which read the same monotonic clock: the moment holds
// for a frame however long it lay in the socket, where no worker had seen it yet.
import { FrameError } from './frames.ts'

const expiryBytes = 8

/** Milliseconds of the host's monotonic clock, the same in all its processes; performance.now() counts from each one's start. */
const hostMilliseconds = (): number => Number(process.hrtime.bigint()) / 1e6

/** The moment in so many milliseconds, as a field of a frame. */
export function encodeExpiry(milliseconds: number): Buffer {
  const field = Buffer.alloc(expiryBytes)
  field.writeDoubleLE(hostMilliseconds() + milliseconds)
  return field
}

/** @throws FrameError */
export function hasExpired(field: Buffer): boolean {
  if (field.length !== expiryBytes) throw new FrameError('expiry length')
  // What is no number has no time left.
  return !(field.readDoubleLE() >= hostMilliseconds())
}
