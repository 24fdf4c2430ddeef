// Signatures in the HSM, over digests: every token has the mechanisms for that, whereas those that hash differ.
import { derSignature } from '../../keys/ecdsa.ts'
import { digestInfo } from '../../keys/rsa-signature.ts'
import { keySpecs, signingAlgorithms, type SigningAlgorithm } from '../../keys/spec.ts'
import { FrameError } from './frames.ts'
import type { OpenKey } from './keys-in-use.ts'
import { Refused } from './refused.ts'
import type { Session } from './session.ts'
import { mechanisms } from './template.ts'

const byNumber: ReadonlyMap<number | undefined, SigningAlgorithm> = new Map(
  Object.entries(signingAlgorithms).map(([name, { number }]) => [number, name as SigningAlgorithm]))

/** An RSA-4096 signature; r and s of P-521 are 132 bytes. */
const signatureLimitBytes = 512

/**
 * `number`: the algorithm's, one byte. The row alone says which algorithms the key takes; the length of the digest is checked here,
 * since tokens were measured to sign digests of any.
 * @throws FrameError, Refused; Fault from the HSM
 */
export function sign(session: Session, { handle, spec }: OpenKey, number: Buffer, digest: Buffer): Buffer {
  const name = number.length === 1 ? byNumber.get(number[0]) : undefined
  if (name === undefined) throw new FrameError('signing algorithm')
  if (keySpecs[spec].usages.SIGN_VERIFY?.includes(name) !== true) throw new Refused(`no ${name} with a key of spec ${spec}`)
  const { scheme, hash, digestBytes } = signingAlgorithms[name]
  if (digest.length !== digestBytes) throw new FrameError('digest length')
  switch (scheme) {
    case 'pkcs1': return Buffer.from(session.sign(mechanisms.rsaPkcs1(), handle, digestInfo(hash, digest), signatureLimitBytes))
    case 'pss': return Buffer.from(session.sign(mechanisms.rsaPss(hash), handle, digest, signatureLimitBytes))
    case 'ecdsa': return derSignature(session.sign(mechanisms.ecdsa(), handle, digest, signatureLimitBytes))
  }
}
