// What an operator is told when a token is not logged in to: the setting, what was found, what to do.
import { pinFlagNames, type PinState } from '../hsm/agent/pin-state.ts'
import { LoginRefused } from '../hsm/login.ts'

/** Why a token is latched, as it is kept. Names and codes only. */
export const refusedReason = (ckr: string): string => `the token refused the PIN (${ckr})`
export const unresolvedReason = 'a login was cut off, and may have been with a wrong PIN'

export const pinRefused = (label: string, ckr: string): LoginRefused =>
  new LoginRefused('latched', `hsm.tokens.pinFile: the token '${label}' refuses the PIN (${ckr}); no host tries it again before \`trent hsm unlatch\`, since HSMs lock`)

export const unclearReason = (ckr: string): string => `the token answered a login with ${ckr}, which may mean a wrong PIN`
export const loginUnclear = (label: string, ckr: string): LoginRefused =>
  new LoginRefused('latched', `hsm.tokens.pinFile: the token '${label}' answers the login with ${ckr}, which may mean a wrong PIN: no host tries it again before \`trent hsm unlatch\`, since HSMs lock`)

export interface LatchedWhy {
  readonly version: number
  readonly host: string
  readonly processes: readonly number[]
  readonly since: Date
  readonly reason: string | null
}

export const describeLatch = ({ version, host, processes, since, reason }: LatchedWhy): string =>
  `PIN version ${version}, latched since ${since.toISOString()} by process ${processes[0] ?? 'unknown'} on host ${host}: ${reason ?? unresolvedReason}`

export const pinLatched = (label: string, serial: string, latch: LatchedWhy): LoginRefused =>
  new LoginRefused('latched', `hsm.tokens.pinFile: no login to token '${label}' (serial ${serial}; ${describeLatch(latch)}): see that the PIN is right, then run \`trent hsm unlatch\``)

const remedies: Readonly<Record<Exclude<PinState, 'usual'>, string>> = {
  'count-low': 'says that a wrong PIN was given since its last login: see that ours is right, then run `trent hsm unlatch`, which permits one login',
  'final-try': 'says that the next wrong PIN locks it: have its security officer set the PIN anew, or see `trent hsm unlatch --final-try`',
  locked: 'says that its PIN is locked: its security officer must set another',
}

export const pinStateRefused = (label: string, pinState: Exclude<PinState, 'usual'>): LoginRefused =>
  new LoginRefused('passing', `hsm.tokens.pinFile: no login to token '${label}', which ${remedies[pinState]} (${pinFlagNames[pinState]})`)
