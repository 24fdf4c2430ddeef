import { beforeEach, expect, it } from 'vitest'
import { Breaker, type BreakerState } from '../../src/hsm/breaker.ts'

let now = 0
let changes: BreakerState[] = []
let breaker: Breaker
beforeEach(() => {
  now = 5_000
  changes = []
  breaker = new Breaker(state => { changes.push(state) }, () => now)
})
const count = (...failed: boolean[]): void => { for (const one of failed) breaker.count(one) }

it('opens over half failures, and not at half', () => {
  count(false, true, false, true, false, true)
  expect(breaker.state).toBe('closed')
  count(true)
  expect(changes).toEqual(['open'])
})

it('says nothing of fewer than five calls', () => {
  count(true, true, true, true)
  expect(breaker.state).toBe('closed')
  count(true)
  expect(breaker.state).toBe('open')
})

it('forgets what is older than ten seconds', () => {
  count(true, true, true, true)
  now += 9_999
  count(false, false, false, false)
  now += 1_001
  // The four failures have gone: three of seven are left.
  count(true, true, true)
  expect(breaker.state).toBe('closed')
})

it('opens on a canary that fails, is half-open while one is asked, and closes on one that passes', () => {
  breaker.probed(false)
  breaker.probing()
  breaker.probed(false)
  breaker.probing()
  breaker.probed(true)
  expect(changes).toEqual(['open', 'half-open', 'open', 'half-open', 'closed'])
})

it('begins anew when it closes: what was counted before does not open it again', () => {
  count(true, true, true, true, true)
  breaker.probing()
  breaker.probed(true)
  count(true, false, true, false)
  expect(breaker.state).toBe('closed')
})

it('stays closed while canaries of a token that is well are asked', () => {
  breaker.probing()
  breaker.probed(true)
  expect(changes).toEqual([])
})
