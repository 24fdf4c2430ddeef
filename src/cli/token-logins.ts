// Who may log in to a token: Postgres is asked for the hosts, a mark on disk for when Postgres cannot be asked. Every agent's login,
// serving or not, goes through here. The protocol and its limits: docs/decisions/0016-the-pin-latch.md.
import { setTimeout as pause } from 'node:timers/promises'
import type { TokenConfig } from '../config.ts'
import type { TokenFound } from '../hsm/agent/control.ts'
import { LoginRefused, type Login, type Logins } from '../hsm/login.ts'
import { judgeLogin, type PinRecord, type Verdict } from '../hsm/login-rules.ts'
import type { PinMark, PinMarks } from '../hsm/pin-marks.ts'
import { areGone } from '../hsm/place.ts'
import { DatabaseError, isConnectionLoss, type Pool } from '../store/database.ts'
import { claimLogin, confirmLogin, latchPin, listPinLatches, loseLogin, withdrawLogin, type Claim, type LoginAttempt, type PinLatch } from '../store/pin-latches.ts'
import { deadMilliseconds, isCleared, markOf, newAttempt, pinMarks, readPin, recordsOf } from './login-attempt.ts'
import { loginUnclear, pinLatched, pinRefused, pinStateRefused, refusedReason, unclearReason, unresolvedReason } from './login-sentences.ts'
import { Notes } from './notes.ts'

export interface TokenLoginsOptions {
  readonly token: TokenConfig
  readonly pool: Pool
  readonly dataDirectory: string
  /** Told at each look whether the token is latched for this version of its PIN. */
  readonly latched?: (isLatched: boolean) => void
  readonly log?: (level: 'info' | 'warn' | 'error', message: string, details?: object) => void
}

/** Milliseconds. */
const limits = {
  /** From the claim to the word of how the login went: then the agent is killed. */
  attempt: 10_000,
  /** For an answer of Postgres, which need not be there once this process has had one. */
  answer: 1_500,
  /** Between two looks at the latch. */
  look: 2_000,
  /** For the logins of others, less than a start of an agent may take. */
  turn: 20_000,
}

/** A login that may be made, and what was known before it. */
interface Granted extends Omit<Claim, 'verdict'>, Pick<Login, 'inSpiteOf' | 'deadline'> {
  readonly unresolved: number
  readonly formerMark: PinMark | undefined
  /** Lets the next one in. */
  readonly free: () => void
}

export class TokenLogins implements Logins {
  readonly #options: TokenLoginsOptions
  readonly #marks: PinMarks
  readonly #timer: NodeJS.Timeout
  readonly #waiting: (() => void)[] = []
  readonly #notes = new Notes(err => { this.#log('warn', 'how a login to the token went could not be written to Postgres: it is tried again', { err }) })
  #turn: Promise<void> = Promise.resolve()
  #serial: string | undefined
  /** Whether Postgres has answered once: only then may the disk alone decide. */
  #hasAsked = false
  #wasGood = false
  #isLatched = false

  constructor(options: TokenLoginsOptions) {
    this.#options = options
    this.#marks = pinMarks(options.dataDirectory)
    this.#timer = setInterval(() => { this.#look().catch((err: unknown) => { if (!isConnectionLoss(err)) this.#log('warn', 'the PIN latch could not be looked at', { err }) }) }, limits.look)
    this.#timer.unref()
  }

  async ask(found: TokenFound, agent: number): Promise<Login> {
    const before = this.#turn
    let free = (): void => undefined
    this.#turn = new Promise(resolve => { free = resolve })
    await before
    try {
      return await this.#claim(found, agent, free)
    } catch (thrown) {
      free()
      throw thrown
    }
  }

  get isLatched(): boolean {
    return this.#isLatched
  }

