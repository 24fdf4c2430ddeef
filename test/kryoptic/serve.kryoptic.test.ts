// Post-quantum keys over the AWS API, end to end: an unmodified SDK, `trent serve`, the token.
import { createHash } from 'node:crypto'
import { ed25519ph } from '@noble/curves/ed25519.js'
import { ml_dsa44, ml_dsa65, ml_dsa87 } from '@noble/post-quantum/ml-dsa.js'
import { ml_kem1024, ml_kem512, ml_kem768 } from '@noble/post-quantum/ml-kem.js'
import {
  CreateKeyCommand, DecapsulateCommand, DecryptCommand, DescribeKeyCommand, DisableKeyCommand, EnableKeyCommand, EncapsulateCommand, EncryptCommand, GetPublicKeyCommand, SignCommand, VerifyCommand,
  type KeySpec, type KMSClient,
} from '@aws-sdk/client-kms'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { mlDsaSets, mlKemSets, postQuantumKey } from '../../src/keys/post-quantum.ts'
import { kms } from '../support/aws.ts'
import { startTrentOn, type Trent } from '../support/gateway.ts'
import { account, trent, writeConfig } from '../support/installation.ts'
import { kryopticConfig } from '../support/kryoptic.ts'
import { openKryoptic, type OtherToken } from '../support/other-token.ts'

let kryoptic: OtherToken
let running: Trent
let sdk: KMSClient

beforeAll(async () => {
  kryoptic = await openKryoptic()
  // It lets CKA_DECRYPT be set in a copy of the domain key, see hsm/capabilities/kryoptic.md.
  const changes = { hsm: { allowWeakToken: true, tokens: [kryopticConfig(kryoptic.directory)] }, keys: { verifySignatures: true } }
  const config = await writeConfig(kryoptic.directory, kryoptic.database.url, changes)
  const { stdout } = await trent(['iam', 'create-admin', '--account', account, '--name', 'admin', '--config', config])
  const { AccessKeyId: accessKeyId, SecretAccessKey: secretAccessKey } = JSON.parse(stdout) as { AccessKeyId: string; SecretAccessKey: string }
  running = await startTrentOn(kryoptic.directory, kryoptic.database, changes)
  sdk = kms(running.url, { accessKeyId, secretAccessKey })
})
afterAll(async () => {
  sdk.destroy()
  await running.stop()
  await kryoptic.close()
})

const newKey = async (KeySpec: KeySpec, KeyUsage: 'SIGN_VERIFY' | 'ENCAPSULATE_DECAPSULATE' | 'ENCRYPT_DECRYPT') => {
  const { KeyMetadata } = await sdk.send(new CreateKeyCommand({ KeySpec, KeyUsage }))
  return { KeyId: KeyMetadata?.KeyId ?? '', arn: KeyMetadata?.Arn ?? '', metadata: KeyMetadata }
}

