import { beforeEach, describe, expect, it } from 'vitest'
import { HsmUnavailable } from '../../src/hsm/hsm.ts'
import { Quarantine, Quarantined } from '../../src/hsm/quarantine.ts'

const [one, other] = [Buffer.from('one'), Buffer.from('other')]
const minute = 60_000

let now: number
let alarms: string[]
let quarantine: Quarantine
beforeEach(() => {
  now = 1_000
  alarms = []
  quarantine = new Quarantine({ alarm: verb => { alarms.push(verb) }, now: () => now })
})

describe('a call in quarantine', () => {
  it('is held for a minute, with this verb and this material, and with no other', () => {
    quarantine.add('decrypt', [one])
    expect(quarantine.holds('decrypt', [one])).toBe(true)
    expect([quarantine.holds('encrypt', [one]), quarantine.holds('decrypt', [other]), quarantine.holds('decrypt', [one, other])]).toEqual([false, false, false])
    now += minute - 1
    expect(quarantine.holds('decrypt', [one])).toBe(true)
    now += 1
    expect(quarantine.holds('decrypt', [one])).toBe(false)
  })

  it('raises one alarm, and another when it comes back after its minute', () => {
    quarantine.add('decrypt', [one])
    quarantine.add('decrypt', [one])
    expect(alarms).toEqual(['decrypt'])
    now += minute
    expect(quarantine.holds('decrypt', [one])).toBe(false)
    quarantine.add('decrypt', [one])
    expect(alarms).toEqual(['decrypt', 'decrypt'])
  })

  it('is held a minute from the last time', () => {
    quarantine.add('decrypt', [one])
    quarantine.add('encrypt', [one])
    now += minute / 2
    quarantine.add('decrypt', [one])
    now += minute / 2
    expect([quarantine.holds('decrypt', [one]), quarantine.holds('encrypt', [one])]).toEqual([true, false])
  })

  it('with two materials is another one the other way round', () => {
    quarantine.add('reencrypt', [one, other])
    expect([quarantine.holds('reencrypt', [one, other]), quarantine.holds('reencrypt', [other, one])]).toEqual([true, false])
  })
})

it('a call without a material is never held: all of its kind would be', () => {
  quarantine.add('random', [])
  expect(quarantine.holds('random', [])).toBe(false)
  expect(alarms).toEqual([])
})

it('holds a thousand calls, and lets the oldest go for more', () => {
  for (let i = 0; i <= 1_000; i++) quarantine.add('encrypt', [Buffer.from(String(i))])
  expect([0, 1, 1_000].map(i => quarantine.holds('encrypt', [Buffer.from(String(i))]))).toEqual([false, true, true])
})

it('answers with the error of an HSM that is not there, so that SDKs try again', () => {
  expect(new Quarantined()).toBeInstanceOf(HsmUnavailable)
  expect(new Quarantined().reason).toBe('unavailable')
})
