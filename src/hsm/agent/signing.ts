// Signatures in the HSM, over digests where there is a choice: every token has the mechanisms for that, whereas those that hash differ.
import type { Handle } from 'pkcs11js'
import { derSignature } from '../../keys/ecdsa.ts'
import { digestInfo } from '../../keys/rsa-signature.ts'
import { digestSigning, keySpecs, messageLimitBytes, signingNumbers, signsDigests, type DigestSigning, type SigningAlgorithm } from '../../keys/spec.ts'
import { FrameError } from './frames.ts'
import type { OpenKey } from './keys-in-use.ts'
import { Refused } from './refused.ts'
import type { Session } from './session.ts'
import { mechanisms } from './template.ts'

const byNumber: ReadonlyMap<number | undefined, SigningAlgorithm> = new Map(
  Object.entries(signingNumbers).map(([name, number]) => [number, name as SigningAlgorithm]))

/** An RSA-4096 signature; r and s of P-521 are 132 bytes, an Ed25519 signature 64. */
const signatureLimitBytes = 512

/**
 * `number`: the algorithm's, one byte. `signed`: the digest or, where the algorithm has none, the message. The row alone says which
 * algorithms the key takes; the length of the digest is checked here, since tokens were measured to sign digests of any.
 * @throws FrameError, Refused; Fault from the HSM
 */
export function sign(session: Session, { handle, spec }: OpenKey, number: Buffer, signed: Buffer): Buffer {
  const name = number.length === 1 ? byNumber.get(number[0]) : undefined
  if (name === undefined) throw new FrameError('signing algorithm')
  if (keySpecs[spec].usages.SIGN_VERIFY?.includes(name) !== true) throw new Refused(`no ${name} with a key of spec ${spec}`)
  if (signsDigests(name)) return signDigest(session, handle, name, signed)
  if (signed.length < 1 || signed.length > messageLimitBytes) throw new FrameError('message length')
  return Buffer.from(session.sign(mechanisms.eddsa(), handle, signed, signatureLimitBytes))
}

function signDigest(session: Session, handle: Handle, name: DigestSigning, digest: Buffer): Buffer {
  const { scheme, hash, digestBytes } = digestSigning[name]
  if (digest.length !== digestBytes) throw new FrameError('digest length')
  switch (scheme) {
    case 'pkcs1': return Buffer.from(session.sign(mechanisms.rsaPkcs1(), handle, digestInfo(hash, digest), signatureLimitBytes))
    case 'pss': return Buffer.from(session.sign(mechanisms.rsaPss(hash), handle, digest, signatureLimitBytes))
    case 'ecdsa': return derSignature(session.sign(mechanisms.ecdsa(), handle, digest, signatureLimitBytes))
  }
}
