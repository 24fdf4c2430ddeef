// One hsm-agent process from its spawn to its end: sees to its login, watches over it, and says when it serves, when it had better not
// any more, and when it is gone. What is done about that is the supervisor's.
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import type { TokenConfig } from '../config.ts'
import { killChild, spawnAgent, tokenAddress, type AgentProcess } from './agent-process.ts'
import type { AgentReady, AgentUse, FatalCode, FromAgent, KeyLimits, StartMessage, TokenUsage } from './agent/control.ts'
import type { Deadlines } from './agent/watch.ts'
import type { AgentAddress } from './calls.ts'
import { laneSizes } from './lane.ts'
import type { Logins } from './login.ts'

/** Why an agent is to be replaced: the first three cannot serve on, the others can until their successor does. */
export type Unfit = 'overrun' | 'silent' | 'sick' | 'recycle' | 'asked'

const canServeOn = (why: Unfit): boolean => why === 'recycle' || why === 'asked'

export interface RunOptions {
  readonly token: TokenConfig
  readonly logins: Logins
  readonly domain: { readonly id: string; readonly version: number }
  readonly probe: StartMessage['probe']
  readonly directory: string
  readonly generation: number
  readonly limits: RunLimits
  /** What the token tells of its memory and sessions. */
  readonly used?: (usage: TokenUsage) => void
  readonly log: (level: 'info' | 'warn' | 'error', message: string, details?: object) => void
  readonly spawn?: typeof spawnAgent
}

export interface RunLimits {
  /** Milliseconds from the spawn to the first message. */
  readonly start: number
  /** Milliseconds between two messages of an agent that serves: longer than its main thread may be in one call. */
  readonly silence: number
  /** Of calls in a worker, by class. */
  readonly deadlines: Deadlines
  readonly keys: KeyLimits
  /** What an agent may grow by since it was ready, and how often it may unwrap, before it is replaced. */
  readonly recycle: { readonly growthBytes: number; readonly unwraps: number }
}

export interface RunEvents {
  /** It cannot serve this token, for the reason it gives in one sentence. */
  fatal(run: AgentRun, sentence: string): void
  ready(run: AgentRun, ready: AgentReady): void
  unfit(run: AgentRun, why: Unfit): void
  /** Once, after which nothing is said any more but `fatal`: what an agent said last may be read after its end. */
  ended(run: AgentRun, how: string): void
}

/** What an agent that was told to drain gets to log out in, when nobody is connected to it any more. */
const logOutMilliseconds = 1_000

export class AgentRun {
  readonly generation: number
  /** What kept it from serving, where it has said so. */
  fatal: FatalCode | undefined
  /** Where it listens, once it does. */
  address: Omit<AgentAddress, 'makes'> | undefined
  /** Resolves at its end. */
  readonly gone: Promise<void>
  readonly #options: RunOptions
  readonly #events: RunEvents
  readonly #sockets: Readonly<Record<'hot' | 'slow', readonly string[]>>
  #agent: AgentProcess | undefined
  #silence: NodeJS.Timeout | undefined
  #kill: NodeJS.Timeout | undefined
  #hasEnded = false
  #unfit: Unfit | undefined
  #firstUse: AgentUse | undefined
  #setGone: () => void = () => undefined

