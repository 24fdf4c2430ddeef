// Signatures in the HSM, over digests where there is a choice: every token has the mechanisms for that, whereas those that hash differ.
import type { Handle } from 'pkcs11js'
import { derSignature } from '../../keys/ecdsa.ts'
import { digestInfo } from '../../keys/rsa-signature.ts'
import { ed25519 } from '../../keys/curve.ts'
import { mlDsaSets } from '../../keys/post-quantum.ts'
import { digestSigning, keySpecs, messageLimitBytes, messageSigning, signingNumbers, signsDigests, type DigestSigning, type SigningAlgorithm } from '../../keys/spec.ts'
import type { Device } from './device.ts'
import { FrameError } from './frames.ts'
import type { OpenKey } from './keys-in-use.ts'
import { Refused } from './refused.ts'
import { withPublicKey } from './public-object.ts'
import type { Session } from './session.ts'
import { mechanisms } from './template.ts'

const byNumber: ReadonlyMap<number | undefined, SigningAlgorithm> = new Map(
  Object.entries(signingNumbers).map(([name, number]) => [number, name as SigningAlgorithm]))

/** An ML-DSA-87 signature; one of RSA-4096 has 512 bytes. */
const signatureLimitBytes = 4_627

/**
 * `number`: the algorithm's, one byte. `signed`: the digest or, where the algorithm has none, the message. The row alone says which
 * algorithms the key takes; the length of the digest is checked here, since tokens were measured to sign digests of any.
 * @throws FrameError, Refused; Fault from the HSM
 */
export function sign({ session, profile }: Device, { handle, spec }: OpenKey, number: Buffer, signed: Buffer): Buffer {
  const name = number.length === 1 ? byNumber.get(number[0]) : undefined
  if (name === undefined) throw new FrameError('signing algorithm')
  if (keySpecs[spec].usages.SIGN_VERIFY?.includes(name) !== true) throw new Refused(`no ${name} with a key of spec ${spec}`)
  if (signsDigests(name)) return signDigest(session, handle, name, signed)
  if (signed.length < 1 || signed.length > messageLimitBytes) throw new FrameError('message length')
  // A token that ignores the flag would sign the digest as if it were the message.
  if (name === 'ED25519_PH_SHA_512' && !profile.ed25519Prehash) throw new Refused('this kind of token makes no Ed25519ph')
  return Buffer.from(session.sign(mechanisms[messageSigning[name].scheme](), handle, signed, signatureLimitBytes))
}

/** Of ML-DSA and Ed25519ph, which node:crypto does not know: one byte, whether the signature is genuine. @throws FrameError, Refused, Fault */
export function verify({ session, profile }: Device, key: OpenKey, spki: Buffer, message: Buffer, signature: Buffer): Buffer {
  const { built } = keySpecs[key.spec]
  if (built?.kind !== 'mlDsa' && (built?.kind !== 'edwards' || !profile.ed25519Prehash)) throw new Refused(`no signature of a key of spec ${key.spec} is verified here`)
  if (message.length < 1 || message.length > messageLimitBytes) throw new FrameError('message length')
  if (signature.length !== (built.kind === 'mlDsa' ? mlDsaSets[built.set].signatureBytes : ed25519.signatureBytes)) throw new FrameError('signature length')
  const mechanism = built.kind === 'mlDsa' ? mechanisms.mlDsa() : mechanisms.eddsaPrehashed()
  return withPublicKey(session, key, spki, publicKey => Buffer.from([session.verify(mechanism, publicKey, message, signature) ? 1 : 0]))
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
