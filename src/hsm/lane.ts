// One of the client's ways to an agent: connections to workers that serve the same verbs, and a bounded queue before them. What is
// slow has a lane of its own, so that it takes no worker from what is quick. See docs/decisions/0015-a-lane-for-what-is-slow.md.
import type { Verb } from './agent/frames.ts'
import { Connection, type Call } from './connection.ts'

export const lanes = ['hot', 'slow'] as const
export type LaneName = (typeof lanes)[number]

/** Frames that a connection has under way: one that waits in the socket of a slow worker could as well go to another agent. */
export const outstandingLimits: Readonly<Record<LaneName, number>> = { hot: 32, slow: 1 }
/** `slow`: a key of the call is, see isSlow of keys/spec.ts. */
export const laneOf = (verb: Verb, slow = false): LaneName => (verb === 'create' || slow ? 'slow' : 'hot')

const queueLimit = 2_048
const reconnectMilliseconds = 50

/** A call that waits; `settled` when nobody waits for it any more. */
interface Waiting {
  readonly call: Call
  readonly pending: { readonly settled: boolean }
}

export class Lane {
  readonly #outstandingLimit: number
  #connections: Connection[] = []
  /** The agent's sockets of this lane, and which agent that is: another array is another agent. */
  #paths: readonly string[] = []
  #queue: Waiting[] = []

  constructor(name: LaneName) {
    this.#outstandingLimit = outstandingLimits[name]
  }

  get isOpen(): boolean {
    return this.#connections.some(connection => connection.isOpen)
  }

  /** Uses these sockets from now on. What is in flight on the former ones is told that it was lost. */
  use(paths: readonly string[], generation: number): void {
    const former = this.#connections
    this.#paths = paths
    this.#connections = []
    for (const path of paths) this.#connect(paths, path, generation)
    for (const connection of former) connection.close()
  }

  /** Sends the call or lets it wait; false when too many wait already. */
  send(call: Call, pending: Waiting['pending']): boolean {
    const connection = this.#leastLoaded()
    if (connection === undefined && this.#queue.length >= queueLimit) return false
    if (connection === undefined) this.#queue.push({ call, pending })
    else connection.send(call)
    return true
  }

  /** Lets go of calls that nobody waits for any more: they must not make the queue full for others. */
  sweep(): void {
    this.#queue = this.#queue.filter(({ pending }) => !pending.settled)
  }

  /** A connection that ends while its agent goes on is made again: the agent ends those whose frames it cannot read. */
  #connect(paths: readonly string[], path: string, generation: number): void {
    this.#connections.push(new Connection(path, generation, this.#outstandingLimit, () => { this.#drain() }, ended => {
      this.#connections = this.#connections.filter(one => one !== ended)
      if (paths !== this.#paths) return
      setTimeout(() => { if (paths === this.#paths) this.#connect(paths, path, generation) }, reconnectMilliseconds).unref()
    }))
  }

  #leastLoaded(): Connection | undefined {
    let best: Connection | undefined
    for (const connection of this.#connections) {
      if (connection.hasRoom && (best === undefined || connection.outstanding < best.outstanding)) best = connection
    }
    return best
  }

  #drain(): void {
    while (this.#queue.length > 0) {
      const connection = this.#leastLoaded()
      if (connection === undefined) return
      const next = this.#queue.shift()
      if (next !== undefined && !next.pending.settled) connection.send(next.call)
    }
  }
}
