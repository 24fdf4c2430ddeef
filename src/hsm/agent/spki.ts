// The public key that a token has just made, as SubjectPublicKeyInfo. What does not fit the spec that was asked for is never given a row.
import type { Handle } from 'pkcs11js'
import { curves, ed25519 } from '../../keys/curve.ts'
import { der, tags } from '../../keys/der.ts'
import { parameterSet, postQuantumSpki } from '../../keys/post-quantum.ts'
import { ecSpki, edwardsSpki, pointOf, readPublicKey, rsaSpki } from '../../keys/public-key.ts'
import type { PairKind } from './key-template.ts'
import { Refused } from './refused.ts'
import type { Session } from './session.ts'

/** @throws Refused, Fault */
export function readSpki(session: Session, making: PairKind['making'], publicKey: Handle): Buffer {
  if (making.kind === 'rsa') {
    const spki = rsaSpki(session.get(publicKey, 'MODULUS'), session.get(publicKey, 'PUBLIC_EXPONENT'))
    if (readPublicKey(spki)?.key.asymmetricKeyDetails?.modulusLength !== 8 * making.modulusBytes) throw new Refused('the token made an RSA key of another size')
    return spki
  }
  if (making.kind === 'edwards') {
    const spki = edwardsSpki(bare(session.get(publicKey, 'EC_POINT'), ed25519.bytes))
    if (readPublicKey(spki)?.key.asymmetricKeyType !== 'ed25519') throw new Refused('the token made a key of another curve')
    return spki
  }
  if (making.kind === 'mlDsa' || making.kind === 'mlKem') {
    const set = parameterSet(making.set)
    const key = session.get(publicKey, 'VALUE')
    if (key.length !== set.publicBytes) throw new Refused('the token made a key of another size')
    return postQuantumSpki(set, key)
  }
  const spki = ecSpki(making.curve, bare(session.get(publicKey, 'EC_POINT'), 1 + 2 * curves[making.curve].bytes))
  if (pointOf(making.curve, spki) === undefined) throw new Refused('the token made a key of another curve')
  return spki
}

/** The standard wraps the point into an OCTET STRING; some tokens give it bare. */
function bare(point: Buffer, length: number): Buffer {
  const inner = point.subarray(-length)
  return der(tags.octetString, inner).equals(point) ? inner : point
}
