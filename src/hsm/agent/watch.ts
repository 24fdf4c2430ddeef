// How the main thread sees that a worker hangs in a call: the worker marks each request's start and end in shared memory.
// A synchronous PKCS#11 call cannot be timed out from inside; only the end of the process ends it.

/**
 * Longest time in the HSM by class of verb, milliseconds, from the start in the worker. How long an RSA key takes to make is chance.
 */
export const deadlines = { hot: 2_000, unhurried: 10_000, pair: 25_000 } as const
export type DeadlineClass = keyof typeof deadlines
export type Deadlines = Readonly<Record<DeadlineClass, number>>

const classes = Object.keys(deadlines) as DeadlineClass[]
const slotsPerWorker = 2

export const watchMemory = (workers: number): SharedArrayBuffer => new SharedArrayBuffer(4 * slotsPerWorker * workers)

/** The worker's side: an odd count means that a request is being served. */
export class WatchMark {
  readonly #memory: Int32Array
  readonly #at: number

  constructor(memory: SharedArrayBuffer, worker: number) {
    this.#memory = new Int32Array(memory)
    this.#at = worker * slotsPerWorker
  }

  begin(deadlineClass: DeadlineClass): void {
    Atomics.store(this.#memory, this.#at + 1, classes.indexOf(deadlineClass))
    Atomics.add(this.#memory, this.#at, 1)
  }

  end(): void {
    Atomics.add(this.#memory, this.#at, 1)
  }
}

/** The main thread's side. look() is called every 50 ms or so. */
export class Watch {
  readonly #memory: Int32Array
  readonly #since: { count: number; time: number }[] = []
  readonly #deadlines: Deadlines

  constructor(memory: SharedArrayBuffer, limits: Deadlines = deadlines) {
    this.#memory = new Int32Array(memory)
    this.#deadlines = limits
  }

  /** The workers whose request has been running for longer than its class allows. `now` in milliseconds, monotonic. */
  look(now: number): { worker: number; deadlineClass: DeadlineClass }[] {
    const overruns: { worker: number; deadlineClass: DeadlineClass }[] = []
    for (let worker = 0; worker * slotsPerWorker < this.#memory.length; worker++) {
      const count = Atomics.load(this.#memory, worker * slotsPerWorker)
      const deadlineClass = classes[Atomics.load(this.#memory, worker * slotsPerWorker + 1)] ?? 'hot'
      const seen = this.#since[worker]
      if (seen?.count !== count) this.#since[worker] = { count, time: now }
      else if (count % 2 !== 0 && now - seen.time > this.#deadlines[deadlineClass]) overruns.push({ worker, deadlineClass })
    }
    return overruns
  }
}
