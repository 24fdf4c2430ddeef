// What the gateway may ask of an HSM: closed verbs, no mechanism, no attribute, no bare key.
import type { Material, SealedMaterial } from '../keys/material.ts'
import type { PublicKey } from '../keys/public-key.ts'
import type { RsaEncryptionAlgorithm, SigningAlgorithm } from '../keys/spec.ts'

/** A material to make: everything that is fixed before the HSM acts. The agent adds blob or object, and the MAC. */
export type MaterialPlan = Omit<Material, 'blob' | 'spkiDigest' | 'domainId' | 'domainVersion'>

/** What the HSM made, with the SubjectPublicKeyInfo (DER) whose SHA-256 the row holds; null for a secret key. */
export type MadeMaterial = SealedMaterial & { readonly spki: Buffer | null }

/** A symmetric key with encodeContext's output, or an RSA key with its algorithm and SubjectPublicKeyInfo. */
export type ReencryptSide =
  | { readonly material: SealedMaterial; readonly context: Buffer }
  | { readonly material: SealedMaterial; readonly algorithm: RsaEncryptionAlgorithm; readonly spki: Buffer }

export interface SharedSecret {
  /** 32 bytes. */
  readonly secret: Buffer
  readonly ciphertext: Buffer
}

export interface Hsm {
  /** AES-256-GCM in the HSM. `context` is encodeContext's output. Resolves to a whole ciphertext blob, see keys/ciphertext.ts. */
  encrypt(material: SealedMaterial, context: Buffer, plaintext: Buffer): Promise<Buffer>
  /** @throws InvalidCiphertextException for whatever is wrong inside the blob or with the context. */
  decrypt(material: SealedMaterial, context: Buffer, blob: Buffer): Promise<Buffer>
  /** RSA-OAEP of a bare ciphertext. @throws InvalidCiphertextException for whatever is wrong with it */
  decryptRsa(material: SealedMaterial, algorithm: RsaEncryptionAlgorithm, ciphertext: Buffer): Promise<Buffer>
  /** Decrypts and encrypts in the agent: the plaintext never reaches the gateway. @throws InvalidCiphertextException; PlaintextTooLong for an RSA destination */
  reencrypt(source: ReencryptSide, destination: ReencryptSide, blob: Buffer): Promise<Buffer>
  /**
   * Signs a digest of the algorithm's length or, where it has none, a message of 1 to 4,096 bytes. PKCS #1 and PSS as long as the modulus,
   * ECDSA in DER, Ed25519 64 bytes.
   */
  sign(material: SealedMaterial, algorithm: SigningAlgorithm, signed: Buffer): Promise<Buffer>
  /** Verifies what node:crypto does not know: ML-DSA, and Ed25519ph with a key of Ed25519; `signature` has the length of the key's. @throws MaterialRefused when `spki` is another's */
  verify(material: SealedMaterial, spki: Buffer, message: Buffer, signature: Buffer): Promise<boolean>
  /** ML-KEM: a new secret of 32 bytes, and the ciphertext of which the key makes the same. @throws MaterialRefused when `spki` is another's */
  encapsulate(material: SealedMaterial, spki: Buffer): Promise<SharedSecret>
  /** The secret of a ciphertext of the key's length; of one that was not made for the key, 32 bytes that nobody else knows. @throws InvalidCiphertextException where the token has none */
  decapsulate(material: SealedMaterial, ciphertext: Buffer): Promise<Buffer>
  /** ECDH with a public key that pointOf takes for the key's curve: the x coordinate, as long as the curve's. */
  deriveSecret(material: SealedMaterial, spki: Buffer): Promise<Buffer>
  /** The public key, once the HSM has found the row authentic that holds its digest. @throws MaterialRefused when it is another's */
  publicKey(material: SealedMaterial, spki: Buffer): Promise<PublicKey>
  /** HMAC of 1 to 4,096 bytes with the one hash of the key's spec: the whole MAC, 28 to 64 bytes. */
  mac(material: SealedMaterial, message: Buffer): Promise<Buffer>
  /** 1 to 1,024 bytes of C_GenerateRandom. */
  random(length: number): Promise<Buffer>
  /** Makes the key. `again` says that an earlier attempt with this plan may have got to the HSM: a resident object is then looked for first. */
  create(plan: MaterialPlan, again: boolean): Promise<MadeMaterial>
  /** Seals a credential (at most 4,096 bytes) under a service key; `aad` binds it to its owner. */
  seal(material: SealedMaterial, aad: Buffer, secret: Buffer): Promise<Buffer>
  /** @throws SealBroken when the bytes were not sealed with this key and aad. */
  unseal(material: SealedMaterial, aad: Buffer, sealed: Buffer): Promise<Buffer>
}

/** No usable token, or no answer in time. The pipeline turns it into the error that the operation models. */
export class HsmUnavailable extends Error {
  override readonly name = 'HsmUnavailable'
  readonly reason: 'unavailable' | 'deadline' | 'busy'

  constructor(reason: 'unavailable' | 'deadline' | 'busy', message: string) {
    super(message)
    this.reason = reason
  }
}

/** A material row whose MAC is not the token's: someone changed the database. Raises an alarm, uses no key. */
export class MaterialRefused extends Error {
  override readonly name = 'MaterialRefused'
}

export class SealBroken extends Error {
  override readonly name = 'SealBroken'
}

/** What a ciphertext holds does not fit the RSA key to which it was to be encrypted again. */
export class PlaintextTooLong extends Error {
  override readonly name = 'PlaintextTooLong'
}