describe.each([['ML_DSA_44', 'ML-DSA-44', ml_dsa44], ['ML_DSA_65', 'ML-DSA-65', ml_dsa65], ['ML_DSA_87', 'ML-DSA-87', ml_dsa87]] as const)('a key of spec %s', (spec, name, other) => {
  it('is told as AWS tells it, signs, and verifies', async () => {
    const { KeyId, arn } = await newKey(spec, 'SIGN_VERIFY')
    const { KeyMetadata } = await sdk.send(new DescribeKeyCommand({ KeyId }))
    expect(KeyMetadata).toMatchObject({ KeySpec: spec, KeyUsage: 'SIGN_VERIFY', SigningAlgorithms: ['ML_DSA_SHAKE_256'], Enabled: true })
    const { PublicKey, ...told } = await sdk.send(new GetPublicKeyCommand({ KeyId }))
    expect(told).toMatchObject({ KeyId: arn, KeySpec: spec, SigningAlgorithms: ['ML_DSA_SHAKE_256'] })
    const publicKey = postQuantumKey(mlDsaSets[name], Buffer.from(PublicKey ?? [])) ?? Buffer.alloc(0)
    const input = { KeyId, SigningAlgorithm: 'ML_DSA_SHAKE_256', Message: Buffer.from('message') } as const
    const { Signature = new Uint8Array() } = await sdk.send(new SignCommand(input))
    expect(other.verify(Signature, input.Message, publicKey)).toBe(true)
    expect(await sdk.send(new VerifyCommand({ ...input, Signature }))).toMatchObject({ KeyId: arn, SignatureValid: true, SigningAlgorithm: 'ML_DSA_SHAKE_256' })
    const invalid = { name: 'KMSInvalidSignatureException' }
    await expect(sdk.send(new VerifyCommand({ ...input, Message: Buffer.from('massage'), Signature }))).rejects.toMatchObject(invalid)
    for (const wrong of [Signature.subarray(1), Buffer.concat([Signature, Buffer.alloc(1)]), Buffer.alloc(1), Buffer.alloc(Signature.length)]) {
      await expect(sdk.send(new VerifyCommand({ ...input, Signature: wrong }))).rejects.toMatchObject(invalid)
    }
  })

  it('refuses digests, a μ, other algorithms and other uses with AWS\'s errors', async () => {
    const { KeyId, arn } = await newKey(spec, 'SIGN_VERIFY')
    const input = { KeyId, SigningAlgorithm: 'ML_DSA_SHAKE_256', Message: Buffer.alloc(64) } as const
    const refusal = (what: Promise<unknown>, type: string, message: string) => expect(what).rejects.toMatchObject({ name: type, message })
    await refusal(sdk.send(new SignCommand({ ...input, MessageType: 'DIGEST' })), 'ValidationException', 'MessageType DIGEST is incompatible with algorithm ML_DSA_SHAKE_256.')
    await refusal(sdk.send(new SignCommand({ ...input, MessageType: 'EXTERNAL_MU' })), 'UnsupportedOperationException', 'MessageType EXTERNAL_MU is not supported by the HSM of this deployment.')
    await refusal(sdk.send(new SignCommand({ ...input, MessageType: 'EXTERNAL_MU', Message: Buffer.alloc(63) })), 'ValidationException', 'Digest is invalid length for algorithm ML_DSA_SHAKE_256.')
    await refusal(sdk.send(new SignCommand({ ...input, SigningAlgorithm: 'ED25519_SHA_512' })), 'InvalidKeyUsageException', `Algorithm ED25519_SHA_512 is incompatible with key spec ${spec}.`)
    await refusal(sdk.send(new EncapsulateCommand({ KeyId, EncapsulationAlgorithm: 'ML_KEM' })), 'InvalidKeyUsageException', `${arn} key usage is SIGN_VERIFY which is not valid for Encapsulate.`)
    await refusal(sdk.send(new SignCommand({ ...input, DryRun: true })), 'DryRunOperationException', 'The request would have succeeded, but the DryRun option is set.')
  })
})

describe.each([['ML_KEM_512', 'ML-KEM-512', ml_kem512], ['ML_KEM_768', 'ML-KEM-768', ml_kem768], ['ML_KEM_1024', 'ML-KEM-1024', ml_kem1024]] as const)('a key of spec %s', (spec, name, other) => {
  it('is told as AWS tells it, and shares secrets', async () => {
    const { KeyId, arn, metadata } = await newKey(spec, 'ENCAPSULATE_DECAPSULATE')
    expect(metadata).toMatchObject({ KeySpec: spec, KeyUsage: 'ENCAPSULATE_DECAPSULATE', EncapsulationAlgorithms: ['ML_KEM'] })
    const input = { KeyId, EncapsulationAlgorithm: 'ML_KEM' } as const
    const { SharedSecret, SharedSecretCiphertextBlob, ...told } = await sdk.send(new EncapsulateCommand(input))
    expect(told).toMatchObject({ KeyId: arn, EncapsulationAlgorithm: 'ML_KEM' })
    expect([SharedSecret?.length, SharedSecretCiphertextBlob?.length]).toEqual([32, mlKemSets[name].ciphertextBytes])
    expect(await sdk.send(new DecapsulateCommand({ ...input, SharedSecretCiphertextBlob }))).toMatchObject({ KeyId: arn, SharedSecret, EncapsulationAlgorithm: 'ML_KEM' })
    // Whoever has the public key needs no KMS to share one.
    const { PublicKey, EncapsulationAlgorithms } = await sdk.send(new GetPublicKeyCommand({ KeyId }))
    expect(EncapsulationAlgorithms).toEqual(['ML_KEM'])
    const { cipherText, sharedSecret } = other.encapsulate(postQuantumKey(mlKemSets[name], Buffer.from(PublicKey ?? [])) ?? Buffer.alloc(0))
    const opened = await sdk.send(new DecapsulateCommand({ ...input, SharedSecretCiphertextBlob: cipherText }))
    expect(Buffer.from(opened.SharedSecret ?? [])).toEqual(Buffer.from(sharedSecret))
  })

  it('refuses a ciphertext of another length, and is refused while disabled', async () => {
    const { KeyId, arn } = await newKey(spec, 'ENCAPSULATE_DECAPSULATE')
    const input = { KeyId, EncapsulationAlgorithm: 'ML_KEM' } as const
    const { SharedSecret, SharedSecretCiphertextBlob = new Uint8Array() } = await sdk.send(new EncapsulateCommand(input))
    for (const wrong of [SharedSecretCiphertextBlob.subarray(1), Buffer.concat([SharedSecretCiphertextBlob, Buffer.alloc(1)]), Buffer.alloc(1)]) {
      await expect(sdk.send(new DecapsulateCommand({ ...input, SharedSecretCiphertextBlob: wrong }))).rejects.toMatchObject({ name: 'InvalidCiphertextException' })
    }
    // Implicit rejection: no error, and not the secret.
    const altered = Buffer.from(SharedSecretCiphertextBlob)
    altered[7] = (altered[7] ?? 0) ^ 1
    const rejected = await sdk.send(new DecapsulateCommand({ ...input, SharedSecretCiphertextBlob: altered }))
    expect(rejected.SharedSecret).toHaveLength(32)
    expect(rejected.SharedSecret).not.toEqual(SharedSecret)
    await sdk.send(new DisableKeyCommand({ KeyId }))
    await expect(sdk.send(new EncapsulateCommand(input))).rejects.toMatchObject({ name: 'DisabledException', message: `${arn} is disabled.` })
    await sdk.send(new EnableKeyCommand({ KeyId }))
    await expect(sdk.send(new DecapsulateCommand({ ...input, SharedSecretCiphertextBlob, DryRun: true }))).rejects.toMatchObject({ name: 'DryRunOperationException' })
    await expect(sdk.send(new SignCommand({ KeyId, SigningAlgorithm: 'ML_DSA_SHAKE_256', Message: altered }))).rejects.toMatchObject({ name: 'InvalidKeyUsageException' })
  })
})

