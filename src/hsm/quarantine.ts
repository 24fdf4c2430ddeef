// Calls that two agents died under. Whatever is wrong with such a call, a third agent would die of it too, and with it, each time,
// what others have in flight: for a minute the same use of the same key is refused before it comes to any agent.
import { HsmUnavailable } from './hsm.ts'
import type { Verb } from './agent/frames.ts'

const quarantineMilliseconds = 60_000
/** More than callers can fill in a minute at two agents each; the oldest is let go for a newer one. */
const heldLimit = 1_000

export interface QuarantineOptions {
  /** Told at each new one: an operator has to know which use of which key ends agents. */
  readonly alarm: (verb: Verb) => void
  /** Milliseconds, monotonic. */
  readonly now?: () => number
}

/** This use of this key is refused without asking an HSM, whichever token would be next. */
export class Quarantined extends HsmUnavailable {
  constructor() {
    super('unavailable', 'two hsm-agents died under this call: it is refused for a minute')
  }
}

/** One for all clients of a process: what has ended the agents of one token must not be tried on the next. */
export class Quarantine {
  readonly #alarm: QuarantineOptions['alarm']
  readonly #now: () => number
  /** When each ends, by verb and materials; in order of their ends. */
  readonly #ends = new Map<string, number>()

  constructor({ alarm, now = () => performance.now() }: QuarantineOptions) {
    this.#alarm = alarm
    this.#now = now
  }

  /**
   * `materials` name what the call is with: row names, or the plan of a key. A call with none (random bytes) is never held: nothing
   * that a caller chose is in it, and all of its kind would be refused.
   */
  add(verb: Verb, materials: readonly Buffer[]): void {
    if (materials.length === 0) return
    const call = nameOf(verb, materials)
    if (!this.#ends.delete(call)) this.#alarm(verb)
    this.#ends.set(call, this.#now() + quarantineMilliseconds)
    if (this.#ends.size <= heldLimit) return
    for (const oldest of this.#ends.keys()) {
      this.#ends.delete(oldest)
      return
    }
  }

  holds(verb: Verb, materials: readonly Buffer[]): boolean {
    // Nearly always: nothing is looked up on the hot path.
    if (this.#ends.size === 0) return false
    const now = this.#now()
    for (const [call, end] of this.#ends) {
      if (end > now) break
      this.#ends.delete(call)
    }
    return this.#ends.has(nameOf(verb, materials))
  }
}

const nameOf = (verb: Verb, materials: readonly Buffer[]): string => `${verb}/${materials.map(name => name.toString('base64')).join('/')}`
