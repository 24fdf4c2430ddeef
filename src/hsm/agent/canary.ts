// Known answers. The database's canary proves at start that this token holds the database's domain; the session canary tells
// a bad ciphertext from a broken device where the vendor's code says neither.
import type { Handle } from 'pkcs11js'
import { Fault } from './fault.ts'
import type { Session } from './session.ts'
import { mechanisms } from './template.ts'

export const canaryPlaintext = Buffer.from('trent/canary/1')

const aad = Buffer.from('trent/session-canary/1')

/** A session key with a ciphertext made under it, for passes(). */
export interface SessionCanary {
  readonly key: Handle
  readonly iv: Buffer
  readonly ciphertext: Buffer
}

export function makeSessionCanary(session: Session): SessionCanary {
  const key = session.generateKey(mechanisms.aesKeyGen(), { TOKEN: false, PRIVATE: true, SENSITIVE: true, EXTRACTABLE: false, VALUE_LEN: 32, ENCRYPT: true, DECRYPT: true })
  const iv = session.random(12)
  return { key, iv, ciphertext: Buffer.from(session.encrypt(mechanisms.aesGcm(iv, aad), key, canaryPlaintext)) }
}

/** Whether the device still decrypts what it encrypted. */
export function passes(session: Session, canary: SessionCanary): boolean {
  try {
    return session.decrypt(mechanisms.aesGcm(canary.iv, aad), canary.key, canary.ciphertext).equals(canaryPlaintext)
  } catch (thrown) {
    if (thrown instanceof Fault) return false
    throw thrown
  }
}
