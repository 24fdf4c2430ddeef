// The ciphertext format. It cannot change once data exists: test/keys/golden/ keeps one file a version for ever.
//
//   version 1 | mode 1 | flags 1 | key id 16 | material id 32 | backing number 4 | IV or nonce | ciphertext | tag 16
//
// The mode alone fixes the length of the IV. Whatever does not fit is InvalidCiphertextException, and nothing says why.
import { KmsError } from '../errors.ts'

export const ciphertextVersion = 1
/**
 * direct: AES-256-GCM in the HSM with a 12-byte IV. derived: a message key from a 16-byte nonce. direct16: as direct, by a token that
 * makes its own IV of 16 bytes.
 */
export const cipherModes = { direct: { code: 1, ivBytes: 12 }, derived: { code: 2, ivBytes: 16 }, direct16: { code: 3, ivBytes: 16 } } as const
export type CipherMode = keyof typeof cipherModes
/** What a material is made for: a direct one opens direct and direct16 ciphertexts alike, whichever token made them. */
export const materialModes = ['direct', 'derived'] as const
export type MaterialMode = (typeof materialModes)[number]
export const materialMode = (mode: CipherMode): MaterialMode => (mode === 'derived' ? 'derived' : 'direct')

export const tagBytes = 16
const fixedHeaderBytes = 1 + 1 + 1 + 16 + 32 + 4
const multiRegionFlag = 1

export interface CiphertextHeader {
  readonly mode: CipherMode
  readonly multiRegion: boolean
  /** 16 bytes, see keyIdBytes. */
  readonly keyId: Buffer
  /** 32 bytes. */
  readonly materialId: Buffer
  readonly backing: number
  /** 12 bytes in direct mode, 16 in the others. */
  readonly iv: Buffer
}

export interface Ciphertext {
  readonly header: CiphertextHeader
  /** The header exactly as it stands in the blob: its bytes are authenticated, not their parsed form. */
  readonly headerBytes: Buffer
  /** Ciphertext and 16-byte tag. */
  readonly sealed: Buffer
}

export const headerBytes = (mode: CipherMode): number => fixedHeaderBytes + cipherModes[mode].ivBytes

/** The header of a new ciphertext, 67 bytes in direct mode, 71 in derived mode. */
export function encodeHeader(header: CiphertextHeader): Buffer {
  const { code, ivBytes } = cipherModes[header.mode]
  if (header.keyId.length !== 16 || header.materialId.length !== 32 || header.iv.length !== ivBytes) throw new RangeError('ciphertext header')
  const bytes = Buffer.allocUnsafe(fixedHeaderBytes + ivBytes)
  bytes[0] = ciphertextVersion
  bytes[1] = code
  bytes[2] = header.multiRegion ? multiRegionFlag : 0
  header.keyId.copy(bytes, 3)
  header.materialId.copy(bytes, 19)
  bytes.writeUInt32BE(header.backing, 51)
  header.iv.copy(bytes, fixedHeaderBytes)
  return bytes
}

/**
 * Takes a blob apart. The blob is the caller's: every byte of it is hostile until the tag has been checked in the HSM.
 * @throws InvalidCiphertextException
 */
export function parseCiphertext(blob: Buffer): Ciphertext {
  const mode = modesByCode.get(blob[1])
  if (blob[0] !== ciphertextVersion || mode === undefined || (blob[2] ?? 2) > multiRegionFlag) throw invalidCiphertext()
  const length = headerBytes(mode)
  // A plaintext has at least one byte, so has its ciphertext.
  if (blob.length < length + 1 + tagBytes) throw invalidCiphertext()
  return {
    header: {
      mode,
      multiRegion: blob[2] === multiRegionFlag,
      keyId: blob.subarray(3, 19),
      materialId: blob.subarray(19, 51),
      backing: blob.readUInt32BE(51),
      iv: blob.subarray(fixedHeaderBytes, length),
    },
    headerBytes: blob.subarray(0, length),
    sealed: blob.subarray(length),
  }
}

const aadLabel = Buffer.from('trent/ct/1')

/**
 * The additional authenticated data of a ciphertext: label, header as it stands in the blob up to the IV, encoded context (see
 * encodeContext). The IV or nonce is left out: the cipher itself depends on it, and a token that makes its own tells it only
 * afterwards. `header` may be with or without it.
 */
export const ciphertextAad = (header: Buffer, context: Buffer): Buffer => Buffer.concat([aadLabel, header.subarray(0, fixedHeaderBytes), context])

/** AWS sends no text with it, so that nothing tells a damaged blob from a wrong context. */
export const invalidCiphertext = (): KmsError => new KmsError('InvalidCiphertextException')

const modesByCode: ReadonlyMap<number | undefined, CipherMode> = new Map([
  [cipherModes.direct.code, 'direct'], [cipherModes.derived.code, 'derived'], [cipherModes.direct16.code, 'direct16'],
])
