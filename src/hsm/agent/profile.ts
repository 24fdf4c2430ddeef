// What differs between vendors, as data. A new vendor is one more literal here. SoftHSM's, NSS's and Kryoptic's rows are measured; the others
// are from the vendors' documents and untested: no such device was at hand.
import { ckr } from './ckr.ts'
import type { FaultClass } from './fault-class.ts'

/** Where the IV of AES-GCM comes from: C_GenerateRandom, written by the token into the parameters, appended to its output. */
export type GcmIv = 'host' | 'written' | 'appended'

export interface Profile {
  readonly name: string
  /** Tried in this order: the first that a known answer shows to be RFC 5649. Numbers alone do not tell, see wrap-mechanism.ts. */
  readonly wrapMechanisms: readonly number[]
  /** Hash of RSA-OAEP in the domain ceremony. */
  readonly oaepHash: 'SHA-1' | 'SHA-256'
  /** Whether C_Decrypt has OAEP with SHA-256; without it the agent unpads, see oaep.ts. */
  readonly oaepSha256: boolean
  readonly gcmIv: GcmIv
  /** Whether CKA_ALLOWED_MECHANISMS may stand in a template. */
  readonly allowedMechanisms: boolean
  /** Whether the token takes CKA_UNWRAP_TEMPLATE; without it whoever has the PIN can unwrap keys as extractable. */
  readonly unwrapTemplate: boolean
  /** Whether a template that unwraps an EC private key must hold CKA_NSS_DB, of any value: NSS calls it incomplete without. */
  readonly nssDatabaseAttribute: boolean
  /** Whether CK_EDDSA_PARAMS.phFlag is heeded: SoftHSM takes it and makes a pure signature. Only what was measured may be true here. */
  readonly ed25519Prehash: boolean
  /** How `hsm init-token` makes a token usable: C_InitToken and C_InitPIN, C_InitPIN alone, or the vendor's own tools. */
  readonly initialisation: 'token' | 'pin' | 'vendor'
  /** CKR values that mean something else here than in fault-class.ts. */
  readonly faults: ReadonlyMap<number, FaultClass>
  /**
   * Whether CKF_USER_PIN_COUNT_LOW is set by every wrong PIN until the next login, for each process to see. PKCS #11 lets a token keep it
   * always clear: only what was measured, or the vendor's document says, may be true here.
   */
  readonly revealsPinState: boolean
  /** How often a start looks for a token, or logs in, that is not there at the first try. */
  readonly bootRetries: number
  /** Whether a second agent is kept logged in: not where logins and sessions are few, or paid for. hsm.tokens.standby says otherwise. */
  readonly standby: boolean
  /** How much an agent grows, and how often it unwraps, before it is replaced. */
  readonly recycle: { readonly growthBytes: number; readonly unwraps: number }
}

/**
 * SoftHSM loses 260 bytes for each session object, of which an unwrap makes one: a million are a quarter of a gigabyte. Others lose less or
 * nothing, and unwrap a thousand times an hour where keys are kept open; the bounds are for what a library may do wrong.
 */
const recycle = { growthBytes: 512 * 1024 * 1024, unwraps: 1_000_000 }

const CKM_AES_KEY_WRAP_PAD = 0x210a
const CKM_AES_KEY_WRAP_KWP = 0x210b
const CKM_CLOUDHSM_AES_KEY_WRAP_ZERO_PAD = 0x8000216f

const softhsm: Profile = {
  name: 'softhsm',
  // CKM_AES_KEY_WRAP_PAD is RFC 5649 here; there is no 0x210B.
  wrapMechanisms: [CKM_AES_KEY_WRAP_PAD],
  // OAEP with SHA-256 is CKR_ARGUMENTS_BAD up to 2.6.1.
  oaepHash: 'SHA-1',
  oaepSha256: false,
  gcmIv: 'host',
  allowedMechanisms: true,
  unwrapTemplate: true,
  nssDatabaseAttribute: false,
  ed25519Prehash: false,
  initialisation: 'token',
  faults: new Map(),
  revealsPinState: true,
  // C_Login rewrites token.object: processes that start together see no token for a moment.
  bootRetries: 5,
  standby: true,
  recycle,
}

