import { expect, it } from 'vitest'
import { sharedFor100Milliseconds } from '../../../src/hsm/agent/canary.ts'

it('a canary that passed answers for all that are in doubt in the next 100 ms, and one that failed for nobody else', () => {
  let now = 0
  let passes = true
  let asked = 0
  const healthy = sharedFor100Milliseconds(() => {
    asked++
    return passes
  }, () => now)
  expect([healthy(), healthy(), asked]).toEqual([true, true, 1])
  now = 99
  passes = false
  expect([healthy(), asked]).toEqual([true, 1])
  now = 100
  expect([healthy(), healthy(), asked]).toEqual([false, false, 3])
  passes = true
  expect([healthy(), healthy(), asked]).toEqual([true, true, 4])
})
