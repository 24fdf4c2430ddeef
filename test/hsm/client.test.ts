import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import { callLimit } from '../../src/hsm/calls.ts'
import { HsmClient } from '../../src/hsm/client.ts'
import { HsmUnavailable } from '../../src/hsm/hsm.ts'

/** As in client.ts. */
const queueLimit = 2_048
/** Milliseconds, longer than it takes the client to see that a call's time is over. */
const sweep = 300
const busy = new HsmUnavailable('busy', 'the queue before the HSM is full')
const noAgent = new HsmUnavailable('unavailable', 'no hsm-agent serves')

let client: HsmClient
beforeEach(() => {
  vi.useFakeTimers()
  client = new HsmClient({ observe: () => undefined })
})
afterEach(() => {
  client.close()
  vi.useRealTimers()
})

/** What became of calls: no promise is left without a handler. */
const outcomes = (count: number): Promise<unknown[]> => Promise.all(Array.from({ length: count }, () => client.random(8).catch((thrown: unknown) => thrown)))

it('without an agent a call waits its time and fails as unavailable, and one more than the queue holds fails at once as busy', async () => {
  const waiting = outcomes(queueLimit)
  expect(await outcomes(1)).toEqual([busy])
  await vi.advanceTimersByTimeAsync(callLimit('random') + sweep)
  expect(await waiting).toEqual(Array(queueLimit).fill(noAgent))
})

it('calls whose time is over leave the queue: those after them are told that the HSM is away, not that they are too many', async () => {
  for (let round = 0; round < 3; round++) {
    const waiting = outcomes(queueLimit)
    await vi.advanceTimersByTimeAsync(callLimit('random') + sweep)
    expect(await waiting).toEqual(Array(queueLimit).fill(noAgent))
  }
})
