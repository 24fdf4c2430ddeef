// What an agent says before its login, and makes of the token's flags and answers: real agents on a token behind the pass-through module.
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { afterEach, beforeEach, expect, inject, it } from 'vitest'
import type { LoginOutcome, TokenFound } from '../../../src/hsm/agent/control.ts'
import type * as agentModule from '../../../src/hsm/agent-process.ts'
import type * as loginModule from '../../../src/hsm/login.ts'
import type { Permit } from '../../../src/hsm/login-rules.ts'
import { chaosToken, type ChaosToken, type Faults } from '../../support/chaos.ts'
import { newFolder, pin, writeTokenFiles } from '../../support/installation.ts'
import { poke } from '../../support/token.ts'

const countLow = 0x10000
const finalTry = 0x20000
const locked = 0x40000
const dist = join(import.meta.dirname, '../../../dist')

let directory: string
let chaos: ChaosToken
beforeEach(async () => {
  directory = await newFolder('login')
  await writeTokenFiles(directory, inject('installation').directory)
  chaos = await chaosToken(directory)
})
afterEach(() => rm(directory, { recursive: true, force: true }))

interface Answers {
  readonly profile?: string
  readonly given?: string
  readonly inSpiteOf?: Permit
  /** From the moment at which the agent has asked. */
  readonly faults?: Faults
}

/** Lists the token's objects, which takes a login. */
async function logIn({ profile = 'softhsm', given = pin, inSpiteOf = 'usual', faults = {} }: Answers = {}): Promise<{ found: TokenFound[]; outcome: LoginOutcome | { outcome: 'lost' } | undefined; logins: number }> {
  const { runJob, tokenAddress } = await import(pathToFileURL(join(dist, 'hsm/agent-process.js')).href) as typeof agentModule
  const { LoginRefused } = await import(pathToFileURL(join(dist, 'hsm/login.js')).href) as typeof loginModule
  const found: TokenFound[] = []
  let ended: LoginOutcome | { outcome: 'lost' } | undefined
  const token = { serial: undefined, libraryParameters: undefined, ...chaos.token, profile }
  await runJob(token, { type: 'objects', token: tokenAddress(token) }, {
    ask: asked => {
      found.push({ serial: asked.serial, pinState: asked.pinState, revealsPinState: asked.revealsPinState })
      expect(chaos.logins()).toEqual([])
      chaos.control(faults)
      return Promise.resolve({
        pin: given, inSpiteOf, deadline: performance.now() + 20_000,
        end: outcome => {
          ended ??= outcome
          return Promise.resolve(outcome.outcome === 'good' ? undefined : new LoginRefused('passing', outcome.outcome))
        },
      })
    },
    reopened: () => new Promise(() => undefined), settled: () => Promise.resolve(),
  }).catch(() => undefined)
  return { found, outcome: ended, logins: chaos.logins().length }
}
const outcomeOf = async (answers?: Answers): Promise<object> => {
  const { outcome, logins } = await logIn(answers)
  return { ...outcome, logins }
}
const wrong = '99999999'

it('says before its login which token it has found, and how its PIN stands', async () => {
  const serial = await poke<string>(directory, 'serial')
  expect(await logIn()).toEqual({ found: [{ serial, pinState: 'usual', revealsPinState: true }], outcome: { type: 'login', outcome: 'good' }, logins: 1 })
  for (const [flag, pinState] of [[countLow, 'count-low'], [countLow | finalTry, 'final-try'], [countLow | finalTry | locked, 'locked']] as const) {
    await rm(join(directory, 'chaos.logins'), { force: true })
    chaos.control({ flags: { set: flag } })
    expect(await logIn({ faults: { flags: { set: flag } } })).toMatchObject({ found: [{ serial, pinState }], outcome: { outcome: 'barred', pinState }, logins: 0 })
  }
})

it('tries a wrong PIN once', async () => {
  expect(await outcomeOf({ given: wrong })).toMatchObject({ outcome: 'refused', ckr: 'CKR_PIN_INCORRECT', logins: 1 })
})

it('does not log in when the flags have got worse since it asked', async () => {
  expect(await outcomeOf({ faults: { flags: { set: countLow } } })).toMatchObject({ outcome: 'barred', pinState: 'count-low', logins: 0 })
  expect(await outcomeOf({ inSpiteOf: 'count-low', faults: { flags: { set: finalTry } } })).toMatchObject({ outcome: 'barred', pinState: 'final-try', logins: 0 })
  expect(await outcomeOf({ inSpiteOf: 'final-try', faults: { flags: { set: locked } } })).toMatchObject({ outcome: 'barred', pinState: 'locked', logins: 0 })
})

it('logs in in spite of what was permitted', async () => {
  expect(await outcomeOf({ inSpiteOf: 'final-try', faults: { flags: { set: countLow | finalTry } } })).toMatchObject({ outcome: 'good', logins: 1 })
})

it('tries again what was no answer about the PIN, so often and no more', async () => {
  expect(await outcomeOf({ faults: { fail: { C_Login: { ckr: 0x05, times: 2 } } } })).toMatchObject({ outcome: 'good', logins: 3 })
  await rm(join(directory, 'chaos.logins'))
  expect(await outcomeOf({ faults: { fail: { C_Login: { ckr: 0x30 } } } })).toMatchObject({ outcome: 'failed', ckr: 'CKR_DEVICE_ERROR', logins: 6 })
})

it('on a token that does not reveal tries once what may be an answer about the PIN', async () => {
  const fail = (code: number): Faults => ({ fail: { C_Login: { ckr: code } } })
  for (const [code, ckr] of [[0x05, 'CKR_GENERAL_ERROR'], [0x80000001, '0x80000001']] as const) {
    await rm(join(directory, 'chaos.logins'), { force: true })
    expect(await outcomeOf({ profile: 'generic', faults: fail(code) })).toMatchObject({ outcome: 'unclear', ckr, logins: 1 })
  }
  await rm(join(directory, 'chaos.logins'))
  expect(await outcomeOf({ profile: 'generic', faults: fail(0x30) })).toMatchObject({ outcome: 'failed', ckr: 'CKR_DEVICE_ERROR', logins: 3 })
  await rm(join(directory, 'chaos.logins'))
  // How CloudHSM says that it is throttled.
  expect(await outcomeOf({ profile: 'cloudhsm', faults: fail(0x06) })).toMatchObject({ outcome: 'failed', ckr: 'CKR_FUNCTION_FAILED', logins: 3 })
})

it('takes a wrong PIN for what it is, by whatever code the token refuses it', async () => {
  // As if the vendor called it a general error: the real token counts it all the same.
  expect(await outcomeOf({ given: wrong, faults: { loginAnswers: 0x05 } })).toMatchObject({ outcome: 'refused', ckr: 'CKR_GENERAL_ERROR', logins: 1 })
})
