// Mechanisms that the probe tries beyond those of template.ts, with parameters of the same care: nothing untyped reaches pkcs11js.
import pkcs11 from 'pkcs11js'
import type { ECDH1, Mechanism, RsaPSS } from 'pkcs11js'

export const hashBits = [256, 384, 512] as const
export type HashBits = (typeof hashBits)[number]

const hashes: Readonly<Record<HashBits, { readonly hash: number; readonly mgf: number }>> = {
  256: { hash: pkcs11.CKM_SHA256, mgf: pkcs11.CKG_MGF1_SHA256 },
  384: { hash: pkcs11.CKM_SHA384, mgf: pkcs11.CKG_MGF1_SHA384 },
  512: { hash: pkcs11.CKM_SHA512, mgf: pkcs11.CKG_MGF1_SHA512 },
}

export const hmacMechanism = { 224: pkcs11.CKM_SHA224_HMAC, 256: pkcs11.CKM_SHA256_HMAC, 384: pkcs11.CKM_SHA384_HMAC, 512: pkcs11.CKM_SHA512_HMAC } as const
export type HmacBits = keyof typeof hmacMechanism

/** Over a digest, with a salt as long as it. */
export function pssMechanism(bits: HashBits): Mechanism {
  const parameter: RsaPSS = { type: pkcs11.CK_PARAMS_RSA_PSS, hashAlg: hashes[bits].hash, mgf: hashes[bits].mgf, saltLen: bits / 8 }
  return { mechanism: pkcs11.CKM_RSA_PKCS_PSS, parameter }
}

/** The x coordinate as it is. `point`: the peer's, uncompressed; it must live until the call has returned. */
export function ecdhMechanism(point: Buffer): Mechanism {
  const parameter: ECDH1 = { type: pkcs11.CK_PARAMS_EC_DH, kdf: pkcs11.CKD_NULL, publicData: point }
  return { mechanism: pkcs11.CKM_ECDH1_DERIVE, parameter }
}
