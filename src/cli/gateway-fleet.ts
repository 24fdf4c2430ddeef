// The gateway processes of `trent serve`: forked by node:cluster, told where the tokens' agents listen, asked for their metrics, replaced
// when they die.
import cluster, { type Worker } from 'node:cluster'
import type { TokenStanding } from '../hsm/pool.ts'
import type { CacheState } from '../cache/cache.ts'
import type { Log } from '../telemetry/log.ts'
import { collect, type MetricSnapshot } from '../telemetry/snapshot.ts'
import { closeWhatWasHandedOver } from './handed-over.ts'
import type { FromGateway, ToGateway } from './primary-messages.ts'

const drainLimitMilliseconds = 15_000
const restartMilliseconds = 500

interface Member {
  readonly worker: Worker
  serving: boolean
  state: CacheState
}

export class GatewayFleet {
  readonly #members = new Map<number, Member>()
  readonly #reports = new Map<string, (snapshot: MetricSnapshot) => void>()
  readonly #log: Log
  /** A process is gone: its counters are kept by whoever sums them up. */
  readonly #gone: (id: string) => void
  #tokens: readonly TokenStanding[] = []
  #draining = false
  #lastReport = 0

  constructor(log: Log, gone: (id: string) => void) {
    this.#log = log
    this.#gone = gone
  }

  /** Forks them. Resolves to the port when all serve. @throws Error with the reason of the first that cannot */
  async start(processes: number): Promise<number> {
    const ports = await Promise.all(Array.from({ length: processes }, () => new Promise<number>((resolve, reject) => { this.#fork(resolve, reject) })))
    return ports[0] ?? 0
  }

  setTokens(tokens: readonly TokenStanding[]): void {
    this.#tokens = tokens
    for (const { worker } of this.#members.values()) send(worker, { type: 'tokens', tokens })
  }

  /** How many serve, and the worst state of their caches. */
  get health(): { readonly serving: number; readonly cache: CacheState } {
    const members = [...this.#members.values()].filter(member => member.serving)
    const cache = members.some(({ state }) => state === 'stale') ? 'stale' : members.some(({ state }) => state === 'bypassed') ? 'bypassed' : 'live'
    return { serving: members.length, cache }
  }

  /** What each process has measured; who does not answer in 250 ms is left out. */
  snapshots(): Promise<Map<string, MetricSnapshot>> {
    return collect(new Map([...this.#members.values()].map(({ worker }) => [`gateway-${worker.id}`, () => this.#ask(worker)])))
  }

  /** Lets every process answer what is under way, and end. */
  async drain(): Promise<void> {
    this.#draining = true
    await Promise.all([...this.#members.values()].map(({ worker }) => new Promise<void>(resolve => {
      const limit = setTimeout(() => worker.process.kill('SIGKILL'), drainLimitMilliseconds)
      worker.once('exit', () => {
        clearTimeout(limit)
        resolve()
      })
      send(worker, { type: 'drain' })
    })))
  }

  #fork(started?: (port: number) => void, failed?: (error: Error) => void): void {
    const worker = cluster.fork()
    closeWhatWasHandedOver(worker)
    const member: Member = { worker, serving: false, state: 'bypassed' }
    this.#members.set(worker.id, member)
    let reason: Error | undefined
    worker.on('message', (message: FromGateway) => {
      if (message.type === 'hello') send(worker, { type: 'tokens', tokens: this.#tokens })
      else if (message.type === 'serving') {
        member.serving = true
        started?.(message.port)
      } else if (message.type === 'failed') reason = new Error(message.message)
      else {
        member.state = message.state
        this.#reports.get(`${worker.id}/${message.number}`)?.(message.snapshot)
      }
    })
    worker.on('error', () => undefined)
    worker.on('exit', (code, signal) => {
      this.#members.delete(worker.id)
      this.#gone(`gateway-${worker.id}`)
      // One end, one successor: the process's own word of its failure only says why.
      if (!member.serving) failed?.(reason ?? new Error(`a gateway process ended before it served (${signal || `exit ${code}`})`))
      else if (!this.#draining) {
        this.#log.error({ code, signal }, 'a gateway process died: another is started')
        setTimeout(() => { if (!this.#draining) this.#fork(undefined, error => { this.#again(error) }) }, restartMilliseconds)
      }
    })
  }

  #again(error: Error): void {
    this.#log.error({ err: error }, 'a gateway process could not be replaced: it is tried again')
    setTimeout(() => { if (!this.#draining) this.#fork(undefined, failure => { this.#again(failure) }) }, restartMilliseconds).unref()
  }

  #ask(worker: Worker): Promise<MetricSnapshot> {
    const number = ++this.#lastReport
    const name = `${worker.id}/${number}`
    return new Promise(resolve => {
      const forget = setTimeout(() => this.#reports.delete(name), 5_000)
      this.#reports.set(name, snapshot => {
        clearTimeout(forget)
        this.#reports.delete(name)
        resolve(snapshot)
      })
      send(worker, { type: 'report', number })
    })
  }
}

function send(worker: Worker, message: ToGateway): void {
  // A worker that is going away may refuse: its exit is handled where it is heard of.
  if (worker.isConnected()) worker.send(message, () => undefined)
}
