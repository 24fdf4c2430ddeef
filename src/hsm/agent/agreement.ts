// ECDH in the HSM. The other's public key is checked here too, though the gateway has done it: a gateway taken over must not have the
// token multiply points that are on no curve of its keys, which would tell the private key bit by bit.
import pkcs11 from 'pkcs11js'
import { curves } from '../../keys/curve.ts'
import { pointOf } from '../../keys/public-key.ts'
import { keySpecs } from '../../keys/spec.ts'
import { FrameError } from './frames.ts'
import type { OpenKey } from './keys-in-use.ts'
import type { Session } from './session.ts'
import { mechanisms } from './template.ts'

/** The x coordinate, as long as the curve's. `spki`: the other's public key. @throws FrameError for one that is not of the key's curve; Fault from the HSM */
export function deriveSecret(session: Session, { handle, spec }: OpenKey, spki: Buffer): Buffer {
  const { built } = keySpecs[spec]
  const point = built?.kind === 'ec' ? pointOf(built.curve, spki) : undefined
  if (built?.kind !== 'ec' || point === undefined) throw new FrameError('public key')
  // The secret is the caller's: the one object here that may be read.
  const derived = session.derive(mechanisms.ecdh(Buffer.from(point)), handle, {
    CLASS: pkcs11.CKO_SECRET_KEY, KEY_TYPE: pkcs11.CKK_GENERIC_SECRET, TOKEN: false, SENSITIVE: false, EXTRACTABLE: true,
  })
  try {
    const value = session.get(derived, 'VALUE')
    const secret = Buffer.alloc(curves[built.curve].bytes)
    value.copy(secret, secret.length - value.length)
    value.fill(0)
    return secret
  } finally {
    session.destroy(derived)
  }
}
