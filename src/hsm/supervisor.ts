// Keeps hsm-agents alive for a token: one that serves and, where that is wanted, one that stands by, logged in and without keys, so
// that a successor is a matter of telling the gateways. At most one starts at a time: SoftHSM rewrites its token's file at login. Runs
// in the primary. See docs/decisions/0018-an-agent-stands-by.md.
import { mkdirSync } from 'node:fs'
import type { TokenConfig } from '../config.ts'
import { StartError } from '../errors.ts'
import type { MakeableKeys } from '../keys/makeable.ts'
import { AgentRun, type RunLimits, type RunOptions, type Unfit } from './agent-run.ts'
import type { AgentReady, FatalCode, StartMessage } from './agent/control.ts'
import { profiles } from './agent/profile.ts'
import { deadlines } from './agent/watch.ts'
import type { AgentAddress } from './calls.ts'

/** Why an agent was started: the first; the first that stands by, or one for another that died standing by; or what befell the one that served. */
export type StartReason = 'first' | 'standby' | 'exit' | Unfit

export interface SupervisorOptions extends Pick<RunOptions, 'token' | 'logins' | 'domain' | 'used' | 'log' | 'spawn'> {
  /** A directory of mode 0700 with a short path: a unix socket's path has at most 107 bytes. */
  readonly directory: string
  /** Whether a second agent is kept that is ready to serve, see hasStandby. */
  readonly standby?: boolean
  /** Where the agent that serves listens now; null while none does. One that stands by is told of to nobody. */
  readonly changed: (address: AgentAddress | null) => void
  readonly started: (reason: StartReason) => void
  readonly limits?: Partial<SupervisorLimits>
  /** What is tried until an agent has served once, and what each agent's token must be able to as far as that was tried. Otherwise: that keys stay secret. */
  readonly probe?: StartMessage['probe']
}

export interface SupervisorLimits extends RunLimits {
  /** Milliseconds before the start that follows one that failed before its agent was ready; doubled by each in a row. */
  readonly backOffFirst: number
  readonly backOffMost: number
  /** Milliseconds for clients to leave an agent that has a successor, see leave() in agent-run.ts. */
  readonly drain: { readonly inPeace: number; readonly inHaste: number; readonly atEnd: number }
}

/** Each leaves a call that was in flight the time to be served by the replacement, see callLimit in calls.ts. */
export const usualLimits: Omit<SupervisorLimits, 'recycle'> = {
  start: 30_000, silence: 6_000, deadlines, keys: { held: 1_000, lifetime: 900_000 }, backOffFirst: 50, backOffMost: 5_000,
  // In peace: longer than the longest call. In haste: what is under way beside the call that hangs, or to be told that the token is lost.
  drain: { inPeace: 12_000, inHaste: 250, atEnd: 1_000 },
}

/** A token that is latched is left alone until it is not. A domain that is not seen may be of an HSM that syncs. */
const final: ReadonlySet<FatalCode> = new Set<FatalCode>(['pin'])

/** As hsm.tokens.standby says, or as the token's profile does: some HSMs count logins and sessions. */
export const hasStandby = (token: TokenConfig): boolean => token.standby ?? profiles.get(token.profile)?.standby ?? false

/** An unknown profile is the agent's to refuse, with the names of those that there are. */
const recycleLimits = (token: TokenConfig): RunLimits['recycle'] => profiles.get(token.profile)?.recycle ?? { growthBytes: Infinity, unwraps: Infinity }

export class AgentSupervisor {
  readonly #options: SupervisorOptions
  readonly #limits: SupervisorLimits
  #generation = 0
  readonly #runs = new Set<AgentRun>()
  #serving: AgentRun | undefined
  #standby: AgentRun | undefined
  #starting: AgentRun | undefined
  /** The one that serves is to be replaced as soon as there is another. */
  #succession: Unfit | undefined
  #address: AgentAddress | null = null
  /** Measured by the first agent that served; a token does not change under its replacements. */
  #makes: MakeableKeys | null = null
  #failedStarts = 0
  #stopping = false
  #givenUp = false
  #timer: NodeJS.Timeout | undefined
  #first: { resolve(ready: AgentReady): void; reject(error: Error): void } | undefined

  constructor(options: SupervisorOptions) {
    this.#options = options
    this.#limits = { ...usualLimits, recycle: recycleLimits(options.token), ...options.limits }
    mkdirSync(options.directory, { recursive: true, mode: 0o700 })
  }

  get address(): AgentAddress | null {
    return this.#address
  }

  /** Whether a second agent is ready to serve. */
  get standsBy(): boolean {
    return this.#standby !== undefined
  }

  /** The first start. @throws StartError with one sentence when the agent cannot serve this token and domain. */
  start(): Promise<AgentReady> {
    return new Promise((resolve, reject) => {
      this.#first = { resolve, reject }
      this.#start('first')
    })
  }

