import { execFileSync } from 'node:child_process'
import { expect, it } from 'vitest'
import { encodeExpiry, hasExpired } from '../../../src/hsm/agent/expiry.ts'
import { FrameError } from '../../../src/hsm/agent/frames.ts'

it('a moment that is to come has not expired, one that has passed has', () => {
  expect(hasExpired(encodeExpiry(60_000))).toBe(false)
  expect(hasExpired(encodeExpiry(-1))).toBe(true)
})

it('a moment means the same in another process, whenever that was started', () => {
  const script = 'process.stdout.write(Buffer.from(Float64Array.from([5_000, -5_000], left => Number(process.hrtime.bigint()) / 1e6 + left).buffer))'
  const fields = execFileSync(process.execPath, ['-e', script])
  expect([fields.subarray(0, 8), fields.subarray(8)].map(hasExpired)).toEqual([false, true])
})

it('what is no number has expired, and what is no field of 8 bytes is no frame', () => {
  const field = Buffer.alloc(8)
  field.writeDoubleLE(Number.NaN)
  expect(hasExpired(field)).toBe(true)
  for (const length of [0, 7, 9]) expect(() => hasExpired(Buffer.alloc(length))).toThrow(new FrameError('expiry length'))
})
