// One row a key spec: it drives creation, the lists in KeyMetadata (in AWS's order), what an algorithm is allowed for, and what a
// token is asked for. `built` says which specs this version can create; a spec becomes `built` together with its operations.
import type { CurveName } from './curve.ts'
import type { MlDsaSet, MlKemSet } from './post-quantum.ts'

export const keyUsages = ['SIGN_VERIFY', 'ENCRYPT_DECRYPT', 'GENERATE_VERIFY_MAC', 'KEY_AGREEMENT', 'ENCAPSULATE_DECAPSULATE'] as const
export type KeyUsage = (typeof keyUsages)[number]

export const keySpecNames = [
  'RSA_2048', 'RSA_3072', 'RSA_4096', 'ECC_NIST_P256', 'ECC_NIST_P384', 'ECC_NIST_P521', 'ECC_SECG_P256K1', 'SYMMETRIC_DEFAULT',
  'HMAC_224', 'HMAC_256', 'HMAC_384', 'HMAC_512', 'SM2', 'ML_DSA_44', 'ML_DSA_65', 'ML_DSA_87', 'ECC_NIST_EDWARDS25519',
  'ML_KEM_512', 'ML_KEM_768', 'ML_KEM_1024',
] as const
export type KeySpecName = (typeof keySpecNames)[number]

/** What the token generates for a spec. */
export type Making =
  | { readonly kind: 'aes'; readonly secretBytes: number }
  | { readonly kind: 'hmac'; readonly secretBytes: number }
  | { readonly kind: 'rsa'; readonly modulusBytes: number }
  | { readonly kind: 'ec'; readonly curve: CurveName }
  | { readonly kind: 'edwards' }
  | { readonly kind: 'mlDsa'; readonly set: MlDsaSet }
  | { readonly kind: 'mlKem'; readonly set: MlKemSet }

export interface KeySpec {
  /** Usages AWS allows for the spec, and under each the algorithms in the order AWS lists them. */
  readonly usages: Readonly<Partial<Record<KeyUsage, readonly string[]>>>
  /** Absent until Trent builds the spec. */
  readonly built?: Making
}

const oaep = ['RSAES_OAEP_SHA_1', 'RSAES_OAEP_SHA_256']
const rsaSigning = [
  'RSASSA_PKCS1_V1_5_SHA_256', 'RSASSA_PKCS1_V1_5_SHA_384', 'RSASSA_PKCS1_V1_5_SHA_512',
  'RSASSA_PSS_SHA_256', 'RSASSA_PSS_SHA_384', 'RSASSA_PSS_SHA_512',
]
const rsa = (bits: number): KeySpec => ({ usages: { ENCRYPT_DECRYPT: oaep, SIGN_VERIFY: rsaSigning }, built: { kind: 'rsa', modulusBytes: bits / 8 } })
const nistCurve = (curve: CurveName, hash: string): KeySpec => ({ usages: { SIGN_VERIFY: [`ECDSA_SHA_${hash}`], KEY_AGREEMENT: ['ECDH'] }, built: { kind: 'ec', curve } })
const hmac = (bits: number): KeySpec => ({ usages: { GENERATE_VERIFY_MAC: [`HMAC_SHA_${bits}`] }, built: { kind: 'hmac', secretBytes: bits / 8 } })
const mlDsa = (set: MlDsaSet): KeySpec => ({ usages: { SIGN_VERIFY: ['ML_DSA_SHAKE_256'] }, built: { kind: 'mlDsa', set } })
const mlKem = (set: MlKemSet): KeySpec => ({ usages: { ENCAPSULATE_DECAPSULATE: ['ML_KEM'] }, built: { kind: 'mlKem', set } })

/** Source: AWS KMS developer guide, "Key spec reference". */
export const keySpecs: Readonly<Record<KeySpecName, KeySpec>> = {
  SYMMETRIC_DEFAULT: { usages: { ENCRYPT_DECRYPT: ['SYMMETRIC_DEFAULT'] }, built: { kind: 'aes', secretBytes: 32 } },
  RSA_2048: rsa(2048),
  RSA_3072: rsa(3072),
  RSA_4096: rsa(4096),
  ECC_NIST_P256: nistCurve('P-256', '256'),
  ECC_NIST_P384: nistCurve('P-384', '384'),
  ECC_NIST_P521: nistCurve('P-521', '512'),
  ECC_SECG_P256K1: { usages: { SIGN_VERIFY: ['ECDSA_SHA_256'] }, built: { kind: 'ec', curve: 'secp256k1' } },
  ECC_NIST_EDWARDS25519: { usages: { SIGN_VERIFY: ['ED25519_SHA_512', 'ED25519_PH_SHA_512'] }, built: { kind: 'edwards' } },
  HMAC_224: hmac(224),
  HMAC_256: hmac(256),
  HMAC_384: hmac(384),
  HMAC_512: hmac(512),
  ML_DSA_44: mlDsa('ML-DSA-44'),
  ML_DSA_65: mlDsa('ML-DSA-65'),
  ML_DSA_87: mlDsa('ML-DSA-87'),
  ML_KEM_512: mlKem('ML-KEM-512'),
  ML_KEM_768: mlKem('ML-KEM-768'),
  ML_KEM_1024: mlKem('ML-KEM-1024'),
  SM2: { usages: { ENCRYPT_DECRYPT: ['SM2PKE'], SIGN_VERIFY: ['SM2DSA'], KEY_AGREEMENT: ['ECDH'] } },
}

