// Unpadding of RSA-OAEP (RFC 8017, 7.1.2) for tokens that lack it with SHA-256: the token gives the encoded message, this file takes it
// apart. Whoever can tell why a message was refused can decrypt with the key (Manger, 2001), so until the one accept bit at the end no
// branch, no index and no exception depends on a byte of it: every loop runs over a length that the key's size fixes, every decision is a
// mask. JIT and garbage collection make that best effort; docs/security-model.md says so.
import { createHash } from 'node:crypto'
import { invalidCiphertext } from '../../keys/ciphertext.ts'
import { mgf1 } from '../../keys/mgf1.ts'

type OaepHash = 'sha1' | 'sha256'

/** -1 where two bytes are equal, 0 where they are not. */
const same = (a: number, b: number): number => ((a ^ b) - 1) >> 31

/**
 * The message in an encoded message, which is as long as the modulus. The label is empty, MGF1 has the same hash.
 * @throws InvalidCiphertextException, one for all that can be wrong
 */
export function unpadOaep(hash: OaepHash, encoded: Uint8Array): Buffer {
  const labelHash = createHash(hash).digest()
  const h = labelHash.length
  const block = Uint8Array.from(encoded.subarray(1 + h))
  const seed = Uint8Array.from(encoded.subarray(1, 1 + h))
  unmask(seed, mgf1(hash, block, h))
  unmask(block, mgf1(hash, seed, block.length))

  let wrong = byteAt(encoded, 0)
  for (let i = 0; i < h; i++) wrong |= byteAt(block, i) ^ byteAt(labelHash, i)
  // Behind the label's hash: zeroes, a one, the message.
  const rest = block.subarray(h)
  let searching = -1
  let start = 0
  for (let i = 0; i < rest.length; i++) {
    const isOne = same(byteAt(rest, i), 1)
    const isZero = same(byteAt(rest, i), 0)
    start |= (i + 1) & searching & isOne
    wrong |= searching & ~isOne & ~isZero & 1
    searching &= isZero
  }
  wrong |= searching & 1

  const message = Buffer.from(rest)
  shiftLeft(message, start)
  const accepted = same(wrong, 0)
  block.fill(0)
  seed.fill(0)
  if (accepted === 0) {
    message.fill(0)
    throw invalidCiphertext()
  }
  return message.subarray(0, rest.length - start)
}

function unmask(bytes: Uint8Array, mask: Buffer): void {
  for (let i = 0; i < bytes.length; i++) bytes[i] = byteAt(bytes, i) ^ byteAt(mask, i)
  mask.fill(0)
}

/** Moves all bytes `by` places to the front: in steps of a power of two, each made or not by a mask. */
function shiftLeft(bytes: Buffer, by: number): void {
  for (let bit = 0; 1 << bit <= bytes.length; bit++) {
    const mask = -((by >> bit) & 1)
    for (let i = 0; i < bytes.length; i++) bytes[i] = (byteAt(bytes, i) & ~mask) | (byteAt(bytes, i + (1 << bit)) & mask)
  }
}

/** 0 past the end. */
const byteAt = (bytes: Uint8Array, at: number): number => bytes[at] ?? 0
