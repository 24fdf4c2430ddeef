// The elliptic curves of the key specs, with the constants of SEC 2 that public-key work needs.

export interface Curve {
  /** Object identifier in DER. */
  readonly oid: Buffer
  /** Length of a coordinate, bytes. */
  readonly bytes: number
  /** As OpenSSL calls it. */
  readonly openssl: string
  /** The field's prime, the coefficient a of y² = x³ + ax + b, the order of the generator. */
  readonly p: bigint
  readonly a: bigint
  readonly n: bigint
}

const oid = (hex: string): Buffer => Buffer.from(hex, 'hex')
const p256 = 0xffffffff00000001000000000000000000000000ffffffffffffffffffffffffn
const p384 = 0xfffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffeffffffff0000000000000000ffffffffn
const p521 = 2n ** 521n - 1n

/** Source: SEC 2, version 2.0; FIPS 186-5. */
export const curves = {
  'P-256': {
    oid: oid('06082a8648ce3d030107'), bytes: 32, openssl: 'prime256v1', p: p256, a: p256 - 3n,
    n: 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n,
  },
  'P-384': {
    oid: oid('06052b81040022'), bytes: 48, openssl: 'secp384r1', p: p384, a: p384 - 3n,
    n: 0xffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196accc52973n,
  },
  'P-521': {
    oid: oid('06052b81040023'), bytes: 66, openssl: 'secp521r1', p: p521, a: p521 - 3n,
    n: 0x01fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffa51868783bf2f966b7fcc0148f709a5d03bb5c9b8899c47aebb6fb71e91386409n,
  },
  'secp256k1': {
    oid: oid('06052b8104000a'), bytes: 32, openssl: 'secp256k1', p: 0xfffffffffffffffffffffffffffffffffffffffffffffffffffffffefffffc2fn, a: 0n,
    n: 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141n,
  },
} as const satisfies Readonly<Record<string, Curve>>
export type CurveName = keyof typeof curves

/** Ed25519 (RFC 8410): the object identifier in DER, and the lengths of a public key and a signature, bytes. */
export const ed25519 = { oid: oid('06032b6570'), bytes: 32, signatureBytes: 64 } as const
