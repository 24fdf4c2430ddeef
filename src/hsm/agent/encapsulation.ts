// ML-KEM in the HSM: a secret shared with the holder of a public key, and the holder's side of it (FIPS 203).
import type { Handle } from 'pkcs11js'
import pkcs11 from 'pkcs11js'
import { mlKemSets, sharedSecretBytes, type MlKemSet } from '../../keys/post-quantum.ts'
import { keySpecs } from '../../keys/spec.ts'
import { ckr } from './ckr.ts'
import { Fault } from './fault.ts'
import { FrameError } from './frames.ts'
import type { OpenKey } from './keys-in-use.ts'
import { withPublicKey } from './public-object.ts'
import { Refused } from './refused.ts'
import type { Session } from './session.ts'
import type { Attributes } from './template.ts'

/** It leaves the HSM: that is what it is for. */
export const secretAttributes: Attributes = {
  CLASS: pkcs11.CKO_SECRET_KEY, KEY_TYPE: pkcs11.CKK_GENERIC_SECRET, TOKEN: false, PRIVATE: true, SENSITIVE: false, EXTRACTABLE: true, VALUE_LEN: sharedSecretBytes,
}

/** `spki`: the key's own, as the row has it. Gives the secret, and behind it the ciphertext. @throws FrameError, Refused, Fault */
export function encapsulate(session: Session, key: OpenKey, spki: Buffer): Buffer {
  const set = setOf(key)
  return withPublicKey(session, key, spki, publicKey => {
    const { ciphertextBytes } = mlKemSets[set]
    const { ciphertext, secret } = session.encapsulate(publicKey, secretAttributes, ciphertextBytes)
    const value = taken(session, secret)
    if (ciphertext.length !== ciphertextBytes) {
      value.fill(0)
      throw new Fault('C_EncapsulateKey', ckr.FUNCTION_FAILED)
    }
    const both = Buffer.concat([value, ciphertext])
    value.fill(0)
    return both
  })
}

/** 32 bytes: the secret, or for a ciphertext that is not one of this key's bytes that only look like one. @throws FrameError, Refused, Fault */
export function decapsulate(session: Session, key: OpenKey, ciphertext: Buffer): Buffer {
  if (ciphertext.length !== mlKemSets[setOf(key)].ciphertextBytes) throw new FrameError('ciphertext length')
  return taken(session, session.decapsulate(key.handle, secretAttributes, ciphertext))
}

function setOf({ spec }: OpenKey): MlKemSet {
  const { built } = keySpecs[spec]
  if (built?.kind !== 'mlKem') throw new Refused(`no ML-KEM with a key of spec ${spec}`)
  return built.set
}

function taken(session: Session, secret: Handle): Buffer {
  try {
    const value = session.get(secret, 'VALUE')
    if (value.length === sharedSecretBytes) return value
    value.fill(0)
    throw new Fault('C_GetAttributeValue', ckr.FUNCTION_FAILED)
  } finally {
    session.destroy(secret)
  }
}
