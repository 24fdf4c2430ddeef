// Verification with a public key: of a message, which node:crypto hashes, and of what the HSM signs, which is most often a digest that
// node:crypto would hash once more.
import { constants, verify } from 'node:crypto'
import { verifyEcdsa } from './ecdsa.ts'
import { pointOf, type PublicKey } from './public-key.ts'
import { modulusBytes, verifyPkcs1, verifyPss } from './rsa-signature.ts'
import { digestSigning, keySpecs, signsDigests, type DigestSigning, type KeySpecName, type SigningAlgorithm } from './spec.ts'

const paddings = {
  pkcs1: { padding: constants.RSA_PKCS1_PADDING },
  pss: { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: constants.RSA_PSS_SALTLEN_DIGEST },
  ecdsa: { dsaEncoding: 'der' },
} as const

/** Of ML-DSA and Ed25519ph the HSM verifies: see Hsm.verify. */
export function verifyMessage({ key }: PublicKey, algorithm: SigningAlgorithm, message: Buffer, signature: Buffer): boolean {
  if (!signsDigests(algorithm)) return verify(null, message, key, signature)
  const { scheme, hash } = digestSigning[algorithm]
  // OpenSSL takes a signature whose first zeroes are cut; RFC 8017, 8.1.2 and 8.2.2, does not.
  if (scheme !== 'ecdsa' && signature.length !== modulusBytes(key)) return false
  return verify(hash, message, { key, ...paddings[scheme] }, signature)
}

/** `signed`: a digest of the length that the algorithm demands or, where it has none, the message. */
export const verifySigned = (spec: KeySpecName, publicKey: PublicKey, algorithm: SigningAlgorithm, signed: Buffer, signature: Buffer): boolean =>
  signsDigests(algorithm) ? verifyDigest(spec, publicKey, algorithm, signed, signature) : verifyMessage(publicKey, algorithm, signed, signature)

function verifyDigest(spec: KeySpecName, { spki, key }: PublicKey, algorithm: DigestSigning, digest: Buffer, signature: Buffer): boolean {
  const { scheme, hash } = digestSigning[algorithm]
  if (scheme === 'pkcs1') return verifyPkcs1(key, hash, digest, signature)
  if (scheme === 'pss') return verifyPss(key, hash, digest, signature)
  const { built } = keySpecs[spec]
  const point = built?.kind === 'ec' ? pointOf(built.curve, spki) : undefined
  return built?.kind === 'ec' && point !== undefined && verifyEcdsa(built.curve, point, digest, signature)
}
