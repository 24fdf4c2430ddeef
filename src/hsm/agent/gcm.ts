// AES-GCM in the HSM with the ciphertext format around it, and the sealing of credentials. One direction stands under the
// other in the same order, so that the eye can compare them.
import type { Handle } from 'pkcs11js'
import { cipherModes, ciphertextAad, encodeHeader, invalidCiphertext, materialMode, parseCiphertext, type CipherMode } from '../../keys/ciphertext.ts'
import { decryptDerived, encryptDerived } from './derived.ts'
import type { NamedKey } from './named-key.ts'
import type { GcmIv } from './profile.ts'
import type { Session } from './session.ts'
import { mechanisms } from './template.ts'
import { Fatal } from './token.ts'

/** A session, and where its token's IVs come from. */
export interface GcmDevice {
  readonly session: Session
  readonly profile: { readonly gcmIv: GcmIv }
}

/** The mode of what a token encrypts, by where its IV comes from. */
const modes: Readonly<Record<GcmIv, CipherMode>> = { host: 'direct', written: 'direct', appended: 'direct16' }

/** A random 96-bit IV bounds a key at 2^32 messages; whoever makes it, it is random. */
export function encryptBlob(device: GcmDevice, key: NamedKey, context: Buffer, plaintext: Buffer): Buffer {
  if (key.mode === 'derived') return encryptDerived(device.session, key, context, plaintext)
  const { handle, name } = key
  const mode = modes[device.profile.gcmIv]
  // The AAD ends before the IV, so that it can be made before a token has made its own.
  const blank = { ...name, mode, iv: Buffer.alloc(cipherModes[mode].ivBytes) }
  const aad = ciphertextAad(encodeHeader(blank), context)
  const { iv, sealed } = sealWith(device, handle, aad, plaintext)
  return Buffer.concat([encodeHeader({ ...blank, iv }), sealed])
}

/**
 * A blob opens only under the material that its authenticated header names, so that GCM's lack of key commitment is harmless:
 * no second key is ever tried.
 * @throws InvalidCiphertextException before the HSM is asked; Fault from the HSM.
 */
export function decryptBlob({ session }: GcmDevice, key: NamedKey, context: Buffer, blob: Buffer): Buffer {
  const { handle, name } = key
  const ciphertext = parseCiphertext(blob)
  const { header, headerBytes, sealed } = ciphertext
  const named = materialMode(header.mode) === key.mode && header.multiRegion === name.multiRegion && header.backing === name.backing
    && header.keyId.equals(name.keyId) && header.materialId.equals(name.materialId)
  if (!named) throw invalidCiphertext()
  if (key.mode === 'derived') return decryptDerived(session, key, context, ciphertext)
  const iv = Buffer.from(header.iv)
  const aad = ciphertextAad(headerBytes, context)
  return session.decrypt(mechanisms.aesGcm(iv, aad), handle, sealed)
}

const sealLabel = Buffer.from('trent/seal/1')
const sealIvBytes = 16
const tagBytes = 16

/** IV length 1, IV 16 (a shorter one is followed by zeroes), ciphertext, tag 16. */
export function seal(device: GcmDevice, key: Handle, aad: Buffer, secret: Buffer): Buffer {
  const { iv, sealed } = sealWith(device, key, Buffer.concat([sealLabel, aad]), secret)
  return Buffer.concat([Buffer.from([iv.length]), iv, Buffer.alloc(sealIvBytes - iv.length), sealed])
}

/** @throws Fault from the HSM, or InvalidCiphertextException for what seal() cannot have made. */
export function unseal({ session }: GcmDevice, key: Handle, aad: Buffer, sealed: Buffer): Buffer {
  const ivBytes = sealed[0] ?? 0
  if (sealed.length < 1 + sealIvBytes + 1 + tagBytes || (ivBytes !== 12 && ivBytes !== sealIvBytes)) throw invalidCiphertext()
  if (sealed.subarray(1 + ivBytes, 1 + sealIvBytes).some(byte => byte !== 0)) throw invalidCiphertext()
  const iv = Buffer.from(sealed.subarray(1, 1 + ivBytes))
  return session.decrypt(mechanisms.aesGcm(iv, Buffer.concat([sealLabel, aad])), key, sealed.subarray(1 + sealIvBytes))
}

/**
 * The three conventions for the IV: Trent draws it from the token, the token writes it into the parameters, the token appends it.
 * @throws Fatal for a token that does not make an IV where its profile says that it does
 */
export function sealWith({ session, profile: { gcmIv } }: GcmDevice, key: Handle, aad: Buffer, plaintext: Buffer): { iv: Buffer; sealed: Buffer } {
  if (gcmIv === 'appended') {
    const out = session.encrypt(mechanisms.aesGcm(Buffer.alloc(0), aad), key, plaintext)
    const end = plaintext.length + tagBytes
    if (out.length !== end + cipherModes.direct16.ivBytes) throw noIv('appends no IV to its output')
    return { iv: out.subarray(end), sealed: out.subarray(0, end) }
  }
  // The token fills in zeroes; the Buffer must live until C_Encrypt has returned.
  const iv = gcmIv === 'host' ? session.random(cipherModes.direct.ivBytes) : Buffer.alloc(cipherModes.direct.ivBytes)
  const sealed = session.encrypt(mechanisms.aesGcm(iv, aad), key, plaintext)
  // A token that left the zeroes would use one IV for ever: two plaintexts under one IV give both away.
  if (gcmIv === 'written' && iv.every(byte => byte === 0)) throw noIv('writes no IV into its parameters')
  return { iv, sealed }
}

const noIv = (what: string): Fatal => new Fatal('token', `AES-GCM: the token ${what}, though its hsm.tokens.profile says that it does`)