/** Of those that are in neither table AWS has algorithms that no token here makes. The numbers of both stand in frames and are final. */

/** The HSM signs a digest. PSS: MGF1 with the same hash, a salt as long as the digest. */
export const digestSigning = {
  RSASSA_PKCS1_V1_5_SHA_256: { number: 1, scheme: 'pkcs1', hash: 'sha256', digestBytes: 32 },
  RSASSA_PKCS1_V1_5_SHA_384: { number: 2, scheme: 'pkcs1', hash: 'sha384', digestBytes: 48 },
  RSASSA_PKCS1_V1_5_SHA_512: { number: 3, scheme: 'pkcs1', hash: 'sha512', digestBytes: 64 },
  RSASSA_PSS_SHA_256: { number: 4, scheme: 'pss', hash: 'sha256', digestBytes: 32 },
  RSASSA_PSS_SHA_384: { number: 5, scheme: 'pss', hash: 'sha384', digestBytes: 48 },
  RSASSA_PSS_SHA_512: { number: 6, scheme: 'pss', hash: 'sha512', digestBytes: 64 },
  ECDSA_SHA_256: { number: 7, scheme: 'ecdsa', hash: 'sha256', digestBytes: 32 },
  ECDSA_SHA_384: { number: 8, scheme: 'ecdsa', hash: 'sha384', digestBytes: 48 },
  ECDSA_SHA_512: { number: 9, scheme: 'ecdsa', hash: 'sha512', digestBytes: 64 },
} as const
export type DigestSigning = keyof typeof digestSigning
export const signsDigests = (name: string): name is DigestSigning => Object.hasOwn(digestSigning, name)

/** The HSM signs the message itself. */
export const messageSigning = {
  ED25519_SHA_512: { number: 10, scheme: 'eddsa' },
  /** Pure ML-DSA without a context. */
  ML_DSA_SHAKE_256: { number: 11, scheme: 'mlDsa' },
  /** Ed25519ph without a context: what it hashes is the caller's digest, which AWS has 64 bytes long. */
  ED25519_PH_SHA_512: { number: 12, scheme: 'eddsaPrehashed' },
} as const
export type MessageSigning = keyof typeof messageSigning
export const signsMessages = (name: string): name is MessageSigning => Object.hasOwn(messageSigning, name)

/** Bytes of a message, in AWS's API and so in the HSM. */
export const messageLimitBytes = 4_096

export type SigningAlgorithm = DigestSigning | MessageSigning
export const signingNumbers = Object.fromEntries(
  Object.entries({ ...digestSigning, ...messageSigning }).map(([name, { number }]) => [name, number])) as Readonly<Record<SigningAlgorithm, number>>

/** The numbers stand in frames and are final. */
export const rsaEncryptionAlgorithms = {
  RSAES_OAEP_SHA_1: { number: 1, hash: 'sha1', hashBytes: 20 }, RSAES_OAEP_SHA_256: { number: 2, hash: 'sha256', hashBytes: 32 },
} as const
export type RsaEncryptionAlgorithm = keyof typeof rsaEncryptionAlgorithms
export const isRsaEncryption = (name: unknown): name is RsaEncryptionAlgorithm => typeof name === 'string' && Object.hasOwn(rsaEncryptionAlgorithms, name)

export type HashName = 'sha1' | 'sha224' | 'sha256' | 'sha384' | 'sha512'

/** Each spec has one of them, of its own size. The MAC is as long as the key. */
export const macAlgorithms = {
  HMAC_SHA_224: { hash: 'sha224' }, HMAC_SHA_256: { hash: 'sha256' }, HMAC_SHA_384: { hash: 'sha384' }, HMAC_SHA_512: { hash: 'sha512' },
} as const satisfies Readonly<Record<string, { hash: HashName }>>
export type MacAlgorithm = keyof typeof macAlgorithms

export const isMacAlgorithm = (name: string): name is MacAlgorithm => Object.hasOwn(macAlgorithms, name)

/** Whether the private-key operation takes so long that it must not hold up the quick ones: RSA beyond 2,048 bits. */
export function isSlow(spec: string): boolean {
  const built = isKeySpec(spec) ? keySpecs[spec].built : undefined
  return built?.kind === 'rsa' && built.modulusBytes > 256
}

export const isKeySpec = (name: string): name is KeySpecName => Object.hasOwn(keySpecs, name)

/** Whether AWS names the material of such keys, by KeyMaterialId: those whose material can be rotated. */
export const namesMaterial = (spec: string): boolean => spec === 'SYMMETRIC_DEFAULT'
