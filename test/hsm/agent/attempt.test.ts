// The retry rules: how often a call is made, what is done between two tries, and what is answered in the end.
import { describe, expect, it } from 'vitest'
import { KmsError } from '../../../src/errors.ts'
import { attempt, type Outcome } from '../../../src/hsm/agent/attempt.ts'
import { ckr } from '../../../src/hsm/agent/ckr.ts'
import { Fault } from '../../../src/hsm/agent/fault.ts'
import { profiles } from '../../../src/hsm/agent/profile.ts'
import { Refused } from '../../../src/hsm/agent/refused.ts'

interface Device {
  /** What the tries throw, one after the other; then they succeed. */
  readonly faults: readonly Error[]
  readonly profile?: string
  /** What the canary says, one answer after the other; the last one stays. */
  readonly healthy?: readonly boolean[]
  readonly sessions?: 'refused' | 'broken'
}

interface Seen {
  readonly outcome: Outcome
  /** The `again` of each try. */
  readonly tries: readonly boolean[]
  readonly canaries: number
  readonly renewals: number
}

function run({ faults, profile = 'softhsm', healthy = [true], sessions }: Device): Seen {
  const chosen = profiles.get(profile)
  if (chosen === undefined) throw new TypeError(profile)
  const tries: boolean[] = []
  let canaries = 0
  let renewals = 0
  const outcome = attempt(again => {
    const fault = faults[tries.length]
    tries.push(again)
    if (fault !== undefined) throw fault
    return Buffer.from('done')
  }, chosen, {
    healthy: () => healthy[Math.min(canaries++, healthy.length - 1)] ?? false,
    renewSession: () => {
      renewals++
      if (sessions === 'refused') throw new Fault('C_OpenSession', ckr.SESSION_COUNT)
      if (sessions === 'broken') throw new TypeError('no session at all')
    },
  })
  return { outcome, tries, canaries, renewals }
}

const done = { status: 'ok', payload: Buffer.from('done') }
const times = (count: number, call: string, value: number): Fault[] => Array.from({ length: count }, () => new Fault(call, value))

it('a call that succeeds is made once, and nothing is asked', () => {
  expect(run({ faults: [] })).toEqual({ outcome: done, tries: [false], canaries: 0, renewals: 0 })
})

describe('wrong input', () => {
  it('at C_Decrypt is an invalid ciphertext, at once', () => {
    const { outcome, tries, canaries } = run({ faults: times(1, 'C_Decrypt', ckr.ENCRYPTED_DATA_INVALID) })
    expect([outcome, tries.length, canaries]).toEqual([{ status: 'invalid', ckr: 0x40, text: '' }, 1, 0])
  })

  it('anywhere else is a fault: no caller of Trent chose that input', () => {
    expect(run({ faults: times(1, 'C_UnwrapKey', ckr.WRAPPED_KEY_INVALID) }).outcome).toEqual({ status: 'fault', ckr: 0x110, text: 'C_UnwrapKey: CKR_WRAPPED_KEY_INVALID' })
  })

  it('that was seen before the HSM was asked is invalid; a row that is refused says why', () => {
    expect(run({ faults: [new KmsError('InvalidCiphertextException')] })).toMatchObject({ outcome: { status: 'invalid', ckr: 0 }, tries: [false] })
    expect(run({ faults: [new Refused('the row is of another domain')] })).toMatchObject({ outcome: { status: 'refused', text: 'the row is of another domain' }, tries: [false] })
  })
})

describe('an error that may be the ciphertext\'s or the device\'s', () => {
  const general = (count: number): Fault[] => times(count, 'C_Decrypt', ckr.GENERAL_ERROR)

  it('is the ciphertext\'s after three tries with a canary that passes', () => {
    expect(run({ faults: general(3) })).toMatchObject({ outcome: { status: 'invalid', ckr: 0x05, text: '' }, tries: [false, true, true], canaries: 3 })
  })

  it('is neither\'s when a repeat succeeds: one bad moment makes no good ciphertext invalid', () => {
    expect(run({ faults: general(1) })).toMatchObject({ outcome: done, tries: [false, true] })
    expect(run({ faults: general(2) })).toMatchObject({ outcome: done, tries: [false, true, true] })
  })

  it('is the device\'s when the canary fails, at whichever try', () => {
    const lost = { status: 'lost', ckr: 0x05, text: 'C_Decrypt: CKR_GENERAL_ERROR' }
    expect(run({ faults: general(3), healthy: [false] })).toMatchObject({ outcome: lost, tries: [false] })
    expect(run({ faults: general(3), healthy: [true, true, false] })).toMatchObject({ outcome: lost, tries: [false, true, true] })
  })
})

describe('a stale key', () => {
  it.each([ckr.KEY_HANDLE_INVALID, ckr.OBJECT_HANDLE_INVALID])('is not tried again by who holds the handle (%i)', value => {
    expect(run({ faults: times(1, 'C_EncryptInit', value) })).toEqual({ outcome: { status: 'stale', ckr: value }, tries: [false], canaries: 0, renewals: 0 })
  })
})

