// From an authenticated material row to the attributes of its key on the token: the only place that decides what a key may do.
import pkcs11 from 'pkcs11js'
import type { Mechanism } from 'pkcs11js'
import { curves, ed25519 } from '../../keys/curve.ts'
import type { Material } from '../../keys/material.ts'
import { parameterSet } from '../../keys/post-quantum.ts'
import { isMacAlgorithm, keySpecs, macAlgorithms, type KeyUsage, type Making } from '../../keys/spec.ts'
import type { Verb } from './frames.ts'
import { newer, newerKeyTypes } from './newer.ts'
import type { Profile } from './profile.ts'
import { hmacs, mechanismList, mechanisms, type Attributes, type HmacHash } from './template.ts'

/** Usage of Trent's own keys that seal credentials; no KMS key has it, so no verb for KMS keys reaches one, nor the reverse. */
export const sealUsage = 'TRENT_SEAL'

interface AnyKind {
  readonly keyType: number
  readonly generate: () => Mechanism
  readonly uses: Attributes
  readonly allowed: (profile: Profile) => readonly number[]
  readonly verbs: ReadonlySet<Verb>
}

export interface SecretKind extends AnyKind {
  readonly form: 'secret'
  readonly secretBytes: number
}

export interface PairKind extends AnyKind {
  readonly form: 'pair'
  readonly making: Exclude<Making, { kind: 'aes' | 'hmac' }>
  /** Nothing is done with the public half in the token, but some try a new pair, and then it must be able to. */
  readonly publicUses: Attributes
}

export type KeyKind = SecretKind | PairKind

const noUse: Attributes = { ENCRYPT: false, DECRYPT: false, SIGN: false, VERIFY: false, WRAP: false, UNWRAP: false, DERIVE: false }
/** A private key has no ENCRYPT, VERIFY and WRAP, a public one none of the others: tokens refuse what an object cannot have. */
const noPrivateUse: Attributes = { DECRYPT: false, SIGN: false, UNWRAP: false, DERIVE: false }
const noPublicUse: Attributes = { ENCRYPT: false, VERIFY: false, WRAP: false }

const aesGcm: Omit<SecretKind, 'verbs'> = {
  form: 'secret', keyType: pkcs11.CKK_AES, generate: mechanisms.aesKeyGen, secretBytes: 32, uses: { ...noUse, ENCRYPT: true, DECRYPT: true },
  allowed: () => [pkcs11.CKM_AES_GCM],
}
/** Signs with HMAC and nothing else. */
const macKey = (secretBytes: number, hash: HmacHash): Omit<SecretKind, 'verbs'> => ({
  form: 'secret', keyType: pkcs11.CKK_GENERIC_SECRET, generate: mechanisms.secretKeyGen, secretBytes, uses: { ...noUse, SIGN: true }, allowed: () => [hmacs[hash]],
})

type PairUse = Pick<PairKind, 'uses' | 'publicUses' | 'allowed' | 'verbs'>
const signs = (...allowed: readonly number[]): PairUse => ({
  uses: { ...noPrivateUse, SIGN: true }, publicUses: { ...noPublicUse, VERIFY: true }, allowed: () => allowed, verbs: new Set<Verb>(['sign', 'authenticate']),
})

/** Of keys whose signatures node:crypto does not know, or not all of them. */
const signingVerbs: ReadonlySet<Verb> = new Set<Verb>(['sign', 'verify', 'authenticate'])