  reopened(): Promise<void> {
    return new Promise(resolve => { this.#waiting.push(resolve) })
  }

  settled(): Promise<void> {
    return this.#notes.flush()
  }

  async close(): Promise<void> {
    clearInterval(this.#timer)
    await this.#notes.flush()
  }

  async #claim(found: TokenFound, agent: number, free: () => void): Promise<Login> {
    const { token } = this.#options
    this.#serial = found.serial
    const attempt = newAttempt(token, found.serial, agent)
    const turn = performance.now() + limits.turn
    for (;;) {
      const deadline = performance.now() + limits.attempt
      const formerMark = this.#marks.read(found.serial)
      const { verdict, ...claim } = await this.#judge(found, attempt, formerMark)
      if (verdict.may === 'log-in') return this.#login(attempt, { ...verdict, ...claim, formerMark, deadline, free })
      if (verdict.may === 'not') throw await this.#refuse(attempt, verdict, formerMark)
      if (performance.now() > turn) throw new LoginRefused('passing', `other logins to token '${token.label}' have been under way for ${limits.turn / 1_000} s`)
      await pause(100)
    }
  }

  /** Asks Postgres, and the disk alone where Postgres has been there once and is not now. @throws DatabaseError */
  async #judge(found: TokenFound, attempt: LoginAttempt, mark: PinMark | undefined): Promise<Claim> {
    const { pinVersion: version } = this.#options.token
    const judge = (latches: readonly PinLatch[], known: readonly PinRecord[] = []): Verdict => judgeLogin({
      version, pinState: found.pinState, revealsPinState: found.revealsPinState,
      records: [...latches.map(latch => ({ ...latch, isOver: latch.isOver || areGone(latch.place, latch.processes) })), ...recordsOf(mark, latches), ...known],
    })
    try {
      const claim = claimLogin(this.#options.pool, attempt, deadMilliseconds, judge)
      const answer = await (this.#hasAsked ? within(limits.answer, claim) : claim)
      this.#hasAsked = true
      return answer
    } catch (error) {
      if (!this.#hasAsked || !isConnectionLoss(error)) throw error
      this.#log('warn', 'Postgres does not answer: whether the token may be logged in to is decided by this host\'s disk', { token: attempt.label })
      return { verdict: judge([], this.#wasGood ? [{ version, state: 'good', permit: 'usual', isOver: true, unresolved: 0, wasGood: true }] : []), former: undefined, since: undefined }
    }
  }

  async #refuse(attempt: LoginAttempt, verdict: Extract<Verdict, { may: 'not' }>, mark: PinMark | undefined): Promise<LoginRefused> {
    const { label, serial } = attempt
    if (verdict.why === 'unresolved') return await this.#latchUnresolved(attempt)
    if (verdict.why !== 'latched') return pinStateRefused(label, verdict.why)
    this.#tell(true)
    const [latch] = (await listPinLatches(this.#options.pool, serial, limits.answer).catch(() => [])).filter(({ state }) => state === 'latched')
    const why = latch ?? (mark?.state === 'latched' ? { ...mark, since: new Date(mark.since) } : undefined)
    return why === undefined ? new LoginRefused('passing', `the PIN latch of token '${label}' has just been cleared`) : pinLatched(label, serial, why)
  }

  /** @throws StartError, LoginRefused when the PIN cannot be read, or the attempt not be marked on disk */
  #login(attempt: LoginAttempt, granted: Granted): Login {
    const { unresolved, since, former } = granted
    const mark: PinMark = { ...markOf(attempt, { state: 'attempting', unresolved }), recordedAt: since?.toISOString() ?? null }
    let pin: string
    try {
      pin = readPin(this.#options.token)
      this.#marks.write(attempt.serial, mark)
    } catch (thrown) {
      void this.#notes.add(() => withdrawLogin(this.#options.pool, attempt, former))
      throw thrown
    }
    let ended: Promise<LoginRefused | undefined> | undefined
    return { pin, inSpiteOf: granted.inSpiteOf, deadline: granted.deadline, end: outcome => ended ??= this.#end(attempt, granted, mark, outcome).finally(granted.free) }
  }

  async #end(attempt: LoginAttempt, granted: Granted, mark: PinMark, outcome: Parameters<Login['end']>[0]): Promise<LoginRefused | undefined> {
    const { label, serial } = attempt
    switch (outcome.outcome) {
      case 'good':
        this.#wasGood = true
        this.#marks.remove(serial)
        void this.#notes.add(() => confirmLogin(this.#options.pool, attempt))
        return undefined
      case 'lost':
        // Of no process any more: whoever comes next need not wait for it.
        this.#marks.write(serial, { ...mark, processes: [] })
        void this.#notes.add(() => loseLogin(this.#options.pool, attempt))
        return undefined
      case 'refused':
        await this.#latch(attempt, refusedReason(outcome.ckr))
        return pinRefused(label, outcome.ckr)
      case 'unclear':
      case 'failed':
        // A broken device may say so of a PIN that it has taken before.
        if (outcome.outcome === 'unclear' && !this.#wasGood && granted.former?.wasGood !== true) {
          await this.#latch(attempt, unclearReason(outcome.ckr))
          return loginUnclear(label, outcome.ckr)
        }
        this.#withdraw(attempt, granted)
        return new LoginRefused('passing', `the token '${label}' refuses the login (${outcome.ckr})`)
      case 'barred':
        // The attempt before this one was lost, and the token has counted a wrong PIN since.
        if (granted.unresolved > 0 && outcome.pinState !== 'usual') return await this.#latchUnresolved(attempt)
        this.#withdraw(attempt, granted)
        return outcome.pinState === 'usual' ? undefined : pinStateRefused(label, outcome.pinState)
    }
  }

  /** Nothing was learnt of the PIN: what was known before is known again. */
  #withdraw(attempt: LoginAttempt, { formerMark, former }: Granted): void {
    if (formerMark?.state === 'attempting') this.#marks.write(attempt.serial, formerMark)
    else this.#marks.remove(attempt.serial)
    void this.#notes.add(() => withdrawLogin(this.#options.pool, attempt, former))
  }

  async #latchUnresolved(attempt: LoginAttempt): Promise<LoginRefused> {
    await this.#latch(attempt, unresolvedReason)
    return pinLatched(attempt.label, attempt.serial, { ...attempt, since: new Date(), reason: unresolvedReason })
  }

  /** On disk first: the disk is always there. */
  async #latch(attempt: LoginAttempt, reason: string): Promise<void> {
    const mark = markOf(attempt, { state: 'latched', reason })
    this.#wasGood = false
    this.#tell(true)
    try {
      this.#marks.write(attempt.serial, mark)
    } finally {
      await this.#notes.add(() => this.#recordLatch(attempt, mark))
    }
  }

  async #recordLatch(attempt: LoginAttempt, mark: PinMark): Promise<void> {
    const since = await latchPin(this.#options.pool, attempt, mark.reason ?? unresolvedReason)
    this.#marks.write(attempt.serial, { ...mark, recordedAt: since.toISOString() })
  }

  /** Makes both halves of the latch the same, and lets go who waits for its end. */
  async #look(): Promise<void> {
    const serial = this.#serial
    if (serial === undefined) return
    await this.#notes.flush()
    const latches = await listPinLatches(this.#options.pool, serial, limits.answer)
    const { pinVersion } = this.#options.token
    const latch = latches.find(({ state, version }) => state === 'latched' && version >= pinVersion)
    // Read last: nothing happens between this and what follows from it.
    const mark = this.#marks.read(serial)
    const isLatchedHere = mark?.state === 'latched' && !isCleared(mark, latches)
    if (mark?.state === 'latched' && !isLatchedHere) this.#marks.remove(serial)
    // A latch that Postgres was not there to take, or has lost by a restore.
    if (isLatchedHere && latch === undefined) void this.#notes.add(() => this.#recordLatch({ ...mark, serial, label: this.#options.token.label }, mark))
    if (latch !== undefined && mark === undefined) this.#marks.write(serial, { ...markOf(latch, { state: 'latched', reason: latch.reason }), recordedAt: latch.since.toISOString() })
    this.#tell(latch !== undefined || (isLatchedHere && mark.version >= pinVersion))
    if (!this.#isLatched) for (const resolve of this.#waiting.splice(0)) resolve()
  }

  #tell(isLatched: boolean): void {
    const { token, latched } = this.#options
    if (isLatched && !this.#isLatched) this.#log('error', 'ALARM: the token is latched: no hsm-agent of any host logs in to it before `trent hsm unlatch`', { token: token.label })
    if (!isLatched && this.#isLatched) this.#log('info', 'the token is unlatched', { token: token.label })
    this.#isLatched = isLatched
    latched?.(isLatched)
  }

  #log(level: 'info' | 'warn' | 'error', message: string, details: object): void {
    this.#options.log?.(level, message, details)
  }
}

/** @throws DatabaseError, a connection loss, when `work` takes longer than so many milliseconds; what it does then is its own business */
async function within<T>(milliseconds: number, work: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => { reject(new DatabaseError('pin-latches.claim', new Error(`no answer in ${milliseconds} ms`))) }, milliseconds)
  })
  try {
    return await Promise.race([work, late])
  } finally {
    clearTimeout(timer)
  }
}