const nss: Profile = {
  name: 'nss',
  // 0x210A is padding of PKCS #7 here, not RFC 5649.
  wrapMechanisms: [CKM_AES_KEY_WRAP_KWP],
  oaepHash: 'SHA-256',
  oaepSha256: true,
  gcmIv: 'host',
  // Taken and ignored.
  allowedMechanisms: false,
  unwrapTemplate: false,
  nssDatabaseAttribute: true,
  ed25519Prehash: false,
  initialisation: 'pin',
  faults: new Map(),
  revealsPinState: false,
  bootRetries: 2,
  standby: true,
  recycle,
}

const kryoptic: Profile = {
  name: 'kryoptic',
  wrapMechanisms: [CKM_AES_KEY_WRAP_KWP],
  oaepHash: 'SHA-256',
  oaepSha256: true,
  gcmIv: 'host',
  allowedMechanisms: true,
  unwrapTemplate: true,
  nssDatabaseAttribute: false,
  ed25519Prehash: true,
  initialisation: 'token',
  // Whatever OpenSSL refuses, a wrong OAEP padding too.
  faults: new Map<number, FaultClass>([[ckr.DEVICE_ERROR, 'ambiguous']]),
  revealsPinState: false,
  bootRetries: 2,
  standby: false,
  recycle,
}

const cloudhsm: Profile = {
  name: 'cloudhsm',
  wrapMechanisms: [CKM_CLOUDHSM_AES_KEY_WRAP_ZERO_PAD, CKM_AES_KEY_WRAP_KWP],
  oaepHash: 'SHA-256',
  oaepSha256: true,
  gcmIv: 'written',
  allowedMechanisms: false,
  unwrapTemplate: true,
  nssDatabaseAttribute: false,
  ed25519Prehash: false,
  initialisation: 'vendor',
  // How its client says that it is throttled.
  faults: new Map<number, FaultClass>([[ckr.FUNCTION_FAILED, 'busy'], [ckr.OPERATION_ACTIVE, 'busy']]),
  revealsPinState: false,
  bootRetries: 2,
  standby: false,
  recycle,
}

const luna: Profile = {
  name: 'luna',
  wrapMechanisms: [CKM_AES_KEY_WRAP_KWP, CKM_AES_KEY_WRAP_PAD],
  oaepHash: 'SHA-256',
  oaepSha256: true,
  // In FIPS mode the HSM makes the IV: 16 bytes behind ciphertext and tag.
  gcmIv: 'appended',
  allowedMechanisms: false,
  unwrapTemplate: true,
  nssDatabaseAttribute: false,
  ed25519Prehash: false,
  initialisation: 'vendor',
  faults: new Map(),
  revealsPinState: false,
  bootRetries: 2,
  standby: false,
  recycle,
}

const nshield: Profile = {
  name: 'nshield',
  wrapMechanisms: [CKM_AES_KEY_WRAP_KWP, CKM_AES_KEY_WRAP_PAD],
  oaepHash: 'SHA-256',
  oaepSha256: true,
  gcmIv: 'host',
  allowedMechanisms: true,
  unwrapTemplate: true,
  nssDatabaseAttribute: false,
  ed25519Prehash: false,
  initialisation: 'vendor',
  faults: new Map(),
  revealsPinState: false,
  bootRetries: 2,
  standby: false,
  recycle,
}

const generic: Profile = { ...nshield, name: 'generic', allowedMechanisms: false }

export const profiles: ReadonlyMap<string, Profile> = new Map([softhsm, nss, kryoptic, cloudhsm, luna, nshield, generic].map(profile => [profile.name, profile]))