  /** Ends all agents: who is still connected is cut off after a second. Gateways are drained before. */
  async stop(): Promise<void> {
    this.#stopping = true
    clearTimeout(this.#timer)
    for (const run of this.#runs) run.leave(this.#limits.drain.atEnd)
    await Promise.all([...this.#runs].map(run => run.gone))
  }

  #start(reason: StartReason): void {
    const { token, logins, domain, directory, log, used, spawn } = this.#options
    const run = new AgentRun({
      token, logins, domain, directory, log, limits: this.#limits, generation: ++this.#generation, probe: this.#probe,
      ...(used === undefined ? {} : { used }), ...(spawn === undefined ? {} : { spawn }),
    }, {
      fatal: (_run, sentence) => { this.#failFirst(sentence) },
      ready: (ready, message) => { this.#ready(ready, message) },
      unfit: (unfit, why) => { this.#unfit(unfit, why) },
      ended: (ended, how) => { this.#ended(ended, how, reason) },
    })
    this.#runs.add(run)
    this.#starting = run
    this.#options.started(reason)
    run.begin()
  }

  #ready(run: AgentRun, message: AgentReady): void {
    this.#starting = undefined
    this.#failedStarts = 0
    this.#makes = message.makes ?? this.#makes
    if (this.#serving === undefined) this.#serve(run)
    else if (this.#succession !== undefined) this.#succeed(run, this.#limits.drain.inPeace)
    else this.#standby = run
    this.#first?.resolve(message)
    this.#first = undefined
    this.#fill('standby')
  }

  #unfit(run: AgentRun, why: Unfit): void {
    if (run === this.#serving) this.#replace(run, why)
    else {
      if (run === this.#standby) this.#standby = undefined
      run.leave(this.#limits.drain.inHaste)
      this.#fill('standby')
    }
  }

  /** One that can serve on does so until its successor is there; of one that cannot, what else is under way in it may end. */
  #replace(run: AgentRun, why: Unfit): void {
    const next = this.#standby
    const servesOn = why === 'recycle' || why === 'asked'
    if (next !== undefined) {
      this.#standby = undefined
      this.#succeed(next, servesOn ? this.#limits.drain.inPeace : this.#limits.drain.inHaste)
    } else if (servesOn) this.#succession = why
    else {
      this.#publish(undefined)
      if (why === 'sick') run.leave(this.#limits.drain.inHaste)
      else run.kill()
      // Where logins are counted, the next one must not come before the last has ended.
      if (this.#options.standby !== true) {
        void run.gone.then(() => { this.#fill(why) })
        return
      }
    }
    this.#fill(why)
  }

  #succeed(next: AgentRun, drain: number): void {
    const former = this.#serving
    this.#serve(next)
    former?.leave(drain)
  }

  #ended(run: AgentRun, how: string, reason: StartReason): void {
    this.#runs.delete(run)
    if (run === this.#starting) {
      this.#starting = undefined
      this.#failedStarts++
      if (this.#failFirst(`the hsm-agent for token '${this.#options.token.label}' ended before it served (${how})`)) return
      this.#fill(reason, run)
    } else if (run === this.#standby) {
      this.#standby = undefined
      this.#fill('standby')
    } else if (run === this.#serving) {
      const next = this.#stopping ? undefined : this.#standby
      this.#standby = undefined
      if (next === undefined) this.#publish(undefined)
      else this.#serve(next)
      this.#fill('exit')
    }
  }

  /** Whether it was the first start that failed: it is not tried again. */
  #failFirst(sentence: string): boolean {
    const first = this.#first
    this.#first = undefined
    if (first === undefined) return false
    this.#stopping = true
    first.reject(new StartError(sentence))
    return true
  }

  /** Starts what is missing, if anything is, and nothing is starting. `failed` is the start before it, where that one failed. */
  #fill(reason: StartReason, failed?: AgentRun): void {
    if (this.#serving === undefined && failed === undefined) {
      // Nobody serves: whatever was tried before is tried again at once.
      clearTimeout(this.#timer)
      this.#timer = undefined
    }
    if (this.#starting !== undefined || this.#timer !== undefined || this.#stopping || this.#givenUp || !this.#isMissing) return
    // Only starts that fail before their agent is ready are spaced out: an agent that has served is replaced at once.
    const delay = failed === undefined ? 0 : Math.min(this.#limits.backOffFirst * 2 ** this.#failedStarts, this.#limits.backOffMost)
    this.#timer = setTimeout(() => {
      this.#timer = undefined
      // Looked at when the time has come: why it ended may be read after its end.
      this.#givenUp = failed?.fatal !== undefined && final.has(failed.fatal)
      if (this.#givenUp) void this.#options.logins.reopened().then(() => { this.#reopen(reason) })
      else if (this.#isMissing) this.#start(reason)
    }, delay)
  }

  /** A replacement must serve at once: it tries again only that keys stay secret. */
  get #probe(): StartMessage['probe'] {
    const { extent = 'safety', needs = [] } = this.#options.probe ?? {}
    return { extent: this.#makes === null ? extent : 'safety', needs }
  }

  #reopen(reason: StartReason): void {
    this.#givenUp = false
    this.#fill(reason)
  }

  get #isMissing(): boolean {
    return this.#serving === undefined || this.#succession !== undefined || (this.#options.standby === true && this.#standby === undefined)
  }

  #serve(run: AgentRun): void {
    this.#serving = run
    this.#succession = undefined
    this.#publish(run)
  }

  #publish(run: AgentRun | undefined): void {
    this.#serving = run
    this.#address = run?.address === undefined ? null : { ...run.address, makes: this.#makes }
    this.#options.changed(this.#address)
  }
}
