// The only C_Login of an agent. The agent says which token it has found, and how that token's PIN stands; the PIN comes when the primary
// permits a login, and only then.
import pkcs11 from 'pkcs11js'
import { ckr, ckrName } from './ckr.ts'
import type { FromAgent, LoginOutcome, PinMessage } from './control.ts'
import { ckrOf } from './fault.ts'
import { isWorse, pinStateOf, type PinState } from './pin-state.ts'
import type { Profile } from './profile.ts'
import type { Session } from './session.ts'
import type { OpenToken } from './token.ts'
import { wait } from './wait.ts'

/** The way to the primary. */
export interface LoginDesk {
  readonly tell: (message: FromAgent) => void
  /** The PIN, once it comes. */
  readonly pin: Promise<PinMessage>
}

/** Resolves when the session is logged in. Whatever else comes of it is told to the primary, which then ends this process. */
export async function logIn(token: OpenToken, session: Session, desk: LoginDesk): Promise<void> {
  desk.tell({ type: 'found', serial: token.serial, pinState: pinStateNow(token), revealsPinState: token.profile.revealsPinState })
  const outcome = tryPin(token, session, await desk.pin)
  desk.tell({ type: 'login', ...outcome })
  // It stays until it is killed: an agent that ended by itself could be replaced before the primary has noted why.
  if (outcome.outcome !== 'good') await new Promise<never>(() => undefined)
}

const pinStateNow = ({ p11, slot }: OpenToken): PinState => pinStateOf(p11.C_GetTokenInfo(slot.handle).flags)

const pinFaults = new Set([pkcs11.CKR_PIN_INCORRECT, pkcs11.CKR_PIN_INVALID, pkcs11.CKR_PIN_LEN_RANGE, pkcs11.CKR_PIN_EXPIRED, pkcs11.CKR_PIN_LOCKED])

/** How a token may refuse a PIN without saying so, besides values that the standard does not name. */
const unclear: ReadonlySet<number> = new Set([ckr.GENERAL_ERROR, ckr.FUNCTION_FAILED, ckr.ARGUMENTS_BAD, ckr.FUNCTION_REJECTED])

/** A busy device is none, by whatever code its profile says that it is. */
const isUnclear = ({ faults }: Profile, value: number): boolean => faults.get(value) !== 'busy' && (unclear.has(value) || ckrName(value).startsWith('0x'))

/** Tries again only what was no answer about the PIN, and looks at the flags before each try: others may have used the PIN meanwhile. */
function tryPin(token: OpenToken, session: Session, { pin, inSpiteOf }: PinMessage): LoginOutcome {
  let last: string | undefined
  for (let attempt = 0; attempt <= token.profile.bootRetries; attempt++) {
    if (last !== undefined) wait(20 * attempt)
    try {
      const pinState = pinStateNow(token)
      // A token that calls a wrong PIN by another name: its own count tells.
      if (isWorse(pinState, inSpiteOf)) return last === undefined ? { outcome: 'barred', pinState } : { outcome: 'refused', ckr: last }
      token.p11.C_Login(session.handle, pkcs11.CKU_USER, pin)
      return { outcome: 'good' }
    } catch (thrown) {
      const value = ckrOf(thrown)
      if (value === pkcs11.CKR_USER_ALREADY_LOGGED_IN) return { outcome: 'good' }
      last = ckrName(value)
      if (pinFaults.has(value)) return { outcome: 'refused', ckr: last }
      if (!token.profile.revealsPinState && isUnclear(token.profile, value)) return { outcome: 'unclear', ckr: last }
    }
  }
  return { outcome: 'failed', ckr: last ?? ckrName(pkcs11.CKR_FUNCTION_FAILED) }
}
