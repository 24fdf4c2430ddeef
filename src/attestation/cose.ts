// COSE_Sign1 (RFC 9052, section 4.2), as attestation documents are signed: CBOR by cbor2, the signature by node:crypto.
import { verify, type KeyObject } from 'node:crypto'
import { decode, encode, Tag } from 'cbor2'
import { AttestationRefused } from './refused.ts'

/** RFC 9053, section 2.1: the curve goes with the hash here, and the signature is r and s as long as the curve's coordinates. */
const algorithms: ReadonlyMap<unknown, { readonly hash: string; readonly curve: string; readonly signatureBytes: number }> = new Map([
  [-7, { hash: 'sha256', curve: 'prime256v1', signatureBytes: 64 }],
  [-35, { hash: 'sha384', curve: 'secp384r1', signatureBytes: 96 }],
  [-36, { hash: 'sha512', curve: 'secp521r1', signatureBytes: 132 }],
])
const algorithmLabel = 1
const sign1Tag = 18

/** A document nests maps in a list in a string; nothing in it goes deeper. */
const strictly = { preferMap: true, rejectDuplicateKeys: true, rejectStreaming: true, rejectFloats: true, maxDepth: 8, ignoreGlobalTags: true } as const

export interface Sign1 {
  readonly payload: Uint8Array
  /** @throws AttestationRefused unless the key has signed it */
  verify(key: KeyObject): void
}

/** @throws AttestationRefused */
export function readCbor(bytes: Uint8Array, what: string): unknown {
  try {
    return decode(bytes, strictly)
  } catch {
    throw new AttestationRefused(`${what} is not CBOR`)
  }
}

/** @throws AttestationRefused */
export function readSign1(bytes: Uint8Array): Sign1 {
  const whole = readCbor(bytes, 'it')
  const parts = whole instanceof Tag && Number(whole.tag) === sign1Tag ? whole.contents : whole
  const [given, , payload, signature] = Array.isArray(parts) && parts.length === 4 ? parts as readonly unknown[] : []
  if (!(given instanceof Uint8Array) || !(payload instanceof Uint8Array) || !(signature instanceof Uint8Array)) throw new AttestationRefused('it is no COSE_Sign1')
  const header = readCbor(given, 'its protected header')
  const algorithm = header instanceof Map ? algorithms.get(header.get(algorithmLabel)) : undefined
  if (algorithm === undefined) throw new AttestationRefused('it is not signed by ES256, ES384 or ES512')
  return {
    payload,
    verify(key) {
      if (key.asymmetricKeyDetails?.namedCurve !== algorithm.curve) throw new AttestationRefused('its algorithm is not that of its certificate')
      // Bytes as such: a Buffer, which decode() gives for a Buffer, would be encoded as an object.
      const signed = encode(['Signature1', Uint8Array.from(given), new Uint8Array(), Uint8Array.from(payload)])
      const genuine = signature.length === algorithm.signatureBytes && verify(algorithm.hash, signed, { key, dsaEncoding: 'ieee-p1363' }, signature)
      if (!genuine) throw new AttestationRefused('its signature is wrong')
    },
  }
}
