// Public keys as SubjectPublicKeyInfo in DER (RFC 5280, RFC 5480), and what is told from them.
import { createPublicKey, type KeyObject } from 'node:crypto'
import { curves, ed25519, type CurveName } from './curve.ts'
import { der, tags } from './der.ts'
import { isPostQuantum } from './post-quantum.ts'

export interface PublicKey {
  readonly spki: Buffer
  /** @throws TypeError for a key of ML-DSA or ML-KEM: those are used in the HSM alone */
  readonly key: KeyObject
}

const ecPublicKeyOid = Buffer.from('06072a8648ce3d0201', 'hex')

/** From an uncompressed point: 0x04, x, y. Not checked to be on the curve: see readPublicKey. */
export function ecSpki(name: CurveName, point: Uint8Array): Buffer {
  return der(tags.sequence, der(tags.sequence, ecPublicKeyOid, curves[name].oid), der(tags.bitString, Buffer.alloc(1), point))
}

/** From the 32 bytes of RFC 8032. */
export const edwardsSpki = (point: Uint8Array): Buffer => der(tags.sequence, der(tags.sequence, ed25519.oid), der(tags.bitString, Buffer.alloc(1), point))

/** From big-endian modulus and exponent. */
export function rsaSpki(modulus: Buffer, exponent: Buffer): Buffer {
  const key = createPublicKey({ key: { kty: 'RSA', n: base64urlNumber(modulus), e: base64urlNumber(exponent) }, format: 'jwk' })
  return key.export({ type: 'spki', format: 'der' })
}

/** A point on the curve, an RSA key or one of ML-DSA or ML-KEM, or undefined for anything else: OpenSSL checks that a point is on its curve and not at infinity. */
export function readPublicKey(spki: Buffer): PublicKey | undefined {
  if (isPostQuantum(spki)) return { spki, get key(): KeyObject { throw new TypeError('node:crypto does not know this kind of key') } }
  try {
    return { spki, key: createPublicKey({ key: spki, format: 'der', type: 'spki' }) }
  } catch {
    return undefined
  }
}

/**
 * The uncompressed point of an SPKI of this curve, or undefined: for another curve or form, trailing bytes, a point off the curve or at
 * infinity. What it gives may go into a private-key operation.
 */
export function pointOf(name: CurveName, spki: Buffer): Buffer | undefined {
  const length = 1 + 2 * curves[name].bytes
  const point = spki.subarray(-length)
  if (spki.length <= length || point[0] !== 4 || !ecSpki(name, point).equals(spki)) return undefined
  return readPublicKey(spki) === undefined ? undefined : point
}

const base64urlNumber = (bytes: Buffer): string => bytes.subarray(Math.max(0, bytes.findIndex(byte => byte !== 0))).toString('base64url')
