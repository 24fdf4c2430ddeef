import { expect, it } from 'vitest'
import { callLimit } from '../../src/hsm/client.ts'
import { usualLimits } from '../../src/hsm/supervisor.ts'

/** Milliseconds for the end of an agent, the start of another and the call itself, on a busy machine. */
const replacement = 2_000
const { silence, deadlines } = usualLimits

it.each([
  { what: 'a hot call that hangs in a worker', limit: deadlines.hot, verb: 'encrypt' },
  { what: 'a key that hangs while it is made', limit: deadlines.unhurried, verb: 'create' },
  { what: 'an unwrap that hangs in the main thread', limit: silence, verb: 'encrypt' },
] as const)('$what ends its agent early enough for the replacement to serve the call', ({ limit, verb }) => {
  expect(limit + replacement).toBeLessThanOrEqual(callLimit(verb))
})
