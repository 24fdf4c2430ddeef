// The one builder of attributes and mechanisms. pkcs11js corrupts its heap on a bad argument (a misspelt CKA_ constant is
// `undefined`, and that is enough), so nothing untyped may reach it: every template and mechanism is made here.
import pkcs11 from 'pkcs11js'
import type { AesGCM, Attribute, ECDH1, Mechanism, RsaOAEP, RsaPSS } from 'pkcs11js'
import type { SignatureHash } from '../../keys/rsa-signature.ts'
import { newer } from './newer.ts'

const attributeTypes = {
  CLASS: pkcs11.CKA_CLASS,
  TOKEN: pkcs11.CKA_TOKEN,
  PRIVATE: pkcs11.CKA_PRIVATE,
  LABEL: pkcs11.CKA_LABEL,
  ID: pkcs11.CKA_ID,
  KEY_TYPE: pkcs11.CKA_KEY_TYPE,
  SENSITIVE: pkcs11.CKA_SENSITIVE,
  EXTRACTABLE: pkcs11.CKA_EXTRACTABLE,
  MODIFIABLE: pkcs11.CKA_MODIFIABLE,
  ENCRYPT: pkcs11.CKA_ENCRYPT,
  DECRYPT: pkcs11.CKA_DECRYPT,
  WRAP: pkcs11.CKA_WRAP,
  UNWRAP: pkcs11.CKA_UNWRAP,
  SIGN: pkcs11.CKA_SIGN,
  VERIFY: pkcs11.CKA_VERIFY,
  DERIVE: pkcs11.CKA_DERIVE,
  VALUE: pkcs11.CKA_VALUE,
  VALUE_LEN: pkcs11.CKA_VALUE_LEN,
  MODULUS: pkcs11.CKA_MODULUS,
  MODULUS_BITS: pkcs11.CKA_MODULUS_BITS,
  PUBLIC_EXPONENT: pkcs11.CKA_PUBLIC_EXPONENT,
  EC_PARAMS: pkcs11.CKA_EC_PARAMS,
  EC_POINT: pkcs11.CKA_EC_POINT,
  ALLOWED_MECHANISMS: 0x40000600,
  /** PKCS#11 v3.2. */
  PARAMETER_SET: 0x61d,
  ENCAPSULATE: 0x633,
  DECAPSULATE: 0x634,
  /** NSS's own, see Profile.nssDatabaseAttribute. */
  NSS_DB: 0xd5a0db00,
} as const
export type AttributeName = keyof typeof attributeTypes

type Value = boolean | number | string | Buffer
export type Attributes = Readonly<Partial<Record<AttributeName, Value>>>

/** A fresh array each time: C_GetAttributeValue writes into the template it is given. */
export function template(attributes: Attributes): Attribute[] {
  return Object.entries(attributes).map(([name, value]) => {
    const type = attributeTypes[name as AttributeName]
    if (typeof type !== 'number' || value === undefined) throw new TypeError(`attribute ${name}`)
    return { type, value }
  })
}

/** Attributes to ask for. */
export const query = (...names: AttributeName[]): { type: number }[] => names.map(name => ({ type: attributeTypes[name] }))

export const attributeType = (name: AttributeName): number => attributeTypes[name]

/** CKA_ALLOWED_MECHANISMS: an array of CK_ULONG. */
export function mechanismList(...mechanisms: number[]): Buffer {
  const bytes = Buffer.alloc(8 * mechanisms.length)
  mechanisms.forEach((mechanism, i) => bytes.writeBigUInt64LE(BigInt(mechanism), 8 * i))
  return bytes
}

