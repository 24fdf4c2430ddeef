// Which mechanism of a token is AES key wrap with padding (RFC 5649)? Numbers do not tell: 0x210A is RFC 5649 on one token and
// something else on another. A known key in the token and the answer of node:crypto do.
import { createCipheriv, randomBytes } from 'node:crypto'
import pkcs11 from 'pkcs11js'
import { Fault } from './fault.ts'
import type { Profile } from './profile.ts'
import type { Session } from './session.ts'
import { mechanisms } from './template.ts'
import { Fatal } from './token.ts'
import { isTransient } from './transient.ts'

/** RFC 5649, section 3: the alternative initial value. */
const alternativeIv = Buffer.from('a65959a6', 'hex')

/** AES key wrap with padding under a key of 32 bytes, made here: what a token must make as well. */
export function wrapByOpenssl(key: Buffer, value: Buffer): Buffer {
  const cipher = createCipheriv('id-aes256-wrap-pad', key, alternativeIv)
  return Buffer.concat([cipher.update(value), cipher.final()])
}

/** @throws Fatal 'token' when none of the profile's mechanisms is RFC 5649; Fault when the token only failed */
export function chooseWrapMechanism(session: Session, profile: Profile): number {
  const found = profile.wrapMechanisms.find(mechanism => isRfc5649(session, mechanism))
  if (found === undefined) throw new Fatal('token', `hsm.tokens.profile '${profile.name}': none of its wrap mechanisms (${profile.wrapMechanisms.map(one => `0x${one.toString(16)}`).join(', ')}) is AES key wrap with padding (RFC 5649) on this token`)
  return found
}

function isRfc5649(session: Session, mechanism: number): boolean {
  const wrappingValue = randomBytes(32)
  const value = randomBytes(32)
  try {
    // Both values are random and used for nothing else: that this process knows them costs nothing.
    const wrappingKey = session.create({ CLASS: pkcs11.CKO_SECRET_KEY, KEY_TYPE: pkcs11.CKK_AES, TOKEN: false, PRIVATE: true, WRAP: true, UNWRAP: true, VALUE: wrappingValue })
    const key = session.create({ CLASS: pkcs11.CKO_SECRET_KEY, KEY_TYPE: pkcs11.CKK_AES, TOKEN: false, PRIVATE: true, EXTRACTABLE: true, SENSITIVE: true, VALUE: value })
    const blob = session.wrap(mechanisms.wrap(mechanism), wrappingKey, key)
    session.destroy(key)
    session.destroy(wrappingKey)
    return wrapByOpenssl(wrappingValue, value).equals(blob)
  } catch (thrown) {
    // A device's bad moment says nothing of its mechanisms.
    if (thrown instanceof Fault && !isTransient(thrown.ckr)) return false
    throw thrown
  }
}
