// Keeps one hsm-agent alive for a token: spawns it, hands it the PIN, replaces it when it ends, hangs or falls silent. Runs in
// the primary; gateways are told where the agent listens.
import { mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import type { TokenConfig } from '../config.ts'
import { StartError } from '../errors.ts'
import { spawnAgent, tokenAddress, type AgentProcess } from './agent-process.ts'
import type { AgentReady, FatalCode, FromAgent } from './agent/control.ts'
import { deadlines, type Deadlines } from './agent/watch.ts'
import type { AgentAddress } from './client.ts'

export type StartReason = 'first' | 'exit' | 'overrun' | 'silent' | 'sick'

export interface SupervisorOptions {
  readonly token: TokenConfig
  readonly pin: string
  readonly domain: { readonly id: string; readonly version: number }
  /** A directory of mode 0700 with a short path: a unix socket's path has at most 107 bytes. */
  readonly directory: string
  /** Where the agent listens now; null while none serves. */
  readonly changed: (address: AgentAddress | null) => void
  readonly started: (reason: StartReason) => void
  readonly log: (level: 'info' | 'warn' | 'error', message: string, details?: object) => void
  readonly limits?: Partial<SupervisorLimits>
  readonly spawn?: typeof spawnAgent
}

/** All in milliseconds. */
export interface SupervisorLimits {
  /** From the spawn to the first message. */
  readonly start: number
  /** Between two messages of an agent that serves: longer than its main thread may be in one call. */
  readonly silence: number
  /** Of calls in a worker, by class. */
  readonly deadlines: Deadlines
  /** Doubled by each start in a row that failed. */
  readonly backOffFirst: number
  readonly backOffMost: number
}

/** Each leaves a call that was in flight the time to be served by the replacement, see callLimit in client.ts. */
export const usualLimits: SupervisorLimits = { start: 30_000, silence: 6_000, deadlines, backOffFirst: 50, backOffMost: 5_000 }
/** What a new attempt may make worse: another try of the PIN may lock the token. A domain that is not seen may be of an HSM that syncs. */
const final: ReadonlySet<FatalCode> = new Set<FatalCode>(['pin'])

export class AgentSupervisor {
  readonly #options: SupervisorOptions
  readonly #limits: SupervisorLimits
  #generation = 0
  #agent: AgentProcess | null = null
  #address: AgentAddress | null = null
  #failedStarts = 0
  #stopping = false
  #timer: NodeJS.Timeout | undefined

  constructor(options: SupervisorOptions) {
    this.#options = options
    this.#limits = { ...usualLimits, ...options.limits }
    mkdirSync(options.directory, { recursive: true, mode: 0o700 })
  }

  get address(): AgentAddress | null {
    return this.#address
  }

  /** The first start. @throws StartError with one sentence when the agent cannot serve this token and domain. */
  start(): Promise<AgentReady> {
    return new Promise((resolve, reject) => { this.#spawn('first', { resolve, reject }) })
  }

  /** Ends the agent. In-flight calls are cut off: gateways are drained before. */
  async stop(): Promise<void> {
    this.#stopping = true
    clearTimeout(this.#timer)
    const agent = this.#agent
    if (agent === null) return
    const gone = new Promise(resolve => agent.child.once('exit', resolve).once('error', resolve))
    // The lifeline: at end of file the agent kills itself; SIGKILL besides, should even that thread be stuck.
    agent.child.stdin?.end()
    const kill = setTimeout(() => agent.child.kill('SIGKILL'), 1_000)
    await gone
    clearTimeout(kill)
  }

  #spawn(reason: StartReason, first?: { resolve(ready: AgentReady): void; reject(error: Error): void }): void {
    const { token, pin, domain, directory } = this.#options
    const generation = ++this.#generation
    // One worker more than the token's setting says is for what is slow.
    const sockets = Array.from({ length: token.workers + 1 }, (_, i) => join(directory, `${generation}-${i}`))
    for (const socket of sockets) rmSync(socket, { force: true })
    let served = false
    let fatal: FatalCode | undefined
    let cause: StartReason = 'exit'
    let silence: NodeJS.Timeout | undefined

    const end = (why: StartReason): void => {
      cause = why
      agent?.child.kill('SIGKILL')
    }
    const listen = (milliseconds: number): void => {
      clearTimeout(silence)
      silence = setTimeout(() => { end('silent') }, milliseconds)
    }
    const hear = (message: FromAgent): void => {
      if (message.type === 'fatal') {
        fatal = message.code
        this.#options.log('error', message.message, { token: token.label })
        first?.reject(new StartError(message.message))
        return
      }
      // What an agent said last may be read after its end.
      if (this.#agent !== agent) return
      listen(this.#limits.silence)
      if (message.type === 'ready') {
        served = true
        this.#failedStarts = 0
        this.#publish({ token: token.label, generation, sockets: { hot: sockets.slice(0, -1), slow: sockets.slice(-1) } })
        first?.resolve(message)
      } else if (message.type === 'overrun') {
        this.#options.log('warn', 'a call in the token has passed its deadline: the hsm-agent is replaced', { token: token.label, deadlineClass: message.deadlineClass })
        end('overrun')
      } else if (message.type === 'sick') {
        this.#options.log('warn', 'the token is lost for the hsm-agent, which is replaced', { token: token.label, reason: message.reason })
        end('sick')
      }
    }
    const ended = (how: string): void => {
      clearTimeout(silence)
      for (const socket of sockets) rmSync(socket, { force: true })
      if (this.#address?.generation === generation) this.#publish(null)
      if (this.#agent === agent) this.#agent = null
      first?.reject(new StartError(`the hsm-agent for token '${token.label}' ended before it served (${how})`))
      if (this.#stopping || (first !== undefined && !served)) return
      // Looked at when the time has come: why it ended may be read after its end.
      this.#restart(served, cause, () => fatal !== undefined && final.has(fatal))
    }
    /** For want of processes, memory or file descriptors, or of the program: there will be no exit. */
    const neverBegan = (error: unknown): void => {
      const how = error instanceof Error ? error.message : String(error)
      this.#options.log('error', 'the hsm-agent cannot be started', { token: token.label, error: how })
      ended(how)
    }
    this.#options.started(reason)
    let agent: AgentProcess | undefined
    try {
      agent = (this.#options.spawn ?? spawnAgent)(token, hear)
    } catch (thrown) {
      neverBegan(thrown)
      return
    }
    const { child } = agent
    this.#agent = agent
    listen(this.#limits.start)
    child.on('error', error => { if (child.pid === undefined) neverBegan(error) })
    child.on('exit', (code, signal) => { ended(signal ?? `exit ${code}`) })
    agent.send({ type: 'start', token: tokenAddress(token), pin, domain, sockets, deadlines: this.#limits.deadlines })
  }

  /** `givenUp` is asked when the time of the next start has come. */
  #restart(served: boolean, reason: StartReason, givenUp: () => boolean): void {
    if (!served) this.#failedStarts++
    // Only starts that fail are spaced out: an agent that has served is replaced at once.
    const delay = served ? 0 : Math.min(this.#limits.backOffFirst * 2 ** this.#failedStarts, this.#limits.backOffMost)
    this.#timer = setTimeout(() => { if (!givenUp()) this.#spawn(reason) }, delay)
  }

  #publish(address: AgentAddress | null): void {
    this.#address = address
    this.#options.changed(address)
  }
}
