// RSA signatures over a digest: what is signed (RFC 8017, 8.2 and 8.1), and their verification by the public operation of node:crypto,
// which by itself verifies messages only. All of it is public.
import { constants, createHash, publicDecrypt, type KeyObject } from 'node:crypto'
import { mgf1 } from './mgf1.ts'

export type SignatureHash = 'sha256' | 'sha384' | 'sha512'

/** DigestInfo up to the digest: SEQUENCE { SEQUENCE { OID, NULL }, OCTET STRING }. */
const prefixes: Readonly<Record<SignatureHash, Buffer>> = {
  sha256: Buffer.from('3031300d060960864801650304020105000420', 'hex'),
  sha384: Buffer.from('3041300d060960864801650304020205000430', 'hex'),
  sha512: Buffer.from('3051300d060960864801650304020305000440', 'hex'),
}

export const digestInfo = (hash: SignatureHash, digest: Buffer): Buffer => Buffer.concat([prefixes[hash], digest])

/** The whole encoded message is compared, so that nothing can hide in its padding. */
export function verifyPkcs1(key: KeyObject, hash: SignatureHash, digest: Buffer, signature: Buffer): boolean {
  const encoded = opened(key, signature)
  if (encoded === undefined) return false
  const info = digestInfo(hash, digest)
  const padding = Buffer.alloc(encoded.length - info.length - 3, 0xff)
  return Buffer.concat([Buffer.from([0, 1]), padding, Buffer.from([0]), info]).equals(encoded)
}

/** The salt is as long as the digest, as AWS makes and demands it; MGF1 uses the same hash. */
export function verifyPss(key: KeyObject, hash: SignatureHash, digest: Buffer, signature: Buffer): boolean {
  const encoded = opened(key, signature)
  if (encoded === undefined || encoded.at(-1) !== 0xbc || (encoded[0] ?? 0) >= 0x80) return false
  const block = encoded.subarray(0, -digest.length - 1)
  const proof = encoded.subarray(-digest.length - 1, -1)
  const mask = mgf1(hash, proof, block.length)
  const unmasked = block.map((byte, at) => byte ^ (mask[at] ?? 0))
  // The modulus has a whole number of bytes, so that one bit more than the encoded message has.
  unmasked[0] = (unmasked[0] ?? 0) & 0x7f
  const salt = unmasked.subarray(-digest.length)
  const filling = unmasked.subarray(0, -digest.length)
  if (filling.at(-1) !== 1 || filling.subarray(0, -1).some(byte => byte !== 0)) return false
  return createHash(hash).update(Buffer.alloc(8)).update(digest).update(salt).digest().equals(proof)
}

/** Of keys whose modulus has a whole number of bytes, as those of KMS have. */
export const modulusBytes = (key: KeyObject): number => (key.asymmetricKeyDetails?.modulusLength ?? 0) / 8

/** The encoded message, as long as the modulus, or undefined for what is no number below it of its length. */
function opened(key: KeyObject, signature: Buffer): Buffer | undefined {
  if (signature.length !== modulusBytes(key)) return undefined
  try {
    return publicDecrypt({ key, padding: constants.RSA_NO_PADDING }, signature)
  } catch {
    return undefined
  }
}
