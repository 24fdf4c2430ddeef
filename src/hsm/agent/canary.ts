// Known answers. The database's canary proves at start that this token holds the database's domain; the session canary tells
// a bad ciphertext from a broken device where the vendor's code says neither.
import type { Handle } from 'pkcs11js'
import { Fault } from './fault.ts'
import { sealWith } from './gcm.ts'
import type { GcmIv } from './profile.ts'
import type { Session } from './session.ts'
import { mechanisms } from './template.ts'

export const canaryPlaintext = Buffer.from('trent/canary/1')

const aad = Buffer.from('trent/session-canary/1')
/** A device that fails now and then is not lost: only this many failures in a row are. */
const tries = 3

/** A session key with a ciphertext made under it, for passes(). */
export interface SessionCanary {
  readonly key: Handle
  readonly iv: Buffer
  readonly ciphertext: Buffer
}

/** The first encryption of an agent: a token that makes no IV of its own, as its profile says, is refused here. @throws Fatal, Fault */
export function makeSessionCanary(session: Session, gcmIv: GcmIv): SessionCanary {
  const key = session.generateKey(mechanisms.aesKeyGen(), { TOKEN: false, PRIVATE: true, SENSITIVE: true, EXTRACTABLE: false, VALUE_LEN: 32, ENCRYPT: true, DECRYPT: true })
  const { iv, sealed } = sealWith({ session, profile: { gcmIv } }, key, aad, canaryPlaintext)
  return { key, iv, ciphertext: sealed }
}

/**
 * Whether the device still decrypts what it encrypted. `mend` is called after each failure: a broken session is not a broken device,
 * and an operation that was left active in one fails every canary.
 */
export function passes(canary: SessionCanary, sessionNow: () => Session, mend: () => void): boolean {
  for (let tried = 1; tried <= tries; tried++) {
    try {
      if (sessionNow().decrypt(mechanisms.aesGcm(canary.iv, aad), canary.key, canary.ciphertext).equals(canaryPlaintext)) return true
    } catch (thrown) {
      if (!(thrown instanceof Fault)) throw thrown
    }
    mend()
  }
  return false
}

/** One canary that passed answers for all that are in doubt in the next 100 ms: a stranger's garbage must not cost a canary each. */
export function sharedFor100Milliseconds(passesNow: () => boolean, now: () => number = () => performance.now()): () => boolean {
  let until = -Infinity
  return () => {
    if (now() < until) return true
    if (!passesNow()) return false
    until = now() + 100
    return true
  }
}