  constructor(options: RunOptions, events: RunEvents) {
    const { token, directory, generation } = options
    this.#options = options
    this.#events = events
    this.generation = generation
    this.gone = new Promise(resolve => { this.#setGone = resolve })
    const sizes = laneSizes(token.workers)
    const paths = (lane: 'hot' | 'slow', first: number): string[] => Array.from({ length: sizes[lane] }, (_, i) => join(directory, `${generation}-${first + i}`))
    this.#sockets = { hot: paths('hot', 0), slow: paths('slow', sizes.hot) }
  }

  /** Spawns the process. Not in the constructor: it may end before this returns. */
  begin(): void {
    const { token, logins, domain, probe, limits, spawn = spawnAgent } = this.#options
    this.#removeSockets()
    try {
      this.#agent = spawn(token, message => { this.#hear(message) }, logins)
    } catch (thrown) {
      this.#neverBegan(thrown)
      return
    }
    const { child } = this.#agent
    this.#listen(limits.start)
    child.on('error', error => { if (child.pid === undefined) this.#neverBegan(error) })
    child.on('exit', (code, signal) => { this.#end(signal ?? `exit ${code}`) })
    this.#agent.send({ type: 'start', token: tokenAddress(token), domain, sockets: this.#sockets, deadlines: limits.deadlines, keys: limits.keys, probe })
  }

  kill(): void {
    if (this.#agent !== undefined) killChild(this.#agent.child)
  }

  /** Lets it serve who is connected for so long, log out and end by itself; SIGKILL after that. */
  leave(milliseconds: number): void {
    if (this.#hasEnded) return
    if (this.address === undefined) {
      this.kill()
      return
    }
    // Told again it may be for a shorter time: Trent ends.
    if (this.#kill === undefined) this.#agent?.send({ type: 'drain', milliseconds })
    clearTimeout(this.#kill)
    this.#kill = setTimeout(() => { this.kill() }, milliseconds + logOutMilliseconds)
  }

  #hear(message: FromAgent): void {
    const { log, token, limits } = this.#options
    if (message.type === 'fatal') {
      this.fatal = message.code
      this.#events.fatal(this, message.message)
      log('error', message.message, { token: token.label })
      return
    }
    if (this.#hasEnded) return
    this.#listen(limits.silence)
    if ('usage' in message && message.usage !== undefined) this.#options.used?.(message.usage)
    if (message.type === 'ready') {
      const { hot, slow } = message.workers
      this.address = { token: token.label, generation: this.generation, sockets: { hot: this.#sockets.hot.slice(0, hot), slow: this.#sockets.slow.slice(0, slow) } }
      if (hot < token.workers) log('warn', 'the token has fewer sessions than hsm.tokens.workers asks for', { token: token.label, workers: token.workers, served: hot })
      this.#events.ready(this, message)
    } else if (message.type === 'alive') this.#weigh(message)
    else if (message.type === 'overrun') this.#setUnfit('overrun', 'a call in the token has passed its deadline: the hsm-agent is replaced', { deadlineClass: message.deadlineClass })
    else if (message.type === 'sick') this.#setUnfit('sick', 'the token is lost for the hsm-agent, which is replaced', { reason: message.reason })
    else if (message.type === 'asked') this.#setUnfit('asked', 'the hsm-agent was sent SIGTERM: it is replaced', {})
  }

  /** SoftHSM frees no session object before its process ends (260 bytes each), and other libraries have leaks of their own. */
  #weigh({ rssBytes, unwraps }: AgentUse): void {
    this.#firstUse ??= { rssBytes, unwraps }
    const { growthBytes, unwraps: most } = this.#options.limits.recycle
    const growth = rssBytes - this.#firstUse.rssBytes
    if (growth > growthBytes || unwraps > most) this.#setUnfit('recycle', 'the hsm-agent has grown or has unwrapped as much as it may: it is replaced', { growthBytes: growth, unwraps })
  }

  /** Said once; said again when one that could serve on no longer can. */
  #setUnfit(why: Unfit, sentence: string, details: object): void {
    if (this.#kill !== undefined) {
      // It has a successor, and does not end in peace.
      if (!canServeOn(why)) this.kill()
      return
    }
    if (this.#unfit !== undefined && (canServeOn(why) || !canServeOn(this.#unfit))) return
    this.#unfit = why
    this.#options.log(canServeOn(why) ? 'info' : 'warn', sentence, { token: this.#options.token.label, ...details })
    this.#events.unfit(this, why)
  }

  #listen(milliseconds: number): void {
    clearTimeout(this.#silence)
    this.#silence = setTimeout(() => {
      if (this.address !== undefined) this.#setUnfit('silent', 'the hsm-agent is silent: it is replaced', {})
      this.kill()
    }, milliseconds)
  }

  /** For want of processes, memory or file descriptors, or of the program: there will be no exit. */
  #neverBegan(error: unknown): void {
    const how = error instanceof Error ? error.message : String(error)
    this.#options.log('error', 'the hsm-agent cannot be started', { token: this.#options.token.label, error: how })
    this.#end(how)
  }

  #end(how: string): void {
    if (this.#hasEnded) return
    this.#hasEnded = true
    clearTimeout(this.#silence)
    clearTimeout(this.#kill)
    this.#removeSockets()
    this.#setGone()
    this.#events.ended(this, how)
  }

  #removeSockets(): void {
    for (const socket of [...this.#sockets.hot, ...this.#sockets.slow]) rmSync(socket, { force: true })
  }
}
