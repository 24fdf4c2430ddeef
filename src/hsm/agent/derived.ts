// Derived mode: the token's key only signs. Each message has a key of its own, derived in the HSM from a 128-bit random nonce, and is
// encrypted with it here in the agent. No counter is needed: 2^48 messages a key. The message key leaves the HSM and protects one
// message whose plaintext this process holds anyway; the key that made it does not.
//
// K = SP 800-108r1 counter mode, one block: HMAC-SHA-256(key, [1]32 | label | 0x00 | material id | nonce | [256]32).
import { createCipheriv, createDecipheriv } from 'node:crypto'
import type { Handle } from 'pkcs11js'
import { cipherModes, ciphertextAad, encodeHeader, invalidCiphertext, tagBytes, type Ciphertext } from '../../keys/ciphertext.ts'
import type { NamedKey } from './named-key.ts'
import type { Session } from './session.ts'
import { mechanisms } from './template.ts'

const label = Buffer.from('trent/message-key/1')
const messageKeyBytes = 32
/** A message key is used once, so its IV may be the same always. */
const messageIv = Buffer.alloc(12)

export function encryptDerived(session: Session, { handle, name }: NamedKey, context: Buffer, plaintext: Buffer): Buffer {
  const nonce = session.random(cipherModes.derived.ivBytes)
  const header = encodeHeader({ ...name, mode: 'derived', iv: nonce })
  const key = messageKey(session, handle, name.materialId, nonce)
  try {
    const cipher = createCipheriv('aes-256-gcm', key, messageIv)
    cipher.setAAD(ciphertextAad(header, context))
    return Buffer.concat([header, cipher.update(plaintext), cipher.final(), cipher.getAuthTag()])
  } finally {
    key.fill(0)
  }
}

/** @throws InvalidCiphertextException */
export function decryptDerived(session: Session, { handle, name }: NamedKey, context: Buffer, { header, headerBytes, sealed }: Ciphertext): Buffer {
  const key = messageKey(session, handle, name.materialId, header.iv)
  try {
    const decipher = createDecipheriv('aes-256-gcm', key, messageIv)
    decipher.setAAD(ciphertextAad(headerBytes, context)).setAuthTag(sealed.subarray(-tagBytes))
    const opened = decipher.update(sealed.subarray(0, -tagBytes))
    return authentic(() => decipher.final()) ? opened : refuse(opened)
  } finally {
    key.fill(0)
  }
}

function messageKey(session: Session, handle: Handle, materialId: Buffer, nonce: Buffer): Buffer {
  const input = Buffer.concat([u32(1), label, Buffer.from([0]), materialId, nonce, u32(8 * messageKeyBytes)])
  return session.sign(mechanisms.hmacSha256(), handle, input, messageKeyBytes)
}

/** final() throws when the tag is wrong, and has no bytes left to give. */
function authentic(final: () => Buffer): boolean {
  try {
    final()
    return true
  } catch {
    return false
  }
}

function refuse(unauthentic: Buffer): never {
  unauthentic.fill(0)
  throw invalidCiphertext()
}

function u32(value: number): Buffer {
  const bytes = Buffer.allocUnsafe(4)
  bytes.writeUInt32BE(value)
  return bytes
}
