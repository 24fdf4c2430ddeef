// Sign, Verify, GetPublicKey. The HSM signs digests, and messages where the algorithm knows no digest; verification needs the public key alone and runs here, with a key whose row the
// HSM has found authentic; that of ML-DSA and Ed25519ph runs in the token.
import { createHash } from 'node:crypto'
import type { KeyEntry } from '../cache/key-entry.ts'
import { KmsError } from '../errors.ts'
import type { Hsm } from '../hsm/hsm.ts'
import { ed25519 } from '../keys/curve.ts'
import { mlDsaSets } from '../keys/post-quantum.ts'
import { verifyMessage, verifySigned } from '../keys/signature.ts'
import { digestSigning, keySpecs, signsDigests, signsMessages, type KeySpecName, type SigningAlgorithm } from '../keys/spec.ts'
import { usable } from '../keys/state.ts'
import { blob, enumeration, required } from '../shape/shape.ts'
import { currentOf } from './current-material.ts'
import { dryRun, grantTokens, keyId, plaintext } from './members.ts'
import { algorithmsOf } from './metadata.ts'
import { from, operation, type KeyNeed, type Settings } from './operation.ts'
import { publicKeyOf } from './public-key-of.ts'

const messageType = enumeration(['RAW', 'DIGEST', 'EXTERNAL_MU'])
const signingAlgorithm = enumeration([
  'RSASSA_PSS_SHA_256', 'RSASSA_PSS_SHA_384', 'RSASSA_PSS_SHA_512', 'RSASSA_PKCS1_V1_5_SHA_256', 'RSASSA_PKCS1_V1_5_SHA_384',
  'RSASSA_PKCS1_V1_5_SHA_512', 'ECDSA_SHA_256', 'ECDSA_SHA_384', 'ECDSA_SHA_512', 'SM2DSA', 'ML_DSA_SHAKE_256', 'ED25519_SHA_512', 'ED25519_PH_SHA_512',
])

/** Of ML-DSA's message representative (FIPS 204, 6.2). */
const muBytes = 64
const prehashed = 'ED25519_PH_SHA_512'
/** Of SHA-512. */
const prehashedBytes = 64

const need = (permission: `kms:${string}`): KeyNeed => ({
  key: from('KeyId'), permission, usage: 'SIGN_VERIFY', algorithm: 'SigningAlgorithm', states: usable, aliases: true, otherAccounts: true, grantable: true,
})

interface Signed {
  readonly Message: Buffer
  readonly MessageType?: 'RAW' | 'DIGEST' | 'EXTERNAL_MU' | undefined
  readonly SigningAlgorithm: string
}

/** The algorithm of a key that admit() has let pass. @throws UnsupportedOperationException for what this version, or the token, has not */
function algorithmOf({ SigningAlgorithm }: Signed, { ed25519Prehash }: Pick<Settings, 'ed25519Prehash'>): SigningAlgorithm {
  if (signsDigests(SigningAlgorithm) || (signsMessages(SigningAlgorithm) && (SigningAlgorithm !== prehashed || ed25519Prehash))) return SigningAlgorithm
  throw new KmsError('UnsupportedOperationException', `SigningAlgorithm ${SigningAlgorithm} is not supported by the HSM of this deployment.`)
}

/**
 * What the HSM signs: a digest, or the message where the algorithm has none.
 * @throws ValidationException with AWS's text for a digest of another length: before any signature is made or looked at
 */
function signedOf(input: Signed, algorithm: SigningAlgorithm): Buffer {
  const { MessageType = 'RAW' } = input
  if (MessageType === 'EXTERNAL_MU' && algorithm === 'ML_DSA_SHAKE_256') throw externalMu(input.Message)
  const takes = signsDigests(algorithm) ? ['RAW', 'DIGEST'] : algorithm === prehashed ? ['DIGEST'] : ['RAW']
  if (!takes.includes(MessageType)) {
    throw new KmsError('ValidationException', `MessageType ${MessageType} is incompatible with algorithm ${algorithm}.`)
  }
  if (MessageType === 'RAW') return signsDigests(algorithm) ? createHash(digestSigning[algorithm].hash).update(input.Message).digest() : input.Message
  // Of Ed25519ph the digest is the message: the token hashes it again, as AWS does.
  if (input.Message.length !== (signsDigests(algorithm) ? digestSigning[algorithm].digestBytes : prehashedBytes)) throw new KmsError('ValidationException', `Digest is invalid length for algorithm ${algorithm}.`)
  return input.Message
}

