// What a row of the probe says of each way in which a try can end. No token: the tries are the test's.
import { createPublicKey } from 'node:crypto'
import { expect, it } from 'vitest'
import { KmsError } from '../../../src/errors.ts'
import { ckr } from '../../../src/hsm/agent/ckr.ts'
import { Fault } from '../../../src/hsm/agent/fault.ts'
import { Missing, ProbeBench, WrongAnswer } from '../../../src/hsm/agent/probe-bench.ts'
import { profiles } from '../../../src/hsm/agent/profile.ts'
import type { Session } from '../../../src/hsm/agent/session.ts'
import { Fatal } from '../../../src/hsm/agent/token.ts'

const profile = profiles.get('softhsm')
if (profile === undefined) throw new Error('no profile')
const ground = { profile, offered: new Set([1]), wrapping: () => { throw new Missing('no domain key') } }

function tried(run: () => string, mechanisms: readonly number[] = []): { outcome: string; detail: string; sessions: number } {
  let sessions = 0
  const bench = new ProbeBench({ ...ground, openSession: () => { sessions++; return {} as Session } })
  const passed = bench.row('kwp', mechanisms, run)
  const [found] = bench.found
  expect(passed).toBe(found?.outcome === 'passed')
  return { outcome: found?.outcome ?? '', detail: found?.detail ?? '', sessions }
}
const thrown = (error: Error) => () => { throw error }

it.each([
  ['an answer', () => 'found', 'passed', 'found'],
  ['a wrong answer', thrown(new WrongAnswer('another')), 'wrong', 'another'],
  ['what Trent itself refuses', thrown(new KmsError('InvalidCiphertextException')), 'wrong', 'InvalidCiphertextException'],
  ['a token that its profile does not fit', thrown(new Fatal('token', 'no IV')), 'wrong', 'no IV'],
  ['a thing that is not there', () => String(ground.wrapping()), 'failed', 'no domain key'],
  ['a refusal', thrown(new Fault('C_Sign', ckr.KEY_FUNCTION_NOT_PERMITTED)), 'failed', 'C_Sign: CKR_KEY_FUNCTION_NOT_PERMITTED'],
  ['a refusal by a number of the vendor\'s', thrown(new Fault('C_Sign', 0x80001234)), 'failed', 'C_Sign: 0x80001234'],
])('%s', (_what, run, outcome, detail) => {
  expect(tried(run)).toEqual({ outcome, detail, sessions: 1 })
})

it('a key that OpenSSL cannot read is a wrong answer', () => {
  const offCurve = { kty: 'EC', crv: 'P-256', x: Buffer.alloc(32, 1).toString('base64url'), y: Buffer.alloc(32, 2).toString('base64url') }
  const { outcome, detail } = tried(() => createPublicKey({ key: offCurve, format: 'jwk' }).type)
  expect({ outcome, detail }).toEqual({ outcome: 'wrong', detail: expect.stringMatching(/^OpenSSL takes it for none: ERR_(OSSL|CRYPTO)_/) as string })
})

it('a mechanism that is not in the token\'s list is not tried', () => {
  expect(tried(thrown(new Error('tried')), [1, 0x1054])).toEqual({ outcome: 'absent', detail: 'mechanism 0x1054', sessions: 1 })
  expect(tried(() => '', [1])).toMatchObject({ outcome: 'passed' })
})

it('a bad moment is tried again on another session, five times in all', () => {
  let count = 0
  const passing = (after: number) => () => {
    if (++count <= after) throw new Fault('C_Sign', ckr.DEVICE_ERROR)
    return 'at last'
  }
  expect(tried(passing(4))).toEqual({ outcome: 'passed', detail: 'at last', sessions: 5 })
  count = 0
  expect(tried(passing(5))).toEqual({ outcome: 'failed', detail: 'C_Sign: CKR_DEVICE_ERROR', sessions: 5 })
})

it('a fault of the program itself is not a finding', () => {
  expect(() => tried(thrown(new TypeError('attribute X')))).toThrow(TypeError)
})

it('a refusal is what the token refuses: not what it lets pass, and not what it only failed', () => {
  const bench = new ProbeBench({ ...ground, openSession: () => ({}) as Session })
  expect(bench.refusal(thrown(new Fault('C_GetAttributeValue', ckr.ATTRIBUTE_SENSITIVE)), 'given')).toBe(ckr.ATTRIBUTE_SENSITIVE)
  expect(() => bench.refusal(() => undefined, 'given')).toThrow(new WrongAnswer('given'))
  expect(() => bench.refusal(thrown(new Fault('C_GetAttributeValue', ckr.DEVICE_ERROR)), 'given')).toThrow(Fault)
})
