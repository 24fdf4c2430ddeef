// One token of `trent serve`: an agent that is kept alive, and the proof, before anybody is told of it, that the token holds the database's
// domain. A token that cannot be opened stays out and is tried again; what opens later serves from then on.
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import type { Config, TokenConfig } from '../config.ts'
import { StartError } from '../errors.ts'
import type { ProbeExtent } from '../hsm/agent/capability.ts'
import type { AgentReady, TokenUsage } from '../hsm/agent/control.ts'
import type { AgentAddress } from '../hsm/calls.ts'
import { HsmClient } from '../hsm/client.ts'
import type { PoolCanary } from '../hsm/pool.ts'
import { probeNeeds } from '../hsm/probe-needs.ts'
import type { Pool } from '../store/database.ts'
import { AgentSupervisor, hasStandby, type StartReason, type SupervisorOptions } from '../hsm/supervisor.ts'
import { readPin } from './login-attempt.ts'
import { TokenLogins } from './token-logins.ts'

export interface ServedDomain {
  /** 32 hex digits. */
  readonly id: string
  readonly fingerprint: string | null
  /** The newest. */
  readonly version: number
  readonly canary: PoolCanary
}

export interface ServedTokenOptions {
  readonly config: Config
  readonly token: TokenConfig
  readonly domain: ServedDomain
  /** For sockets, of this token alone. */
  readonly directory: string
  readonly log: SupervisorOptions['log']
  /** Whether an agent stands by, should the token's kind allow it. */
  readonly standby: boolean
  readonly started: (reason: StartReason) => void
  /** How much is tried of the token when it is opened. */
  readonly extent: ProbeExtent
  readonly used: (usage: TokenUsage) => void
  /** Whether the token is latched, see token-logins.ts. */
  readonly latched: (isLatched: boolean) => void
  readonly pool: Pool
  /** `address`, `ready` or `outside` are others than before. */
  readonly changed: () => void
}

const takenOut = 'it is taken out'
/** Longer than any call may take, see callLimit in calls.ts. */
const leaveMilliseconds = 35_000
const againFirstMilliseconds = 1_000
const againMostMilliseconds = 60_000

export class ServedToken {
  readonly #options: ServedTokenOptions
  readonly #logins: TokenLogins
  #supervisor: AgentSupervisor | undefined
  #admitted = false
  #ready: AgentReady | undefined
  #outside: string | undefined = 'it has not been opened yet'
  #opened = 0
  #opening: Promise<void> | undefined
  #retry: NodeJS.Timeout | undefined
  #stopped = false
  #draining = false
  #leave: NodeJS.Timeout | undefined

  constructor(options: ServedTokenOptions) {
    this.#options = options
    const { config, token, pool, log, latched } = options
    this.#logins = new TokenLogins({ token, pool, dataDirectory: config.dataDirectory, log, latched })
  }

  get label(): string {
    return this.#options.token.label
  }

  /** Where its agent listens; null unless the token has proven itself. */
  get address(): AgentAddress | null {
    return this.#admitted ? this.#supervisor?.address ?? null : null
  }

  /** What the token said of itself when it was admitted. */
  get ready(): AgentReady | undefined {
    return this.#ready
  }

  /** Why the token stays out; undefined once it is in. */
  get outside(): string | undefined {
    return this.#outside
  }

  /** Whether no agent logs in to it before `trent hsm unlatch`. */
  get isLatched(): boolean {
    return this.#logins.isLatched
  }

  /** Told to take no new calls. */
  get draining(): boolean {
    return this.#draining
  }