/** What a private key may do, by its usage; what is not here is not made. */
const pairUses: Readonly<Record<PairKind['making']['kind'], Readonly<Partial<Record<KeyUsage, PairUse>>>>> = {
  rsa: {
    SIGN_VERIFY: signs(pkcs11.CKM_RSA_PKCS, pkcs11.CKM_RSA_PKCS_PSS),
    ENCRYPT_DECRYPT: {
      uses: { ...noPrivateUse, DECRYPT: true }, publicUses: { ...noPublicUse, ENCRYPT: true },
      allowed: ({ oaepSha256 }) => [pkcs11.CKM_RSA_PKCS_OAEP, ...(oaepSha256 ? [] : [pkcs11.CKM_RSA_X_509])],
      verbs: new Set<Verb>(['decrypt', 'reencrypt', 'authenticate']),
    },
  },
  edwards: { SIGN_VERIFY: { ...signs(newer.EDDSA), verbs: signingVerbs } },
  mlDsa: { SIGN_VERIFY: { ...signs(newer.ML_DSA), verbs: signingVerbs } },
  mlKem: {
    ENCAPSULATE_DECAPSULATE: {
      uses: { ...noPrivateUse, DECAPSULATE: true }, publicUses: { ...noPublicUse, ENCAPSULATE: true }, allowed: () => [newer.ML_KEM],
      verbs: new Set<Verb>(['encapsulate', 'decapsulate', 'authenticate']),
    },
  },
  ec: {
    SIGN_VERIFY: signs(pkcs11.CKM_ECDSA),
    KEY_AGREEMENT: {
      uses: { ...noPrivateUse, DERIVE: true }, publicUses: { ...noPublicUse, DERIVE: true }, allowed: () => [pkcs11.CKM_ECDH1_DERIVE],
      verbs: new Set<Verb>(['derive', 'authenticate']),
    },
  },
}

const pairTypes: Readonly<Record<PairKind['making']['kind'], Pick<PairKind, 'keyType' | 'generate'>>> = {
  rsa: { keyType: pkcs11.CKK_RSA, generate: mechanisms.rsaKeyPairGen },
  ec: { keyType: pkcs11.CKK_EC, generate: mechanisms.ecKeyPairGen },
  edwards: { keyType: newerKeyTypes.EC_EDWARDS, generate: mechanisms.edwardsKeyPairGen },
  mlDsa: { keyType: newerKeyTypes.ML_DSA, generate: mechanisms.mlDsaKeyPairGen },
  mlKem: { keyType: newerKeyTypes.ML_KEM, generate: mechanisms.mlKemKeyPairGen },
}

const kinds: ReadonlyMap<string, KeyKind> = new Map<string, KeyKind>([
  ['SYMMETRIC_DEFAULT/ENCRYPT_DECRYPT/direct', { ...aesGcm, verbs: new Set<Verb>(['encrypt', 'decrypt', 'reencrypt', 'canary']) }],
  ['SYMMETRIC_DEFAULT/ENCRYPT_DECRYPT/derived', { ...macKey(32, 'sha256'), verbs: new Set<Verb>(['encrypt', 'decrypt', 'reencrypt']) }],
  [`SYMMETRIC_DEFAULT/${sealUsage}/direct`, { ...aesGcm, verbs: new Set<Verb>(['seal', 'unseal']) }],
  ...kindsOfTable(),
])

/** What keys/spec.ts says is built, but for AES, whose kinds depend on the cipher mode too. */
function kindsOfTable(): (readonly [string, KeyKind])[] {
  return Object.entries(keySpecs).flatMap(([spec, { built, usages }]) => Object.entries(usages).flatMap(([usage, algorithms]) => {
    const kind = built === undefined ? undefined : kindOf(built, usage as KeyUsage, algorithms)
    return kind === undefined ? [] : [[`${spec}/${usage}/none`, kind] as const]
  }))
}

function kindOf(built: Making, usage: KeyUsage, [algorithm = '']: readonly string[]): KeyKind | undefined {
  if (built.kind === 'aes') return undefined
  if (built.kind === 'hmac') {
    return isMacAlgorithm(algorithm) ? { ...macKey(built.secretBytes, macAlgorithms[algorithm].hash), verbs: new Set<Verb>(['mac']) } : undefined
  }
  const use = pairUses[built.kind][usage]
  if (use === undefined) return undefined
  return { form: 'pair', making: built, ...pairTypes[built.kind], ...use }
}

