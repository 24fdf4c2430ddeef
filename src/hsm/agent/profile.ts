// What differs between vendors, as data. A new vendor is one more literal here.

export interface Profile {
  readonly name: string
  /** Mechanism that wraps keys under the domain key as RFC 5649 (AES-KWP). */
  readonly wrapMechanism: number
  /** Hash of RSA-OAEP in the domain ceremony. */
  readonly oaepHash: 'SHA-1' | 'SHA-256'
  /** CKR values of C_Decrypt that mean a bad tag and nothing else. */
  readonly badTag: readonly number[]
  /** CKR values of C_Decrypt that may mean a bad tag or a broken device: a canary on the same session decides. */
  readonly ambiguous: readonly number[]
  /** Whether CKA_ALLOWED_MECHANISMS may stand in a template. */
  readonly allowedMechanisms: boolean
  /** What may go wrong once at C_Initialize or C_Login and is well a moment later. */
  readonly bootRetries: number
}

const softhsm: Profile = {
  name: 'softhsm',
  // SoftHSM's CKM_AES_KEY_WRAP_PAD is RFC 5649; it has no 0x210B.
  wrapMechanism: 0x210a,
  // OAEP with SHA-256 is CKR_ARGUMENTS_BAD up to 2.6.1.
  oaepHash: 'SHA-1',
  badTag: [0x40, 0x41, 0x42],
  // 2.6.1 says CKR_GENERAL_ERROR for a bad tag, 2.7.0 CKR_ENCRYPTED_DATA_INVALID.
  ambiguous: [0x05, 0x06],
  allowedMechanisms: true,
  // C_Login rewrites token.object: processes that start together see no token for a moment.
  bootRetries: 5,
}

export const profiles: ReadonlyMap<string, Profile> = new Map([softhsm].map(profile => [profile.name, profile]))
