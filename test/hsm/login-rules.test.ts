import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { judgeLogin, type LoginQuestion, type PinRecord } from '../../src/hsm/login-rules.ts'

const record = (changes: Partial<PinRecord>): PinRecord => ({ version: 1, state: 'good', permit: 'usual', isOver: true, unresolved: 0, wasGood: false, ...changes })
const question = (changes: Partial<LoginQuestion>): LoginQuestion => ({ version: 1, pinState: 'usual', revealsPinState: true, records: [], ...changes })

const logIn = (inSpiteOf = 'usual', unresolved = 0) => ({ may: 'log-in', inSpiteOf, unresolved })
const not = (why: string) => ({ may: 'not', why })

const latched = record({ state: 'latched' })
const underWay = record({ state: 'attempting', isOver: false })
const cutOff = record({ state: 'attempting' })

describe('a login', () => {
  it.each<[string, Partial<LoginQuestion>, object]>([
    ['of which nothing is known', {}, logIn()],
    ['with a PIN that was good', { records: [record({ wasGood: true })] }, logIn()],
    ['to a latched token', { records: [latched] }, not('latched')],
    ['with an older PIN than the latched one', { version: 1, records: [record({ version: 2, state: 'latched' })] }, not('latched')],
    ['with a newer PIN than the latched one', { version: 2, records: [latched] }, logIn('count-low')],
    ['with a newer PIN than the latched one, for the second time', { version: 2, records: [latched, record({ version: 2 })] }, logIn()],
    ['while another is under way', { records: [underWay] }, { may: 'wait' }],
    ['while another is under way with another version of the PIN', { version: 2, records: [underWay] }, { may: 'wait' }],
    ['after one that was cut off, of which the token says that it was not with a wrong PIN', { records: [cutOff] }, logIn('usual', 1)],
    ['after many that were cut off, likewise', { records: [record({ state: 'attempting', unresolved: 7 })] }, logIn('usual', 8)],
    ['after one that was cut off, when the token has counted a wrong PIN', { pinState: 'count-low', records: [cutOff] }, not('unresolved')],
    ['after one that was cut off, on a token that does not tell', { revealsPinState: false, records: [cutOff] }, not('unresolved')],
    ['after one that was cut off, on a token that does not tell, of a PIN that was good', { revealsPinState: false, records: [record({ state: 'attempting', wasGood: true })] }, logIn('usual', 1)],
    ['after two in a row, likewise', { revealsPinState: false, records: [record({ state: 'attempting', wasGood: true, unresolved: 1 })] }, not('unresolved')],
    ['while the token has counted a wrong PIN', { pinState: 'count-low' }, not('count-low')],
    ['with a PIN that was good, likewise', { pinState: 'count-low', records: [record({ wasGood: true })] }, not('count-low')],
    ['that was permitted, likewise', { pinState: 'count-low', records: [record({ state: 'permitted', permit: 'count-low' })] }, logIn('count-low')],
    ['with the last try', { pinState: 'final-try' }, not('final-try')],
    ['with the last try, when less was permitted', { pinState: 'final-try', records: [record({ state: 'permitted', permit: 'count-low' })] }, not('final-try')],
    ['with the last try, of a newer PIN', { version: 2, pinState: 'final-try', records: [latched] }, not('final-try')],
    ['with the last try that was permitted', { pinState: 'final-try', records: [record({ state: 'permitted', permit: 'final-try' })] }, logIn('final-try')],
    ['to a locked token', { pinState: 'locked', records: [record({ state: 'permitted', permit: 'final-try' })] }, not('locked')],
  ])('%s', (_what, changes, verdict) => {
    expect(judgeLogin(question(changes))).toEqual(verdict)
  })
})

describe('whatever is on record', () => {
  const records = fc.array(fc.record<PinRecord>({
    version: fc.integer({ min: 1, max: 3 }), state: fc.constantFrom('attempting', 'good', 'latched', 'permitted'), permit: fc.constantFrom('usual', 'count-low', 'final-try'),
    isOver: fc.boolean(), unresolved: fc.nat(3), wasGood: fc.boolean(),
  }), { maxLength: 4 })
  const questions = fc.record<LoginQuestion>({
    version: fc.integer({ min: 1, max: 3 }), pinState: fc.constantFrom('usual', 'count-low', 'final-try', 'locked'), revealsPinState: fc.boolean(), records,
  })

  it('no login is made to a locked or latched token, none beside another, and none with the last try that nobody permitted', () => {
    fc.assert(fc.property(questions, asked => {
      const verdict = judgeLogin(asked)
      if (verdict.may !== 'log-in') return
      expect(asked.pinState).not.toBe('locked')
      expect(asked.records.filter(({ state, version }) => state === 'latched' && version >= asked.version)).toEqual([])
      expect(asked.records.filter(({ state, isOver }) => state === 'attempting' && !isOver)).toEqual([])
      const permits = asked.records.filter(({ state, version }) => state === 'permitted' && version === asked.version).map(({ permit }) => permit)
      if (asked.pinState === 'final-try') expect(permits).toContain('final-try')
    }))
  })
})
