// The primary's side of a login: an agent that has found its token gets the PIN when its login is permitted, and how the login went is
// noted before anything else hears of it.
import type { ChildProcess } from 'node:child_process'
import type { FromAgent, LoginOutcome, PinMessage, TokenFound } from './agent/control.ts'
import type { Permit } from './login-rules.ts'

/** No login, in one sentence. latched: before `trent hsm unlatch` (or another PIN version) there is none. passing: it may be asked again. */
export class LoginRefused extends Error {
  override readonly name = 'LoginRefused'
  readonly kind: 'latched' | 'passing'

  constructor(kind: 'latched' | 'passing', message: string) {
    super(message)
    this.kind = kind
  }
}

/** A login that is permitted. */
export interface Login {
  readonly pin: string
  readonly inSpiteOf: Permit
  /** By performance.now(): its agent must be gone, or have said how it went, by then. */
  readonly deadline: number
  /**
   * Notes how it went, 'lost' when nobody knows; the first call counts. Resolves to what the operator is to be told, if it did not go
   * well, once the note is as safe as it can be made.
   */
  end(outcome: LoginOutcome | { readonly outcome: 'lost' }): Promise<LoginRefused | undefined>
}

/** Who decides about the logins to one token. */
export interface Logins {
  /** May wait for another login to end. @throws LoginRefused */
  ask(found: TokenFound, agent: number): Promise<Login>
  /** Resolves when the latch that stood in the way of a login is gone. */
  reopened(): Promise<void>
  /** Resolves when all logins that have ended are noted. */
  settled(): Promise<void>
}

interface Attended {
  readonly child: ChildProcess
  readonly send: (message: PinMessage) => void
}

/** What hears an agent: its login is seen to here, everything else goes to `hear`. An agent that is not to log in is ended. */
export function attendLogin({ child, send }: Attended, logins: Logins | undefined, hear: (message: FromAgent) => void): (message: FromAgent) => void {
  let login: Login | undefined
  let limit: NodeJS.Timeout | undefined
  let isGone = false

  const take = (): Login | undefined => {
    const taken = login
    login = undefined
    clearTimeout(limit)
    return taken
  }
  const lose = (): void => {
    child.kill('SIGKILL')
    void take()?.end({ outcome: 'lost' })
  }
  const refuse = (thrown: unknown): void => {
    const message = thrown instanceof Error ? thrown.message : String(thrown)
    hear({ type: 'fatal', code: thrown instanceof LoginRefused && thrown.kind === 'latched' ? 'pin' : 'token', message })
    child.kill('SIGKILL')
  }
  const permit = async (found: TokenFound): Promise<void> => {
    if (logins === undefined) throw new LoginRefused('passing', 'the hsm-agent has asked for a PIN that its job has no need of')
    const granted = await logins.ask(found, child.pid ?? 0)
    // Its PIN has gone nowhere.
    if (isGone) return void await granted.end({ outcome: 'barred', pinState: 'usual' })
    login = granted
    limit = setTimeout(lose, granted.deadline - performance.now())
    send({ type: 'pin', pin: granted.pin, inSpiteOf: granted.inSpiteOf })
  }
  // Not at its exit: what an agent said last may be read after it.
  child.once('close', () => {
    isGone = true
    void take()?.end({ outcome: 'lost' })
  })
  return message => {
    if (message.type === 'found') permit(message).catch(refuse)
    else if (message.type === 'login') take()?.end(message).then(refusal => { if (refusal !== undefined) refuse(refusal) }, refuse)
    else hear(message)
  }
}
