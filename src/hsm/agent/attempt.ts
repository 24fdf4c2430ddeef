// The retry rules of a worker: one call of a verb, made again where a repeat can help. Every verb may run again.
import { KmsError } from '../../errors.ts'
import { classOf, type FaultClass } from './fault-class.ts'
import { Fault } from './fault.ts'
import type { Status } from './frames.ts'
import { Refused } from './make-material.ts'
import type { Profile } from './profile.ts'
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

/** How often a call is made in all, by class of its fault. */
const tries: Readonly<Partial<Record<FaultClass, number>>> = { staleSession: 2, busy: 4, device: 3 }
/** Milliseconds before a busy device is asked again, doubled each time; half of it is drawn at random. */
const busyPause = 8

export function attempt(work: (again: boolean) => Buffer, profile: Profile, remedies: Remedies): Outcome {
  for (let tried = 1; ; tried++) {
    try {
      return { status: 'ok', payload: work(tried > 1) }
    } catch (thrown) {
      const outcome = judge(thrown, tried, profile, remedies)
      if (outcome !== undefined) return outcome
    }
  }
}

/** The outcome, or undefined for one more try. */
function judge(thrown: unknown, tried: number, profile: Profile, remedies: Remedies): Outcome | undefined {
  // Something in the ciphertext was wrong before the HSM was asked.
  if (thrown instanceof KmsError) return { status: 'invalid', ckr: 0, text: '' }
  if (thrown instanceof Refused) return { status: 'refused', ckr: 0, text: thrown.message }
  if (!(thrown instanceof Fault)) throw thrown
  const { ckr, message: text } = thrown
  const fault = classOf(profile.faults, thrown.call, ckr)
  const last = tried >= (tries[fault] ?? 1)
  switch (fault) {
    case 'caller': return thrown.call === 'C_Decrypt' ? { status: 'invalid', ckr, text: '' } : { status: 'fault', ckr, text }
    case 'ambiguous': return remedies.healthy() ? { status: 'invalid', ckr, text: '' } : { status: 'lost', ckr, text }
    case 'staleKey': return { status: 'stale', ckr }
    case 'staleSession': return last || !renewed(remedies) ? { status: 'lost', ckr, text } : undefined
    case 'login': return { status: 'lost', ckr, text }
    case 'busy': {
      if (last) return { status: 'again', ckr, text }
      wait(busyPause * 2 ** (tried - 1) * (0.5 + Math.random() / 2))
      return undefined
    }
    case 'device': {
      if (!remedies.healthy()) return { status: 'lost', ckr, text }
      return last ? { status: 'again', ckr, text } : undefined
    }
    case 'configuration': return { status: 'fault', ckr, text }
  }
}

function renewed({ renewSession }: Remedies): boolean {
  try {
    renewSession()
    return true
  } catch (thrown) {
    if (thrown instanceof Fault) return false
    throw thrown
  }
}