/** The closed set of mechanisms. */
export const mechanisms = {
  aesKeyGen: (): Mechanism => ({ mechanism: pkcs11.CKM_AES_KEY_GEN }),
  secretKeyGen: (): Mechanism => ({ mechanism: pkcs11.CKM_GENERIC_SECRET_KEY_GEN }),
  rsaKeyPairGen: (): Mechanism => ({ mechanism: pkcs11.CKM_RSA_PKCS_KEY_PAIR_GEN }),
  ecKeyPairGen: (): Mechanism => ({ mechanism: pkcs11.CKM_EC_KEY_PAIR_GEN }),
  edwardsKeyPairGen: (): Mechanism => ({ mechanism: newer.EC_EDWARDS_KEY_PAIR_GEN }),
  /** PKCS #1 v1.5 over a whole DigestInfo. */
  rsaPkcs1: (): Mechanism => ({ mechanism: pkcs11.CKM_RSA_PKCS }),
  /** Over a digest, with a salt of its length. */
  rsaPss: (hash: SignatureHash): Mechanism => ({ mechanism: pkcs11.CKM_RSA_PKCS_PSS, parameter: pssParameters[hash] }),
  /** Over a digest; the result is r and s, each as long as a coordinate. */
  ecdsa: (): Mechanism => ({ mechanism: pkcs11.CKM_ECDSA }),
  /** Pure Ed25519, over a message. */
  eddsa: (): Mechanism => ({ mechanism: newer.EDDSA }),
  /** CK_EDDSA_PARAMS with phFlag set and no context. */
  eddsaPrehashed: (): Mechanism => ({ mechanism: newer.EDDSA, parameter: Buffer.from([1, ...Buffer.alloc(eddsaParametersBytes - 1)]) }),
  mlDsaKeyPairGen: (): Mechanism => ({ mechanism: newer.ML_DSA_KEY_PAIR_GEN }),
  mlKemKeyPairGen: (): Mechanism => ({ mechanism: newer.ML_KEM_KEY_PAIR_GEN }),
  /** Pure ML-DSA over a message, hedged where the token has it so, without a context. */
  mlDsa: (): Mechanism => ({ mechanism: newer.ML_DSA }),
  hmacSha256: (): Mechanism => ({ mechanism: pkcs11.CKM_SHA256_HMAC }),
  hmac: (hash: HmacHash): Mechanism => ({ mechanism: hmacs[hash] }),
  wrap: (mechanism: number): Mechanism => ({ mechanism }),
  /** The v240 parameters: the older ones leave ulIvBits uninitialised. `iv` and `aad` must live until the operation has ended. */
  aesGcm: (iv: Buffer, aad: Buffer): Mechanism => {
    const parameter: AesGCM = { type: pkcs11.CK_PARAMS_AES_GCM_v240, iv, ivBits: iv.length * 8, aad, tagBits: 128 }
    return { mechanism: pkcs11.CKM_AES_GCM, parameter }
  },
  /** The shared secret is the bare x coordinate. `point` is uncompressed; it must live until the call has returned. */
  ecdh: (point: Buffer): Mechanism => {
    const parameter: ECDH1 = { type: pkcs11.CK_PARAMS_EC_DH, kdf: pkcs11.CKD_NULL, publicData: point }
    return { mechanism: pkcs11.CKM_ECDH1_DERIVE, parameter }
  },
  /** Without padding: for keys of RSA encryption on tokens that lack OAEP with SHA-256, and nowhere else. */
  rsaRaw: (): Mechanism => ({ mechanism: pkcs11.CKM_RSA_X_509 }),
  oaep: (hash: 'SHA-1' | 'SHA-256'): Mechanism => ({ mechanism: pkcs11.CKM_RSA_PKCS_OAEP, parameter: oaepParameters[hash] }),
} as const

/** A flag, padding, a length, a pointer. */
const eddsaParametersBytes = 24

const pssParameters: Readonly<Record<SignatureHash, RsaPSS>> = {
  sha256: { type: pkcs11.CK_PARAMS_RSA_PSS, hashAlg: pkcs11.CKM_SHA256, mgf: pkcs11.CKG_MGF1_SHA256, saltLen: 32 },
  sha384: { type: pkcs11.CK_PARAMS_RSA_PSS, hashAlg: pkcs11.CKM_SHA384, mgf: pkcs11.CKG_MGF1_SHA384, saltLen: 48 },
  sha512: { type: pkcs11.CK_PARAMS_RSA_PSS, hashAlg: pkcs11.CKM_SHA512, mgf: pkcs11.CKG_MGF1_SHA512, saltLen: 64 },
}

export const hmacs = {
  sha224: pkcs11.CKM_SHA224_HMAC, sha256: pkcs11.CKM_SHA256_HMAC, sha384: pkcs11.CKM_SHA384_HMAC, sha512: pkcs11.CKM_SHA512_HMAC,
} as const
export type HmacHash = keyof typeof hmacs

const oaepParameters: Readonly<Record<'SHA-1' | 'SHA-256', RsaOAEP>> = {
  'SHA-1': { type: pkcs11.CK_PARAMS_RSA_OAEP, hashAlg: pkcs11.CKM_SHA_1, mgf: pkcs11.CKG_MGF1_SHA1, source: 1 },
  'SHA-256': { type: pkcs11.CK_PARAMS_RSA_OAEP, hashAlg: pkcs11.CKM_SHA256, mgf: pkcs11.CKG_MGF1_SHA256, source: 1 },
}