/** The kind of key that a row describes, or undefined for what this agent does not make. */
export const keyKind = (material: Pick<Material, 'spec' | 'usage' | 'cipherMode'>): KeyKind | undefined =>
  kinds.get(`${material.spec}/${material.usage}/${material.cipherMode}`)

export const isPair = (material: Pick<Material, 'spec' | 'usage' | 'cipherMode'>): boolean => keyKind(material)?.form === 'pair'

/** What a token asks for besides, where the key that is unwrapped is of an elliptic curve; see Profile.nssDatabaseAttribute. */
export const unwrappedCurve = (profile: Profile): Attributes => (profile.nssDatabaseAttribute ? { NSS_DB: Buffer.alloc(1) } : {})

/** Attributes with which a wrapped key is used: a session object that never leaves the token. */
export function unwrapAttributes(kind: KeyKind, profile: Profile): Attributes {
  const isPair = kind.form === 'pair'
  return {
    CLASS: isPair ? pkcs11.CKO_PRIVATE_KEY : pkcs11.CKO_SECRET_KEY, KEY_TYPE: kind.keyType, TOKEN: false, PRIVATE: true,
    // The domain key's unwrap template demands both, and the caller must repeat them.
    SENSITIVE: true, EXTRACTABLE: false,
    ...(isPair && (kind.making.kind === 'ec' || kind.making.kind === 'edwards') ? unwrappedCurve(profile) : {}),
    ...kind.uses, ...allowed(kind, profile),
  }
}

/** A wrapped key at its making: extractable, so that it can be wrapped; it lives for two calls and has no other use. */
export const wrappableAttributes = (kind: KeyKind): Attributes => ({
  TOKEN: false, PRIVATE: true, SENSITIVE: true, EXTRACTABLE: true,
  ...(kind.form === 'secret' ? { VALUE_LEN: kind.secretBytes, ...noUse } : noPrivateUse),
})

export function residentAttributes(kind: KeyKind, profile: Profile, material: Pick<Material, 'keyId' | 'ckaId'>): Attributes {
  return {
    TOKEN: true, PRIVATE: true, SENSITIVE: true, EXTRACTABLE: false, ...(kind.form === 'secret' ? { VALUE_LEN: kind.secretBytes } : {}),
    LABEL: residentLabel(material.keyId), ID: material.ckaId, ...kind.uses, ...allowed(kind, profile),
  }
}

/** The public half, which is read once. A resident one stays beside its private key, for a creation that is repeated. */
export function publicAttributes({ making, publicUses }: PairKind, { keyId, ckaId, residency }: Pick<Material, 'keyId' | 'ckaId' | 'residency'>): Attributes {
  const resident = residency === 'resident'
  return {
    TOKEN: resident, PRIVATE: false, ...(resident ? { LABEL: residentLabel(keyId), ID: ckaId } : {}), ...publicUses,
    ...parameters(making),
  }
}

function parameters(making: PairKind['making']): Attributes {
  switch (making.kind) {
    case 'rsa': return { MODULUS_BITS: 8 * making.modulusBytes, PUBLIC_EXPONENT: publicExponent }
    case 'ec': return { EC_PARAMS: curves[making.curve].oid }
    case 'edwards': return { EC_PARAMS: ed25519.oid }
    case 'mlDsa':
    case 'mlKem': return { PARAMETER_SET: parameterSet(making.set).number }
  }
}

/** 65,537. */
const publicExponent = Buffer.from([1, 0, 1])

export const residentLabel = (keyId: string): string => `trent/key/${keyId}`

const allowed = (kind: KeyKind, profile: Profile): Attributes =>
  profile.allowedMechanisms ? { ALLOWED_MECHANISMS: mechanismList(...kind.allowed(profile)) } : {}
