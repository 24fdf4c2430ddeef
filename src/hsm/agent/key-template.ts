// From an authenticated material row to the attributes of its key on the token: the only place that decides what a key may do.
import pkcs11 from 'pkcs11js'
import type { Material } from '../../keys/material.ts'
import { isMacAlgorithm, keySpecs, macAlgorithms, type Making } from '../../keys/spec.ts'
import type { Verb } from './frames.ts'
import type { Profile } from './profile.ts'
import { hmacs, mechanismList, mechanisms, type Attributes, type HmacHash } from './template.ts'
import type { Mechanism } from 'pkcs11js'

/** Usage of Trent's own keys that seal credentials; no KMS key has it, so no verb for KMS keys reaches one, nor the reverse. */
export const sealUsage = 'TRENT_SEAL'

interface KeyKind {
  readonly keyType: number
  readonly generate: () => Mechanism
  readonly secretBytes: number
  readonly uses: Attributes
  readonly allowed: readonly number[]
  readonly verbs: ReadonlySet<Verb>
}

const noUse: Attributes = { ENCRYPT: false, DECRYPT: false, SIGN: false, VERIFY: false, WRAP: false, UNWRAP: false, DERIVE: false }
const aesGcm = { keyType: pkcs11.CKK_AES, generate: mechanisms.aesKeyGen, secretBytes: 32, uses: { ...noUse, ENCRYPT: true, DECRYPT: true }, allowed: [pkcs11.CKM_AES_GCM] }
/** Signs with HMAC and nothing else. */
const macKey = (secretBytes: number, hash: HmacHash) =>
  ({ keyType: pkcs11.CKK_GENERIC_SECRET, generate: mechanisms.secretKeyGen, secretBytes, uses: { ...noUse, SIGN: true }, allowed: [hmacs[hash]] })

const kinds: ReadonlyMap<string, KeyKind> = new Map<string, KeyKind>([
  ['SYMMETRIC_DEFAULT/ENCRYPT_DECRYPT/direct', { ...aesGcm, verbs: new Set<Verb>(['encrypt', 'decrypt', 'reencrypt', 'canary']) }],
  ['SYMMETRIC_DEFAULT/ENCRYPT_DECRYPT/derived', { ...macKey(32, 'sha256'), verbs: new Set<Verb>(['encrypt', 'decrypt', 'reencrypt']) }],
  [`SYMMETRIC_DEFAULT/${sealUsage}/direct`, { ...aesGcm, verbs: new Set<Verb>(['seal', 'unseal']) }],
  ...kindsOfTable(),
])

/** What keys/spec.ts says is built, but for AES, whose kinds depend on the cipher mode too. */
function kindsOfTable(): (readonly [string, KeyKind])[] {
  return Object.entries(keySpecs).flatMap(([spec, { built, usages }]) => Object.entries(usages).flatMap(([usage, algorithms]) => {
    const kind = built === undefined ? undefined : kindOf(built, algorithms)
    return kind === undefined ? [] : [[`${spec}/${usage}/none`, kind] as const]
  }))
}

function kindOf(built: Making, algorithms: readonly string[]): KeyKind | undefined {
  const [algorithm = ''] = algorithms
  if (built.kind === 'hmac' && isMacAlgorithm(algorithm)) return { ...macKey(built.secretBytes, macAlgorithms[algorithm].hash), verbs: new Set<Verb>(['mac']) }
  return undefined
}

/** The kind of key that a row describes, or undefined for what this agent does not make. */
export const keyKind = (material: Pick<Material, 'spec' | 'usage' | 'cipherMode'>): KeyKind | undefined =>
  kinds.get(`${material.spec}/${material.usage}/${material.cipherMode}`)

/** Attributes with which a wrapped key is used: a session object that never leaves the token. */
export function unwrapAttributes(kind: KeyKind, profile: Profile): Attributes {
  return {
    CLASS: pkcs11.CKO_SECRET_KEY, KEY_TYPE: kind.keyType, TOKEN: false, PRIVATE: true,
    // The domain key's unwrap template demands both, and the caller must repeat them.
    SENSITIVE: true, EXTRACTABLE: false,
    ...kind.uses, ...allowed(kind, profile),
  }
}

/** A wrapped key at its making: extractable, so that it can be wrapped; it lives for two calls and has no other use. */
export const wrappableAttributes = (kind: KeyKind): Attributes => ({
  TOKEN: false, PRIVATE: true, SENSITIVE: true, EXTRACTABLE: true, VALUE_LEN: kind.secretBytes, ...noUse,
})

export function residentAttributes(kind: KeyKind, profile: Profile, material: Pick<Material, 'keyId' | 'ckaId'>): Attributes {
  return {
    TOKEN: true, PRIVATE: true, SENSITIVE: true, EXTRACTABLE: false, VALUE_LEN: kind.secretBytes,
    LABEL: residentLabel(material.keyId), ID: material.ckaId, ...kind.uses, ...allowed(kind, profile),
  }
}

export const residentLabel = (keyId: string): string => `trent/key/${keyId}`

const allowed = (kind: KeyKind, profile: Profile): Attributes =>
  profile.allowedMechanisms ? { ALLOWED_MECHANISMS: mechanismList(...kind.allowed) } : {}