/** PKCS#11 v3.2 has no mechanism that signs a μ which was made outside. */
const externalMu = (mu: Buffer): KmsError => (mu.length === muBytes
  ? new KmsError('UnsupportedOperationException', 'MessageType EXTERNAL_MU is not supported by the HSM of this deployment.')
  : new KmsError('ValidationException', 'Digest is invalid length for algorithm ML_DSA_SHAKE_256.'))

/** Of those that the token verifies. */
function signatureBytes(spec: KeySpecName): number | undefined {
  const { built } = keySpecs[spec]
  return built?.kind === 'mlDsa' ? mlDsaSets[built.set].signatureBytes : built?.kind === 'edwards' ? ed25519.signatureBytes : undefined
}

/** Whether a signature over what the HSM signs is the key's. */
async function isGenuine(hsm: Hsm, entry: KeyEntry, algorithm: SigningAlgorithm, signed: Buffer, signature: Buffer): Promise<boolean> {
  if (algorithm !== prehashed && algorithm !== 'ML_DSA_SHAKE_256') return verifySigned(entry.key.spec, await publicKeyOf(hsm, entry), algorithm, signed, signature)
  // Without a public key, which somebody has then taken out of the database, the agent refuses with the alarm.
  return signature.length === signatureBytes(entry.key.spec) && await hsm.verify(currentOf(entry), entry.spki ?? Buffer.alloc(0), signed, signature)
}

export const Sign = operation({
  kind: 'use',
  input: {
    KeyId: required(keyId), Message: required(plaintext), MessageType: messageType, GrantTokens: grantTokens, SigningAlgorithm: required(signingAlgorithm),
    DryRun: dryRun,
  },
  needs: { key: need('kms:Sign') },
  readOnly: true,
  defaults: { MessageType: 'RAW' },
  audit: ['MessageType', 'SigningAlgorithm', 'DryRun'],
  async handle({ input, keys, hsm, settings }) {
    const { key } = keys.key
    const algorithm = algorithmOf(input, settings)
    const signed = signedOf(input, algorithm)
    const signature = await hsm.sign(currentOf(keys.key), algorithm, signed)
    if (settings.verifySignatures && !await isGenuine(hsm, keys.key, algorithm, signed, signature)) {
      throw new Error(`the HSM made a signature that does not verify (${algorithm}, ${key.arn})`)
    }
    return { KeyId: key.arn, Signature: signature, SigningAlgorithm: input.SigningAlgorithm }
  },
})

export const Verify = operation({
  kind: 'use',
  input: {
    KeyId: required(keyId), Message: required(plaintext), MessageType: messageType, Signature: required(blob({ min: 1, max: 6144 })),
    SigningAlgorithm: required(signingAlgorithm), GrantTokens: grantTokens, DryRun: dryRun,
  },
  needs: { key: need('kms:Verify') },
  readOnly: true,
  defaults: { MessageType: 'RAW' },
  audit: ['MessageType', 'SigningAlgorithm', 'DryRun'],
  async handle({ input, keys, hsm, settings }) {
    const { key } = keys.key
    const algorithm = algorithmOf(input, settings)
    const signed = signedOf(input, algorithm)
    const genuine = input.MessageType === 'RAW' && signsDigests(algorithm)
      ? verifyMessage(await publicKeyOf(hsm, keys.key), algorithm, input.Message, input.Signature)
      : await isGenuine(hsm, keys.key, algorithm, signed, input.Signature)
    if (!genuine) throw new KmsError('KMSInvalidSignatureException')
    return { KeyId: key.arn, SignatureValid: true, SigningAlgorithm: input.SigningAlgorithm }
  },
})

export const GetPublicKey = operation({
  kind: 'use',
  input: { KeyId: required(keyId), GrantTokens: grantTokens },
  needs: { key: { key: from('KeyId'), permission: 'kms:GetPublicKey', states: usable, aliases: true, otherAccounts: true, grantable: true } },
  readOnly: true,
  audit: [],
  async handle({ keys, hsm }) {
    const { key } = keys.key
    const { spki } = await publicKeyOf(hsm, keys.key)
    // A copy: answers are wiped when they cannot be given.
    return { KeyId: key.arn, PublicKey: Buffer.from(spki), CustomerMasterKeySpec: key.spec, KeySpec: key.spec, KeyUsage: key.usage, ...algorithmsOf(key) }
  },
})
