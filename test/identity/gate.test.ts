import { describe, expect, it } from 'vitest'
import { Gate, sourceOf, type GateOptions } from '../../src/identity/gate.ts'

function setUp(options: GateOptions = {}) {
  const clock = { now: 1_000 }
  const gate = new Gate({ now: () => clock.now, ...options })
  const admitted = (address: string, times: number) => Array.from({ length: times }, () => gate.admit(address)).filter(Boolean).length
  return { gate, clock, admitted }
}

describe('an address', () => {
  it('is admitted a hundred times at once and fifty times a second', () => {
    const { clock, admitted } = setUp()
    expect(admitted('192.0.2.1', 150)).toBe(100)
    clock.now += 1_000
    expect(admitted('192.0.2.1', 150)).toBe(50)
    clock.now += 20
    expect(admitted('192.0.2.1', 150)).toBe(1)
  })

  it('never saves up more than a hundred', () => {
    const { clock, admitted } = setUp()
    admitted('192.0.2.1', 1)
    clock.now += 3_600_000
    expect(admitted('192.0.2.1', 150)).toBe(100)
  })

  it('does not take from another\'s', () => {
    const { admitted } = setUp()
    admitted('192.0.2.1', 150)
    expect(admitted('192.0.2.2', 150)).toBe(100)
  })

  it.each([
    ['192.0.2.1', '192.0.2.1'],
    ['::ffff:192.0.2.1', '192.0.2.1'],
    ['::FFFF:192.0.2.1', '192.0.2.1'],
    ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2::/64'],
    ['2001:DB8:0001:0002::1', '2001:db8:1:2::/64'],
    ['2001:db8::1', '2001:db8:0:0::/64'],
    ['::1', '0:0:0:0::/64'],
    ['::', '0:0:0:0::/64'],
    ['::1:2:3:4:5:6:7', '0:1:2:3::/64'],
    ['1::', '1:0:0:0::/64'],
    ['64:ff9b::192.0.2.1', '64:ff9b:0:0::/64'],
    ['fe80::1%eth0', 'fe80:0:0:0::/64'],
    ['', ''],
  ])('of %j counts as %j', (address, source) => {
    expect(sourceOf(address)).toBe(source)
  })

  it('of IPv6 shares its bucket with its whole /64', () => {
    const { admitted } = setUp()
    expect(admitted('2001:db8::1', 60) + admitted('2001:db8::2', 60)).toBe(100)
  })
})

describe('the buckets', () => {
  it('are shared by new addresses while all are in use, so that none gets a fresh burst by pushing another out', () => {
    const { admitted } = setUp({ addresses: 2 })
    admitted('192.0.2.1', 150)
    admitted('192.0.2.2', 150)
    expect(admitted('192.0.2.3', 60) + admitted('192.0.2.4', 60)).toBe(100)
    expect(admitted('192.0.2.1', 1)).toBe(0)
  })

  it('are given up once they have filled up again, the longest unused first', () => {
    const { clock, admitted } = setUp({ addresses: 2 })
    admitted('192.0.2.1', 150)
    clock.now += 1_000
    admitted('192.0.2.2', 150)
    clock.now += 1_000
    expect(admitted('192.0.2.3', 150)).toBe(100)
    expect(admitted('192.0.2.2', 150)).toBe(50)
  })
})
