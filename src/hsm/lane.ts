// One of the client's ways to an agent: connections to workers that serve the same verbs, and a bounded queue before them. What is
// slow has a lane of its own, so that it takes no worker from what is quick. See docs/decisions/0015-a-lane-for-what-is-slow.md.
import { isSlow } from '../keys/spec.ts'
import type { Verb } from './agent/frames.ts'
import { Connection, type Call } from './connection.ts'

export const lanes = ['hot', 'slow'] as const
export type LaneName = (typeof lanes)[number]

/** Frames that a connection has under way: one that waits in the socket of a slow worker could as well go to another agent. */
export const outstandingLimits: Readonly<Record<LaneName, number>> = { hot: 32, slow: 1 }

const slowVerbs: ReadonlySet<Verb> = new Set<Verb>(['create', 'import'])

/** The one place where it is decided which calls are slow: by the verb, and by the specs of the keys that it uses. */
export const laneOf = (verb: Verb, specs: readonly string[]): LaneName => (slowVerbs.has(verb) || specs.some(isSlow) ? 'slow' : 'hot')

/** How many sockets an agent has in each lane: what is slow holds at most a quarter of its workers, and at least one. */
export const laneSizes = (workers: number): Readonly<Record<LaneName, number>> => ({ hot: workers, slow: Math.max(1, Math.floor(workers / 3)) })

const queueLimit = 2_048
/** Milliseconds in the queue before workers that serve: longer than they are held up by one call that hangs, see deadlines in watch.ts. */
export const queueLimits: Readonly<Record<LaneName, number>> = { hot: 5_000, slow: 20_000 }
const reconnectMilliseconds = 50

/** What the client knows of a call that waits. */
interface Waiter {
  /** Nobody waits for it any more. */
  readonly settled: boolean
  /** There is no worker here, and another token can take it. */
  left(): void
  /** It has waited too long for workers that are there, and is not sent. */
  overdue(): void
}

interface Waiting {
  readonly call: Call
  readonly waiter: Waiter
  readonly since: number
}

export class Lane {
  readonly #name: LaneName
  #connections: Connection[] = []
  /** To agents that drain: nothing new goes to them. */
  readonly #retired = new Set<Connection>()
  /** The agent's sockets of this lane, and which agent that is: another array is another agent. */
  #paths: readonly string[] = []
  #queue: Waiting[] = []
  /** Calls that go alone, before all others. */
  #aloneQueue: Waiting[] = []
  /** When no worker was there at last. */
  #lastClosed = 0

  constructor(name: LaneName) {
    this.#name = name
  }

  get isOpen(): boolean {
    return this.#connections.some(connection => connection.isOpen)
  }

  /** Sends to these sockets from now on. What is under way on the former ones is answered there, as long as their agent lives. */
  use(paths: readonly string[], generation: number): void {
    const former = this.#connections
    this.#paths = paths
    this.#connections = []
    for (const path of paths) this.#connect(paths, path, generation)
    for (const connection of former) {
      this.#retired.add(connection)
      connection.retire()
    }
  }

  /** What waits goes to another token. */
  leave(): void {
    for (const { waiter } of [...this.#queue.splice(0), ...this.#aloneQueue.splice(0)]) if (!waiter.settled) waiter.left()
  }

  /** Cuts off what is under way. */
  close(): void {
    this.use([], 0)
    for (const connection of this.#retired) connection.close()
  }

  /** Sends the call or lets it wait; false when too many wait already. `now` in milliseconds, monotonic. */
  send(call: Call, waiter: Waiter, now: number): boolean {
    const connection = this.#leastLoaded(call)
    if (connection !== undefined) {
      connection.send(call)
      return true
    }
    if (this.#queue.length + this.#aloneQueue.length >= queueLimit) return false
    const queue = call.alone ? this.#aloneQueue : this.#queue
    queue.push({ call, waiter, since: now })
    return true
  }

  /** Lets go of calls that nobody waits for any more, since they must not make the queue full for others, and of those that have waited too long. */
  sweep(now: number): void {
    if (!this.isOpen) this.#lastClosed = now
    const latest = now - queueLimits[this.#name]
    for (const { waiter, since } of [...this.#queue, ...this.#aloneQueue]) {
      // With no worker there it is not the queue that takes long.
      if (!waiter.settled && Math.max(since, this.#lastClosed) <= latest) waiter.overdue()
    }
    this.#queue = this.#queue.filter(({ waiter }) => !waiter.settled)
    this.#aloneQueue = this.#aloneQueue.filter(({ waiter }) => !waiter.settled)
  }

  /** A connection that ends while its agent goes on is made again: the agent ends those whose frames it cannot read. */
  #connect(paths: readonly string[], path: string, generation: number): void {
    this.#connections.push(new Connection(path, generation, outstandingLimits[this.#name], () => { this.#drain() }, ended => {
      this.#retired.delete(ended)
      this.#connections = this.#connections.filter(one => one !== ended)
      if (paths !== this.#paths) return
      setTimeout(() => { if (paths === this.#paths) this.#connect(paths, path, generation) }, reconnectMilliseconds).unref()
    }))
  }

  #leastLoaded(call: Call): Connection | undefined {
    let best: Connection | undefined
    // While calls wait to go alone, half of the connections take no others, so that one of them becomes idle.
    const first = call.alone || this.#aloneQueue.length === 0 ? 0 : Math.ceil(this.#connections.length / 2)
    for (let i = first; i < this.#connections.length; i++) {
      const connection = this.#connections[i]
      if (connection?.hasRoomFor(call) === true && (best === undefined || connection.outstanding < best.outstanding)) best = connection
    }
    return best
  }

  #drain(): void {
    this.#sendFrom(this.#aloneQueue)
    this.#sendFrom(this.#queue)
  }

  #sendFrom(queue: Waiting[]): void {
    for (let [next] = queue; next !== undefined; [next] = queue) {
      const connection = next.waiter.settled ? undefined : this.#leastLoaded(next.call)
      if (connection === undefined && !next.waiter.settled) return
      queue.shift()
      connection?.send(next.call)
    }
  }
}
