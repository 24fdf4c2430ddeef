// ML-DSA (FIPS 204) and ML-KEM (FIPS 203): sizes, and public keys as SubjectPublicKeyInfo (RFC 9881, RFC 9935), which node:crypto knows
// only with OpenSSL 3.5.
import { der, tags } from './der.ts'

interface ParameterSet {
  /** Its object identifier in DER. */
  readonly oid: Buffer
  /** CKA_PARAMETER_SET of PKCS#11 v3.2. */
  readonly number: number
  /** Length of a public key, bytes. */
  readonly publicBytes: number
}

const oid = (last: string): Buffer => Buffer.from(`06096086480165030404${last}`, 'hex')
const dsaOid = (last: string): Buffer => Buffer.from(`06096086480165030403${last}`, 'hex')

/** FIPS 204, table 2; object identifiers of NIST's Computer Security Objects Register. */
export const mlDsaSets = {
  'ML-DSA-44': { oid: dsaOid('11'), number: 1, publicBytes: 1_312, signatureBytes: 2_420 },
  'ML-DSA-65': { oid: dsaOid('12'), number: 2, publicBytes: 1_952, signatureBytes: 3_309 },
  'ML-DSA-87': { oid: dsaOid('13'), number: 3, publicBytes: 2_592, signatureBytes: 4_627 },
} as const satisfies Readonly<Record<string, ParameterSet & { readonly signatureBytes: number }>>
export type MlDsaSet = keyof typeof mlDsaSets

/** FIPS 203, table 3. */
export const mlKemSets = {
  'ML-KEM-512': { oid: oid('01'), number: 1, publicBytes: 800, ciphertextBytes: 768 },
  'ML-KEM-768': { oid: oid('02'), number: 2, publicBytes: 1_184, ciphertextBytes: 1_088 },
  'ML-KEM-1024': { oid: oid('03'), number: 3, publicBytes: 1_568, ciphertextBytes: 1_568 },
} as const satisfies Readonly<Record<string, ParameterSet & { readonly ciphertextBytes: number }>>
export type MlKemSet = keyof typeof mlKemSets

/** Bytes of a secret that ML-KEM shares, whatever the set. */
export const sharedSecretBytes = 32

const sets: readonly ParameterSet[] = [...Object.values(mlDsaSets), ...Object.values(mlKemSets)]

export const parameterSet = (name: MlDsaSet | MlKemSet): ParameterSet => ({ ...mlDsaSets, ...mlKemSets })[name]

/** From a public key as FIPS 203 and 204 encode it. */
export const postQuantumSpki = (set: ParameterSet, key: Uint8Array): Buffer => der(tags.sequence, der(tags.sequence, set.oid), der(tags.bitString, Buffer.alloc(1), key))

/** The public key in an SPKI of this set, or undefined for anything else. */
export function postQuantumKey(set: ParameterSet, spki: Buffer): Buffer | undefined {
  const key = spki.subarray(-set.publicBytes)
  return spki.length > set.publicBytes && postQuantumSpki(set, key).equals(spki) ? key : undefined
}

export const isPostQuantum = (spki: Buffer): boolean => sets.some(set => postQuantumKey(set, spki) !== undefined)