  /** Takes the token out, its agent once what is under way is answered; or opens it again. */
  drain(isOut: boolean): void {
    if (isOut === this.#draining) return
    const { log, changed } = this.#options
    this.#draining = isOut
    clearTimeout(this.#leave)
    clearTimeout(this.#retry)
    if (isOut) {
      if (!this.#admitted) this.#outside = takenOut
      log('warn', 'the token is taken out', { token: this.label })
      this.#leave = setTimeout(() => { void this.#left() }, leaveMilliseconds)
      this.#leave.unref()
    } else {
      log('info', 'the token is given back', { token: this.label })
      if (!this.#admitted) this.keepTrying()
    }
    changed()
  }

  async #left(): Promise<void> {
    this.#admitted = false
    this.#outside = takenOut
    this.#options.changed()
    await this.#supervisor?.stop()
  }

  /** Joins an opening that is under way. @throws StartError with one sentence when the token does not serve */
  open(): Promise<void> {
    this.#opening ??= this.#open().finally(() => { this.#opening = undefined })
    return this.#opening
  }

  async #open(): Promise<void> {
    const { config, token, domain, directory, log, standby, extent, used, started, changed } = this.#options
    // Read again at each login: an operator corrects the file while Trent runs.
    readPin(token)
    const sockets = join(directory, String(++this.#opened))
    const supervisor = new AgentSupervisor({
      token, logins: this.#logins, domain: { id: domain.id, version: domain.version }, directory: sockets, log, started,
      standby: standby && hasStandby(token), probe: { extent, needs: probeNeeds(config) }, used,
      changed: () => { if (this.#admitted) changed() },
    })
    this.#supervisor = supervisor
    try {
      const ready = await supervisor.start()
      await prove(config, token, domain, ready, supervisor)
      if (this.#isUnwanted) throw new StartError(takenOut)
      this.#ready = ready
      this.#outside = undefined
      this.#admitted = true
      clearTimeout(this.#retry)
      changed()
    } catch (thrown) {
      await supervisor.stop()
      rmSync(sockets, { recursive: true, force: true })
      this.#outside = thrown instanceof Error ? thrown.message : String(thrown)
      throw thrown
    }
  }

  /** Told so while it was being opened, or before it is tried again. */
  get #isUnwanted(): boolean {
    return this.#stopped || this.#draining
  }

  /** Opens it as soon as that works. A latched token is left alone until it is not: to ask it again would tell nothing new. */
  keepTrying(attempt = 0): void {
    clearTimeout(this.#retry)
    if (this.#isUnwanted || this.#admitted) return
    if (this.isLatched) {
      void this.#logins.reopened().then(() => { this.keepTrying() })
      return
    }
    this.#retry = setTimeout(() => { void this.#tryAgain(attempt) }, Math.min(againFirstMilliseconds * 2 ** Math.min(attempt, 10), againMostMilliseconds))
    this.#retry.unref()
  }

  async #tryAgain(attempt: number): Promise<void> {
    const { log } = this.#options
    try {
      await this.open()
      log('info', 'the token serves now', { token: this.label })
    } catch (thrown) {
      log('warn', 'the token stays out', { token: this.label, reason: thrown instanceof Error ? thrown.message : String(thrown) })
      this.keepTrying(attempt + 1)
    }
  }

  async stop(): Promise<void> {
    this.#stopped = true
    clearTimeout(this.#retry)
    clearTimeout(this.#leave)
    await this.#supervisor?.stop()
    await this.#logins.close()
  }
}

/** @throws StartError with one sentence */
async function prove({ hsm }: Config, { label }: TokenConfig, domain: ServedDomain, ready: AgentReady, supervisor: AgentSupervisor): Promise<void> {
  if (ready.fingerprint !== domain.fingerprint) throw new StartError(`the domain on token '${label}' has the fingerprint ${ready.fingerprint}, the database's has ${domain.fingerprint}: the database belongs to another token`)
  if (hsm.domainFingerprint !== undefined && hsm.domainFingerprint !== ready.fingerprint) throw new StartError(`hsm.domainFingerprint is ${hsm.domainFingerprint}, but the domain on token '${label}' has ${ready.fingerprint}`)
  const client = new HsmClient({ observe: () => undefined })
  try {
    client.setAgent(supervisor.address)
    const { material, context, ciphertext } = domain.canary
    if (!(await client.canary(material, context, ciphertext))) throw new StartError(`token '${label}' does not open this database's canary: the database belongs to another token`)
  } finally {
    client.close()
  }
}
