// The public half of a key as an object of the token, for as long as a call takes: for what node:crypto does not know.
import { createHash } from 'node:crypto'
import type { Handle } from 'pkcs11js'
import pkcs11 from 'pkcs11js'
import { ed25519 } from '../../keys/curve.ts'
import { parameterSet, postQuantumKey } from '../../keys/post-quantum.ts'
import { edwardsSpki } from '../../keys/public-key.ts'
import { keySpecs, type KeySpecName } from '../../keys/spec.ts'
import type { OpenKey } from './keys-in-use.ts'
import { newerKeyTypes } from './newer.ts'
import { Refused } from './refused.ts'
import type { Session } from './session.ts'
import type { Attributes } from './template.ts'

/** `spki` comes from the gateway and is held against the row. @throws Refused when it is another's; Fault */
export function withPublicKey<T>(session: Session, { spec, spkiDigest }: OpenKey, spki: Buffer, run: (publicKey: Handle) => T): T {
  const attributes = createHash('sha256').update(spki).digest().equals(spkiDigest) ? attributesOf(spec, spki) : undefined
  if (attributes === undefined) throw new Refused('the public key is not the one that the material row names')
  const publicKey = session.create({ CLASS: pkcs11.CKO_PUBLIC_KEY, TOKEN: false, PRIVATE: false, ...attributes })
  try {
    return run(publicKey)
  } finally {
    session.destroy(publicKey)
  }
}

function attributesOf(spec: KeySpecName, spki: Buffer): Attributes | undefined {
  const { built } = keySpecs[spec]
  if (built?.kind === 'edwards') {
    const point = spki.subarray(-ed25519.bytes)
    return edwardsSpki(point).equals(spki) ? { KEY_TYPE: newerKeyTypes.EC_EDWARDS, VERIFY: true, EC_PARAMS: ed25519.oid, EC_POINT: point } : undefined
  }
  if (built?.kind !== 'mlDsa' && built?.kind !== 'mlKem') return undefined
  const value = postQuantumKey(parameterSet(built.set), spki)
  if (value === undefined) return undefined
  const use: Attributes = built.kind === 'mlDsa' ? { KEY_TYPE: newerKeyTypes.ML_DSA, VERIFY: true } : { KEY_TYPE: newerKeyTypes.ML_KEM, ENCAPSULATE: true }
  return { ...use, PARAMETER_SET: parameterSet(built.set).number, VALUE: value }
}
