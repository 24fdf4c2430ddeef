// Domain keys on their way between tokens and the recovery key: born as extractable session objects, wrapped at once to the RSA keys of
// all that are to have them, and destroyed. What unwraps them later can never let them go again.
import { createHash, createPublicKey, type KeyObject } from 'node:crypto'
import type { Handle } from 'pkcs11js'
import pkcs11 from 'pkcs11js'
import type { Profile } from './profile.ts'
import type { Session } from './session.ts'
import { mechanisms } from './template.ts'
import { Fatal } from './token.ts'

const transportKeyBits = 3072
const publicExponent = Buffer.from([1, 0, 1])

export interface TransportKey {
  readonly publicKey: Handle
  readonly privateKey: Handle
}

/** An RSA-3072 pair that wraps with one half and unwraps with the other, on the token when it is to outlive this session. */
export const makeTransportKey = (session: Session, label?: string): TransportKey => session.generateKeyPair(
  mechanisms.rsaKeyPairGen(),
  { ...place(label), PRIVATE: false, WRAP: true, ENCRYPT: false, VERIFY: false, MODULUS_BITS: transportKeyBits, PUBLIC_EXPONENT: publicExponent },
  { ...place(label), PRIVATE: true, SENSITIVE: true, EXTRACTABLE: false, UNWRAP: true, DECRYPT: false, SIGN: false },
)

const place = (label: string | undefined) => (label === undefined ? { TOKEN: false } : { TOKEN: true, LABEL: label })

/** A new AES-256 key wrapped to each of these RSA public keys, in their order; the key itself is gone then. */
export function carryNewKey(session: Session, profile: Profile, recipients: readonly Handle[]): Buffer[] {
  const newborn = session.generateKey(mechanisms.aesKeyGen(), { TOKEN: false, PRIVATE: true, SENSITIVE: true, EXTRACTABLE: true, VALUE_LEN: 32, ENCRYPT: false, DECRYPT: false })
  try {
    return recipients.map(recipient => session.wrap(mechanisms.oaep(profile.oaepHash), recipient, newborn))
  } finally {
    session.destroy(newborn)
  }
}

/** The recovery key as a session object to wrap to. @throws Fatal 'job' unless the PEM is an RSA key of 3072 to 8192 bits */
export function recoveryRecipient(session: Session, pem: string): { handle: Handle; fingerprint: string } {
  const key = readRecoveryKey(pem)
  const { n, e } = key.export({ format: 'jwk' })
  if (n === undefined || e === undefined) throw new Fatal('job', '--recovery-key: no RSA key')
  const handle = session.create({
    CLASS: pkcs11.CKO_PUBLIC_KEY, KEY_TYPE: pkcs11.CKK_RSA, TOKEN: false, PRIVATE: false, WRAP: true,
    MODULUS: Buffer.from(n, 'base64url'), PUBLIC_EXPONENT: Buffer.from(e, 'base64url'),
  })
  return { handle, fingerprint: createHash('sha256').update(key.export({ type: 'spki', format: 'der' })).digest('hex') }
}

function readRecoveryKey(pem: string): KeyObject {
  const key = createPublicKey(pem)
  const bits = key.asymmetricKeyDetails?.modulusLength ?? 0
  if (key.asymmetricKeyType !== 'rsa' || bits < 3072 || bits > 8192) throw new Fatal('job', '--recovery-key: an RSA key of 3072 to 8192 bits is needed')
  return key
}
