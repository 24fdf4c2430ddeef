import fc from 'fast-check'
import { expect, test } from 'vitest'
import { decodeFrame, encodeFrame, findFrames, frameBytes, pageBytes } from '../../src/audit/frame.ts'

const line = fc.string({ unit: 'grapheme', maxLength: 3000 }).map(text => JSON.stringify(text))
const lines = fc.array(line, { minLength: 1, maxLength: 8 })

test('a frame reads back as it was written and fills whole pages', () => {
  fc.assert(fc.property(fc.maxSafeNat(), fc.nat(2 ** 32 - 1), lines, (first, epoch, written) => {
    const bytes = encodeFrame(first, epoch, written)
    const text = `${written.join('\n')}\n`
    expect(bytes.length % pageBytes).toBe(0)
    expect(bytes.length).toBe(frameBytes(Buffer.byteLength(text)))
    const { lines: read, ...rest } = decodeFrame(bytes) ?? { lines: Buffer.alloc(0) }
    expect(rest).toEqual({ first, epoch, count: written.length })
    expect(read.toString()).toBe(text)
  }))
})

test('what a frame does not use is zero: the disk gets nothing else from this process', () => {
  // A pool that has held other bytes is what allocUnsafe hands out again.
  for (let round = 0; round < 20; round++) Buffer.allocUnsafe(4000).fill(0x5a)
  const bytes = encodeFrame(7, 1, ['{"a":1}'])
  expect(bytes.subarray(28, 32).equals(Buffer.alloc(4))).toBe(true)
  expect(bytes.subarray(32 + 8).equals(Buffer.alloc(pageBytes - 40))).toBe(true)
})

test('a frame with any bit changed is no frame', () => {
  const bytes = encodeFrame(7, 1, ['{"a":1}', '{"b":2}'])
  const used = 32 + 16
  for (let bit = 0; bit < used * 8; bit++) {
    // Bytes 28 to 31 are reserved and not covered.
    if (bit >> 3 >= 28 && bit >> 3 < 32) continue
    const damaged = Buffer.from(bytes)
    damaged[bit >> 3] = (damaged[bit >> 3] ?? 0) ^ (1 << (bit & 7))
    expect(decodeFrame(damaged), `bit ${bit}`).toBeUndefined()
  }
})

test('a frame torn at any page is passed over, and those before it are found', () => {
  const whole = encodeFrame(1, 0, ['"first"'])
  const last = encodeFrame(2, 0, Array.from({ length: 20 }, (_, index) => JSON.stringify(`${index}`.repeat(700))))
  for (let pages = 0; pages < last.length / pageBytes; pages++) {
    const segment = Buffer.alloc(pageBytes + whole.length + last.length + pageBytes)
    whole.copy(segment, pageBytes)
    last.copy(segment, pageBytes + whole.length, 0, pages * pageBytes)
    expect(findFrames(segment, pageBytes).map(frame => frame.first), `${pages} pages`).toEqual([1])
  }
})

test('older frames behind the newest are not taken for new ones', () => {
  const segment = Buffer.concat([encodeFrame(50, 0, ['1', '2']), encodeFrame(52, 0, ['3']), encodeFrame(3, 0, ['old']), encodeFrame(4, 0, ['old'])])
  expect(findFrames(segment, 0).map(frame => [frame.first, frame.count, frame.position])).toEqual([[50, 2, 0], [52, 1, pageBytes]])
})

test('a damaged frame in the middle does not cost those behind it', () => {
  const segment = Buffer.concat([encodeFrame(1, 0, ['1']), encodeFrame(2, 0, ['2']), encodeFrame(3, 0, ['3'])])
  segment[pageBytes + 33] = 0
  expect(findFrames(segment, 0).map(frame => frame.first)).toEqual([1, 3])
})

test('zeros, noise and a length beyond the end hold no frames', () => {
  expect(findFrames(Buffer.alloc(4 * pageBytes), 0)).toEqual([])
  const long = encodeFrame(1, 0, ['x'])
  long.writeUInt32BE(0xffff_ffff, 4)
  expect(findFrames(long, 0)).toEqual([])
  fc.assert(fc.property(fc.uint8Array({ maxLength: 3 * pageBytes }), bytes => {
    expect(findFrames(Buffer.from(bytes), 0)).toEqual([])
  }))
})
