// AES-GCM in the HSM with the ciphertext format around it, and the sealing of credentials. One direction stands under the
// other in the same order, so that the eye can compare them.
import type { Handle } from 'pkcs11js'
import { cipherModes, ciphertextAad, encodeHeader, invalidCiphertext, parseCiphertext, type CiphertextHeader } from '../../keys/ciphertext.ts'
import type { Session } from './session.ts'
import { mechanisms } from './template.ts'

/** What of an authenticated row stands in the header of each of its ciphertexts. */
export type MaterialName = Omit<CiphertextHeader, 'iv'>

const ivBytes = cipherModes.direct.ivBytes

/** The IV comes from the token: random 96 bits, which bounds a key at 2^32 messages. */
export function encryptBlob(session: Session, key: Handle, name: MaterialName, context: Buffer, plaintext: Buffer): Buffer {
  const iv = session.random(ivBytes)
  const header = encodeHeader({ ...name, iv })
  const aad = ciphertextAad(header, context)
  return Buffer.concat([header, session.encrypt(mechanisms.aesGcm(iv, aad), key, plaintext)])
}

/**
 * A blob opens only under the material that its authenticated header names, so that GCM's lack of key commitment is harmless:
 * no second key is ever tried.
 * @throws InvalidCiphertextException before the HSM is asked; Fault from the HSM.
 */
export function decryptBlob(session: Session, key: Handle, name: MaterialName, context: Buffer, blob: Buffer): Buffer {
  const { header, headerBytes, sealed } = parseCiphertext(blob)
  const named = header.mode === name.mode && header.multiRegion === name.multiRegion && header.backing === name.backing
    && header.keyId.equals(name.keyId) && header.materialId.equals(name.materialId)
  if (!named) throw invalidCiphertext()
  const iv = Buffer.from(header.iv)
  const aad = ciphertextAad(headerBytes, context)
  return session.decrypt(mechanisms.aesGcm(iv, aad), key, sealed)
}

const sealLabel = Buffer.from('trent/seal/1')

/** IV 12, ciphertext, tag 16. */
export function seal(session: Session, key: Handle, aad: Buffer, secret: Buffer): Buffer {
  const iv = session.random(ivBytes)
  return Buffer.concat([iv, session.encrypt(mechanisms.aesGcm(iv, Buffer.concat([sealLabel, aad])), key, secret)])
}

/** @throws Fault from the HSM, or InvalidCiphertextException for what is too short to be sealed. */
export function unseal(session: Session, key: Handle, aad: Buffer, sealed: Buffer): Buffer {
  if (sealed.length < ivBytes + 17) throw invalidCiphertext()
  const iv = Buffer.from(sealed.subarray(0, ivBytes))
  return session.decrypt(mechanisms.aesGcm(iv, Buffer.concat([sealLabel, aad])), key, sealed.subarray(ivBytes))
}