it('a key of spec ECC_NIST_EDWARDS25519 signs digests by Ed25519ph, and messages', async () => {
  const { KeyId, arn } = await newKey('ECC_NIST_EDWARDS25519', 'SIGN_VERIFY')
  const { PublicKey } = await sdk.send(new GetPublicKeyCommand({ KeyId }))
  const publicKey = Buffer.from(PublicKey ?? []).subarray(-32)
  const digest = createHash('sha512').update('message').digest()
  const input = { KeyId, SigningAlgorithm: 'ED25519_PH_SHA_512', MessageType: 'DIGEST', Message: digest } as const
  const { Signature = new Uint8Array() } = await sdk.send(new SignCommand(input))
  // The digest is hashed again, as AWS does.
  expect(ed25519ph.verify(Signature, digest, publicKey)).toBe(true)
  expect(ed25519ph.verify(Signature, Buffer.from('message'), publicKey)).toBe(false)
  expect(await sdk.send(new VerifyCommand({ ...input, Signature }))).toMatchObject({ KeyId: arn, SignatureValid: true })
  const invalid = { name: 'KMSInvalidSignatureException' }
  await expect(sdk.send(new VerifyCommand({ ...input, Message: createHash('sha512').update('massage').digest(), Signature }))).rejects.toMatchObject(invalid)
  for (const wrong of [Signature.subarray(1), Buffer.concat([Signature, Buffer.alloc(1)]), Buffer.alloc(64)]) await expect(sdk.send(new VerifyCommand({ ...input, Signature: wrong }))).rejects.toMatchObject(invalid)
  // Neither is the other.
  const pure = { KeyId, SigningAlgorithm: 'ED25519_SHA_512', Message: digest } as const
  await expect(sdk.send(new VerifyCommand({ ...pure, Signature }))).rejects.toMatchObject(invalid)
  const { Signature: ofMessage } = await sdk.send(new SignCommand(pure))
  await expect(sdk.send(new VerifyCommand({ ...input, Signature: ofMessage }))).rejects.toMatchObject(invalid)
  const refusal = (what: Promise<unknown>, message: string) => expect(what).rejects.toMatchObject({ name: 'ValidationException', message })
  await refusal(sdk.send(new SignCommand({ ...input, MessageType: 'RAW' })), 'MessageType RAW is incompatible with algorithm ED25519_PH_SHA_512.')
  await refusal(sdk.send(new SignCommand({ ...input, Message: digest.subarray(1) })), 'Digest is invalid length for algorithm ED25519_PH_SHA_512.')
})

it('other keys work beside them', async () => {
  const { KeyId } = await newKey('SYMMETRIC_DEFAULT', 'ENCRYPT_DECRYPT')
  const { CiphertextBlob } = await sdk.send(new EncryptCommand({ KeyId, Plaintext: Buffer.from('text') }))
  expect(Buffer.from((await sdk.send(new DecryptCommand({ CiphertextBlob }))).Plaintext ?? []).toString()).toBe('text')
})

it('a usage that a spec has not is refused', async () => {
  await expect(newKey('ML_KEM_768', 'SIGN_VERIFY')).rejects.toMatchObject({ name: 'ValidationException' })
  await expect(newKey('ML_DSA_65', 'ENCAPSULATE_DECAPSULATE')).rejects.toMatchObject({ name: 'ValidationException' })
})
