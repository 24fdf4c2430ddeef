// RSA-OAEP with a public key, by node:crypto: MGF1 has the same hash, the label is empty.
import { constants, publicEncrypt } from 'node:crypto'
import type { PublicKey } from './public-key.ts'
import { keySpecs, rsaEncryptionAlgorithms, type KeySpecName, type RsaEncryptionAlgorithm } from './spec.ts'

/** The longest plaintext, bytes: 214 for RSA_2048 with SHA-1. 0 for what is no RSA key. */
export function oaepLimit(spec: KeySpecName, algorithm: RsaEncryptionAlgorithm): number {
  const { built } = keySpecs[spec]
  return built?.kind === 'rsa' ? built.modulusBytes - 2 * rsaEncryptionAlgorithms[algorithm].hashBytes - 2 : 0
}

export const fitsOaep = (spec: KeySpecName, algorithm: RsaEncryptionAlgorithm, bytes: number): boolean => bytes <= oaepLimit(spec, algorithm)

/** A ciphertext as long as the modulus. `plaintext` fits. */
export const encryptOaep = ({ key }: PublicKey, algorithm: RsaEncryptionAlgorithm, plaintext: Buffer): Buffer =>
  publicEncrypt({ key, padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: rsaEncryptionAlgorithms[algorithm].hash }, plaintext)
