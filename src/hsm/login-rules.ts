// Whether a login may be made: what is on record of a token's PIN against what the token says of it. Pure; both halves of the latch, the
// row in Postgres and the mark on disk, are judged here. docs/decisions/0016-the-pin-latch.md holds the argument.
import { isWorse, type PinState } from './agent/pin-state.ts'

/** What an operator may permit. A locked PIN opens for nobody. */
export type Permit = Exclude<PinState, 'locked'>

/** What is on record of one version of a token's PIN, wherever. */
export interface PinRecord {
  readonly version: number
  readonly state: 'attempting' | 'good' | 'latched' | 'permitted'
  readonly permit: Permit
  /** An attempt: whether its agent is known to be gone, so that its end will not be heard of any more. */
  readonly isOver: boolean
  /** Attempts in a row, before this one, whose end nobody saw. */
  readonly unresolved: number
  readonly wasGood: boolean
}

export interface LoginQuestion {
  readonly version: number
  readonly pinState: PinState
  readonly revealsPinState: boolean
  readonly records: readonly PinRecord[]
}

export type Verdict =
  | { readonly may: 'log-in'; readonly inSpiteOf: Permit; readonly unresolved: number }
  /** Another attempt is under way. */
  | { readonly may: 'wait' }
  /** unresolved: an attempt whose end nobody saw may have been with a wrong PIN: to be latched. */
  | { readonly may: 'not'; readonly why: 'latched' | 'unresolved' | Exclude<PinState, 'usual'> }

/** Of a PIN that was good before, on a token that does not say whether a wrong one was given. */
const mostUnresolved = 1

export function judgeLogin({ version, pinState, revealsPinState, records }: LoginQuestion): Verdict {
  if (records.some(record => record.state === 'latched' && record.version >= version)) return { may: 'not', why: 'latched' }
  if (records.some(({ state, isOver }) => state === 'attempting' && !isOver)) return { may: 'wait' }

  const own = records.filter(record => record.version === version)
  const leftOver = own.filter(({ state }) => state === 'attempting')
  const permit = permitOf(version, records, own)
  if (pinState !== 'usual' && isWorse(pinState, permit)) {
    // Perhaps the wrong PIN of the token's count was ours: once somebody else's login has reset the count, it must not be given again.
    return leftOver.length > 0 ? { may: 'not', why: 'unresolved' } : { may: 'not', why: pinState }
  }
  if (leftOver.length === 0) return { may: 'log-in', inSpiteOf: permit, unresolved: 0 }
  const unresolved = Math.max(...leftOver.map(record => record.unresolved)) + 1
  // No wrong PIN has been given since the last login, so the lost attempt was with the right one or never came to the token.
  if (revealsPinState) return { may: 'log-in', inSpiteOf: permit, unresolved }
  if (own.some(({ wasGood }) => wasGood) && unresolved <= mostUnresolved) return { may: 'log-in', inSpiteOf: permit, unresolved }
  return { may: 'not', why: 'unresolved' }
}

/** The worst state of the token's PIN in which a login is all the same permitted. */
function permitOf(version: number, records: readonly PinRecord[], own: readonly PinRecord[]): Permit {
  const given = own.find(({ state }) => state === 'permitted')
  if (given !== undefined) return given.permit
  // The first try of a changed PIN: the token's count comes from our own try of the former one.
  const isExplained = own.length === 0 && records.some(record => record.version < version && (record.state === 'latched' || record.state === 'attempting'))
  return isExplained ? 'count-low' : 'usual'
}
