// RSA-OAEP in the HSM, and the encryption to another's public key that ReEncrypt needs where the plaintext is.
import { createHash } from 'node:crypto'
import { invalidCiphertext } from '../../keys/ciphertext.ts'
import { readPublicKey } from '../../keys/public-key.ts'
import { encryptOaep, fitsOaep } from '../../keys/rsa-encryption.ts'
import { keySpecs, rsaEncryptionAlgorithms, type RsaEncryptionAlgorithm } from '../../keys/spec.ts'
import type { Device } from './device.ts'
import { FrameError } from './frames.ts'
import type { OpenKey } from './keys-in-use.ts'
import { unpadOaep } from './oaep.ts'
import { Refused } from './refused.ts'
import type { Session } from './session.ts'
import { mechanisms } from './template.ts'
import { TooLong } from './too-long.ts'

const byNumber: ReadonlyMap<number | undefined, RsaEncryptionAlgorithm> = new Map(
  Object.entries(rsaEncryptionAlgorithms).map(([name, { number }]) => [number, name as RsaEncryptionAlgorithm]))

export const isRsa = ({ spec }: OpenKey): boolean => keySpecs[spec].built?.kind === 'rsa'

/** `number`: the algorithm's, one byte. @throws InvalidCiphertextException for whatever is wrong in the ciphertext; FrameError; Fault from the HSM */
export function decryptRsa({ session, profile }: Device, { handle, spec }: OpenKey, number: Buffer, ciphertext: Buffer): Buffer {
  const algorithm = algorithmOf(number)
  const { built } = keySpecs[spec]
  if (built?.kind !== 'rsa' || ciphertext.length !== built.modulusBytes) throw invalidCiphertext()
  const plaintext = algorithm === 'RSAES_OAEP_SHA_1' || profile.oaepSha256
    ? session.decrypt(mechanisms.oaep(algorithm === 'RSAES_OAEP_SHA_1' ? 'SHA-1' : 'SHA-256'), handle, ciphertext)
    : decryptRaw(session, handle, ciphertext)
  // No plaintext of the API is empty.
  if (plaintext.length === 0) throw invalidCiphertext()
  return plaintext
}

function decryptRaw(session: Session, handle: OpenKey['handle'], ciphertext: Buffer): Buffer {
  const raw = session.decrypt(mechanisms.rsaRaw(), handle, ciphertext)
  // A token that leaves out leading zeroes tells by the length what every good message has: one.
  const encoded = Buffer.alloc(ciphertext.length)
  raw.copy(encoded, encoded.length - raw.length)
  raw.fill(0)
  try {
    return unpadOaep('sha256', encoded)
  } finally {
    encoded.fill(0)
  }
}

/** `parameter`: the algorithm's number and the SubjectPublicKeyInfo, which counts only as the authenticated row has it. @throws TooLong, Refused, FrameError */
export function encryptRsa({ spkiDigest, spec }: OpenKey, parameter: Buffer, plaintext: Buffer): Buffer {
  const algorithm = algorithmOf(parameter.subarray(0, 1))
  const spki = parameter.subarray(1)
  const publicKey = createHash('sha256').update(spki).digest().equals(spkiDigest) ? readPublicKey(spki) : undefined
  if (publicKey === undefined) throw new Refused('the public key is not the one that the material row names')
  if (!fitsOaep(spec, algorithm, plaintext.length)) throw new TooLong()
  return encryptOaep(publicKey, algorithm, plaintext)
}

function algorithmOf(number: Buffer): RsaEncryptionAlgorithm {
  const algorithm = number.length === 1 ? byNumber.get(number[0]) : undefined
  if (algorithm === undefined) throw new FrameError('encryption algorithm')
  return algorithm
}
