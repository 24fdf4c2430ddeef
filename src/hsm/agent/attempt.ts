// The retry rules of a worker: one call of a verb, made again where a repeat can help. Every verb may run again.
import { KmsError } from '../../errors.ts'
import { classOf, type FaultClass } from './fault-class.ts'
import { Fault } from './fault.ts'
import type { Status } from './frames.ts'
import type { Profile } from './profile.ts'
import { Refused } from './refused.ts'
import { TooLong } from './too-long.ts'
import { wait } from './wait.ts'

/** What the rules may have done about a fault. */
export interface Remedies {
  /** A new session for this worker: unwrapped keys belong to another session and stay. @throws Fault */
  readonly renewSession: () => void
  /** Whether the device still decrypts what it encrypted. */
  readonly healthy: () => boolean
}

export type Outcome =
  | { readonly status: 'ok'; readonly payload: Buffer }
  | { readonly status: Exclude<Status, 'ok'>; readonly ckr: number; readonly text: string }
  /** The request cannot be served by what this worker holds: a key is to be opened anew, or the whole agent is lost. */
  | { readonly status: 'stale'; readonly ckr: number }
  | { readonly status: 'lost'; readonly ckr: number; readonly text: string }

/**
 * The how manieth fault of a class is the last: each class is counted for itself, since one fault often brings another's. Stale sessions
 * are counted in a row, since a call that failed may each time leave its session with an operation that is active.
 */
const limits: Readonly<Record<FaultClass, number>> = { caller: 1, ambiguous: 3, staleKey: 1, staleSession: 3, login: 1, busy: 4, device: 3, configuration: 1 }
/** Milliseconds before a busy device is asked again, doubled each time; half of it is drawn at random. */
const busyPause = 8

export function attempt(work: (again: boolean) => Buffer, profile: Profile, remedies: Remedies): Outcome {
  const counts = new Map<FaultClass, number>()
  for (let again = false; ; again = true) {
    try {
      return { status: 'ok', payload: work(again) }
    } catch (thrown) {
      // Something in the ciphertext was wrong before the HSM was asked.
      if (thrown instanceof KmsError) return { status: 'invalid', ckr: 0, text: '' }
      if (thrown instanceof TooLong) return { status: 'tooLong', ckr: 0, text: '' }
      if (thrown instanceof Refused) return { status: 'refused', ckr: 0, text: thrown.message }
      if (!(thrown instanceof Fault)) throw thrown
      const fault = classOf(profile.faults, thrown.call, thrown.ckr)
      if (fault !== 'staleSession') counts.delete('staleSession')
      const count = (counts.get(fault) ?? 0) + 1
      counts.set(fault, count)
      const outcome = judge(thrown, fault, count, remedies)
      if (outcome !== undefined) return outcome
    }
  }
}

/** The outcome of a class's `count`th fault, or undefined for one more try. */
function judge({ call, ckr, message: text }: Fault, fault: FaultClass, count: number, remedies: Remedies): Outcome | undefined {
  const last = count >= limits[fault]
  switch (fault) {
    case 'caller': return call === 'C_Decrypt' ? { status: 'invalid', ckr, text: '' } : { status: 'fault', ckr, text }
    case 'ambiguous': {
      if (!remedies.healthy()) return { status: 'lost', ckr, text }
      // A passing canary does not say that this call did not meet a device's bad moment: a good ciphertext must not be called invalid.
      return last ? { status: 'invalid', ckr, text: '' } : undefined
    }
    case 'staleKey': return { status: 'stale', ckr }
    case 'staleSession': return last || !renewed(remedies) ? { status: 'lost', ckr, text } : undefined
    case 'login': return { status: 'lost', ckr, text }
    case 'busy': {
      if (last) return { status: 'again', ckr, text }
      wait(busyPause * 2 ** (count - 1) * (0.5 + Math.random() / 2))
      return undefined
    }
    case 'device': {
      // The call that failed may have left an operation behind. A session that cannot be had leaves it to the canary on this one.
      renewed(remedies)
      if (!remedies.healthy()) return { status: 'lost', ckr, text }
      return last ? { status: 'again', ckr, text } : undefined
    }
    case 'configuration': return { status: 'fault', ckr, text }
  }
}

/** Whether there is a new session. */
export function renewed({ renewSession }: Remedies): boolean {
  try {
    renewSession()
    return true
  } catch (thrown) {
    if (thrown instanceof Fault) return false
    throw thrown
  }
}