describe('a stale session', () => {
  const stale = (count: number): Fault[] => times(count, 'C_EncryptInit', ckr.SESSION_HANDLE_INVALID)

  it('is renewed before each repeat, twice', () => {
    expect(run({ faults: stale(2) })).toEqual({ outcome: done, tries: [false, true, true], canaries: 0, renewals: 2 })
  })

  it('is a lost agent at the third time, or when there is no new one', () => {
    const lost = { status: 'lost', ckr: 0xb3, text: 'C_EncryptInit: CKR_SESSION_HANDLE_INVALID' }
    expect(run({ faults: stale(3) })).toMatchObject({ outcome: lost, tries: [false, true, true], renewals: 2 })
    expect(run({ faults: stale(1), sessions: 'refused' })).toMatchObject({ outcome: lost, tries: [false], renewals: 1 })
  })

  it('that cannot be renewed for a reason that is no fault of the HSM is not hidden', () => {
    expect(() => run({ faults: stale(1), sessions: 'broken' })).toThrow(new TypeError('no session at all'))
  })
})

it('a lost login is a lost agent', () => {
  expect(run({ faults: times(1, 'C_SignInit', ckr.USER_NOT_LOGGED_IN) }))
    .toEqual({ outcome: { status: 'lost', ckr: 0x101, text: 'C_SignInit: CKR_USER_NOT_LOGGED_IN' }, tries: [false], canaries: 0, renewals: 0 })
})

describe('a busy device', () => {
  it('is asked four times, ever later, without a canary', () => {
    const begun = performance.now()
    expect(run({ faults: times(3, 'C_Encrypt', ckr.DEVICE_MEMORY) })).toEqual({ outcome: done, tries: [false, true, true, true], canaries: 0, renewals: 0 })
    // At least half of 8, 16 and 32 ms.
    expect(performance.now() - begun).toBeGreaterThanOrEqual(28 - 3)
  })

  it('that is still busy is left to another worker', () => {
    expect(run({ faults: times(4, 'C_Encrypt', ckr.SESSION_COUNT) })).toMatchObject({ outcome: { status: 'again', ckr: 0xb1, text: 'C_Encrypt: CKR_SESSION_COUNT' }, tries: [false, true, true, true] })
  })

  it('is what the profile calls so', () => {
    const faults = times(3, 'C_Decrypt', ckr.FUNCTION_FAILED)
    expect(run({ faults, profile: 'cloudhsm' })).toMatchObject({ outcome: done, tries: [false, true, true, true], canaries: 0 })
    expect(run({ faults, profile: 'luna' })).toMatchObject({ outcome: { status: 'invalid' }, canaries: 3 })
  })
})

describe('a failing device', () => {
  const failing = (count: number): Fault[] => times(count, 'C_Encrypt', ckr.DEVICE_ERROR)

  it('is tried three times, each on a new session and behind a canary that passes', () => {
    expect(run({ faults: failing(2) })).toEqual({ outcome: done, tries: [false, true, true], canaries: 2, renewals: 2 })
    expect(run({ faults: failing(2), sessions: 'refused' })).toMatchObject({ outcome: done, tries: [false, true, true], canaries: 2 })
  })

  it('that passes its canary all the same is left to another worker', () => {
    expect(run({ faults: failing(3) })).toMatchObject({ outcome: { status: 'again', ckr: 0x30, text: 'C_Encrypt: CKR_DEVICE_ERROR' }, tries: [false, true, true] })
  })

  it('is lost when the canary fails', () => {
    expect(run({ faults: failing(3), healthy: [true, false] })).toMatchObject({ outcome: { status: 'lost', ckr: 0x30, text: 'C_Encrypt: CKR_DEVICE_ERROR' }, tries: [false, true] })
  })

  it('may speak in a code that nobody knows', () => {
    expect(run({ faults: times(3, 'C_Decrypt', 0x80001234) })).toMatchObject({ outcome: { status: 'again', text: 'C_Decrypt: 0x80001234' }, tries: [false, true, true], canaries: 3 })
  })
})

it('a wrong configuration is not tried again', () => {
  expect(run({ faults: times(1, 'C_EncryptInit', ckr.MECHANISM_INVALID) }))
    .toEqual({ outcome: { status: 'fault', ckr: 0x70, text: 'C_EncryptInit: CKR_MECHANISM_INVALID' }, tries: [false], canaries: 0, renewals: 0 })
})

it('the faults of each class are counted for themselves, stale sessions in a row', () => {
  // As a session answers in which each failed call leaves its operation active.
  const active = new Fault('C_EncryptInit', ckr.OPERATION_ACTIVE)
  const failed = new Fault('C_Encrypt', ckr.DEVICE_ERROR)
  expect(run({ faults: [failed, active, failed, active] })).toMatchObject({ outcome: done, tries: [false, true, true, true, true], renewals: 4 })
  const busy = new Fault('C_Encrypt', ckr.DEVICE_MEMORY)
  expect(run({ faults: [busy, active, busy, active, busy, active] })).toMatchObject({ outcome: done, renewals: 3 })
  expect(run({ faults: [failed, active, active, active] })).toMatchObject({ outcome: { status: 'lost', ckr: 0x90 }, renewals: 3 })
})

it('what is no fault of the HSM is thrown on', () => {
  expect(() => run({ faults: [new RangeError('a bug')] })).toThrow(new RangeError('a bug'))
})
