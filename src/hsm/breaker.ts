// Whether a token is worth a call. Open: calls go to other tokens; only canaries go here, until one passes.

/** Milliseconds over which calls are counted, and how many there must be before their share says anything. */
const windowMilliseconds = 10_000
const fewest = 5
const buckets = 10
const bucketMilliseconds = windowMilliseconds / buckets

interface Bucket {
  /** Which tenth of all time it counts; an older one is empty. */
  tenth: number
  calls: number
  failures: number
}

export type BreakerState = 'closed' | 'open' | 'half-open'

export class Breaker {
  readonly #now: () => number
  readonly #changed: (state: BreakerState) => void
  #buckets: Bucket[] = []
  #state: BreakerState = 'closed'

  /** `now`: milliseconds, never going back. */
  constructor(changed: (state: BreakerState) => void, now: () => number = () => performance.now()) {
    this.#changed = changed
    this.#now = now
  }

  get state(): BreakerState {
    return this.#state
  }

  /** A call that ended: failed when the token, not the caller, was at fault. Opens over half failures in ten seconds. */
  count(failed: boolean): void {
    const tenth = Math.floor(this.#now() / bucketMilliseconds)
    this.#buckets = this.#buckets.filter(bucket => bucket.tenth > tenth - buckets)
    let bucket = this.#buckets.at(-1)
    if (bucket?.tenth !== tenth) this.#buckets.push(bucket = { tenth, calls: 0, failures: 0 })
    bucket.calls++
    if (!failed) return
    bucket.failures++
    const calls = this.#buckets.reduce((sum, one) => sum + one.calls, 0)
    const failures = this.#buckets.reduce((sum, one) => sum + one.failures, 0)
    if (this.#state === 'closed' && calls >= fewest && failures * 2 > calls) this.#become('open')
  }

  /** A canary begins: an open breaker is half-open until it has ended. */
  probing(): void {
    if (this.#state === 'open') this.#become('half-open')
  }

  /** A canary has ended. What was counted before a token was given up says nothing of it any more. */
  probed(passed: boolean): void {
    if (passed && this.#state !== 'closed') {
      this.#buckets = []
      this.#become('closed')
    } else if (!passed && this.#state !== 'open') this.#become('open')
  }

  #become(state: BreakerState): void {
    this.#state = state
    this.#changed(state)
  }
}
