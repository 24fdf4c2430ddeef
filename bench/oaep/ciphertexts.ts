// Ciphertexts of an RSA key whose encoded messages are wrong in one way each, or in none: who has the public key can make all of them.
import { constants, createHash, publicEncrypt, randomBytes, type KeyObject } from 'node:crypto'
import type * as Mgf1 from '../../src/keys/mgf1.ts'

export type Hash = 'sha1' | 'sha256'

/** What is wrong, in the order in which RFC 8017, 7.1.2 looks. */
export const kinds = ['octet', 'label', 'filling', 'separator', 'all'] as const
export type Kind = (typeof kinds)[number]

export const titles: Readonly<Record<Kind, string>> = {
  octet: 'the first octet is not zero', label: 'the hash of the label is another', filling: 'neither zero nor one before the message', separator: 'no one before the end',
  all: 'nothing is right',
}

/** Of a random message of 32 bytes; `kind` undefined: a good one. */
export function ciphertextOf(key: KeyObject, bytes: number, hash: Hash, kind: Kind | undefined, mgf1: typeof Mgf1.mgf1): Buffer {
  const padded = encoded(bytes, hash, kind, mgf1)
  return publicEncrypt({ key, padding: constants.RSA_NO_PADDING }, padded)
}

/** The encoded message before it is encrypted, as long as the modulus. */
export function encoded(bytes: number, hash: Hash, kind: Kind | undefined, mgf1: typeof Mgf1.mgf1): Buffer {
  if (kind === 'all') return Buffer.concat([Buffer.from([1]), randomBytes(bytes - 1)])
  const label = createHash(hash).digest()
  if (kind === 'label') label[0] = (label[0] ?? 0) ^ 1
  const message = randomBytes(32)
  const filling = Buffer.alloc(bytes - 2 - 2 * label.length - message.length)
  if (kind === 'filling') filling[filling.length >> 1] = 2
  const block = kind === 'separator' ? Buffer.concat([label, Buffer.alloc(bytes - 1 - 2 * label.length)]) : Buffer.concat([label, filling, Buffer.from([1]), message])
  const seed = randomBytes(label.length)
  const masked = xor(block, mgf1(hash, seed, block.length))
  // Below every modulus of this length.
  return Buffer.concat([Buffer.from([kind === 'octet' ? 1 : 0]), xor(seed, mgf1(hash, masked, seed.length)), masked])
}

const xor = (one: Buffer, other: Buffer): Buffer => Buffer.from(one.map((byte, at) => byte ^ (other[at] ?? 0)))
