// Recipient on every operation that takes it: the enclave opens the answer, by OpenSSL, and nobody else gets the secret.
import { execFileSync } from 'node:child_process'
import { createPrivateKey, createPublicKey, generateKeyPairSync } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { DecryptCommand, GenerateDataKeyCommand, type KMSClient } from '@aws-sdk/client-kms'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { kms } from '../support/aws.ts'
import { documentOf, makeMaker, newEnclave, type Enclave } from '../support/enclave.ts'
import { newFolder, trent } from '../support/installation.ts'
import { expectRefusal, openScene, success, type Json, type Scene, type TestKey } from '../support/scene.ts'
import { recordOf } from '../support/trail.ts'

const maker = makeMaker()
const enclave = newEnclave()
let folder: string
let scene: Scene
let client: KMSClient
let key: TestKey

beforeAll(async () => {
  folder = await newFolder('recipient')
  const rootsFile = join(folder, 'roots.pem')
  writeFileSync(rootsFile, `The roots\n${makeMaker().root.certificate.toString()}${maker.root.certificate.toString()}`)
  scene = await openScene({ attestation: { rootsFile } })
  client = kms(scene.trent.url)
  key = await scene.newKey()
})
afterAll(async () => {
  client.destroy()
  await scene.close()
  await rm(folder, { recursive: true })
})

const recipient = (of: Enclave = enclave, changes: Json = {}): Json =>
  ({ Recipient: { KeyEncryptionAlgorithm: 'RSAES_OAEP_SHA_256', AttestationDocument: documentOf(maker, of, changes).toString('base64') } })

/** As an enclave does it. */
function open(ciphertext: unknown, { privateKey }: Enclave = enclave): Buffer {
  const files = { key: join(folder, 'key.pem'), message: join(folder, 'message.der'), opened: join(folder, 'opened') }
  writeFileSync(files.key, privateKey.export({ type: 'pkcs8', format: 'pem' }), { mode: 0o600 })
  writeFileSync(files.message, Buffer.from(String(ciphertext), 'base64'))
  execFileSync('openssl', ['cms', '-decrypt', '-inform', 'DER', '-in', files.message, '-inkey', files.key, '-binary', '-out', files.opened], { stdio: ['ignore', 'ignore', 'pipe'] })
  return readFileSync(files.opened)
}

const text = Buffer.from('for the enclave alone')
const encrypted = async (): Promise<unknown> => success(await scene.call('Encrypt', { KeyId: key.id, Plaintext: text.toString('base64') })).CiphertextBlob

describe('the enclave alone opens the answer of', () => {
  it('Decrypt', async () => {
    const { CiphertextForRecipient, ...others } = success(await scene.call('Decrypt', { CiphertextBlob: await encrypted(), ...recipient() }))
    expect(others).toEqual({ KeyId: key.arn, EncryptionAlgorithm: 'SYMMETRIC_DEFAULT' })
    expect(open(CiphertextForRecipient)).toEqual(text)
    expect(() => open(CiphertextForRecipient, newEnclave())).toThrow()
  })

  it('Decrypt with an RSA key', async () => {
    const rsa = await scene.newKey({ KeySpec: 'RSA_2048', KeyUsage: 'ENCRYPT_DECRYPT' })
    const algorithm = { EncryptionAlgorithm: 'RSAES_OAEP_SHA_256' }
    const { CiphertextBlob } = success(await scene.call('Encrypt', { KeyId: rsa.id, Plaintext: text.toString('base64'), ...algorithm }))
    const { CiphertextForRecipient, ...others } = success(await scene.call('Decrypt', { KeyId: rsa.id, CiphertextBlob, ...algorithm, ...recipient() }))
    expect(others).toEqual({ KeyId: rsa.arn, ...algorithm })
    expect(open(CiphertextForRecipient)).toEqual(text)
  })

  it.each([16, 32, 1_024])('GenerateDataKey, %i bytes', async NumberOfBytes => {
    const { CiphertextForRecipient, CiphertextBlob, ...others } = success(await scene.call('GenerateDataKey', { KeyId: key.id, NumberOfBytes, ...recipient() }))
    expect(others).toEqual({ KeyId: key.arn })
    const opened = open(CiphertextForRecipient)
    expect(opened).toHaveLength(NumberOfBytes)
    expect(success(await scene.call('Decrypt', { CiphertextBlob })).Plaintext).toBe(opened.toString('base64'))
  })

  it.each(['ECC_NIST_P256', 'RSA_4096'])('GenerateDataKeyPair, %s', async KeyPairSpec => {
    const { CiphertextForRecipient, PublicKey, PrivateKeyCiphertextBlob, ...others } = success(await scene.call('GenerateDataKeyPair', { KeyId: key.id, KeyPairSpec, ...recipient() }))
    expect(Object.keys(others).sort()).toEqual(['KeyId', 'KeyMaterialId', 'KeyPairSpec'])
    const opened = open(CiphertextForRecipient)
    const privateKey = createPrivateKey({ key: opened, format: 'der', type: 'pkcs8' })
    expect(privateKey.asymmetricKeyType).toBe(KeyPairSpec === 'RSA_4096' ? 'rsa' : 'ec')
    expect(createPublicKey(privateKey).export({ type: 'spki', format: 'der' }).toString('base64')).toBe(PublicKey)
    expect(success(await scene.call('Decrypt', { CiphertextBlob: PrivateKeyCiphertextBlob })).Plaintext).toBe(opened.toString('base64'))
  }, 60_000)

  it('GenerateRandom', async () => {
    const { CiphertextForRecipient, ...others } = success(await scene.call('GenerateRandom', { NumberOfBytes: 100, ...recipient() }))
    expect(others).toEqual({})
    expect(open(CiphertextForRecipient)).toHaveLength(100)
  })

  it('DeriveSharedSecret', async () => {
    const agreeing = await scene.newKey({ KeySpec: 'ECC_NIST_P384', KeyUsage: 'KEY_AGREEMENT' })
    const PublicKey = generateKeyPairSync('ec', { namedCurve: 'secp384r1' }).publicKey.export({ type: 'spki', format: 'der' }).toString('base64')
    const input = { KeyId: agreeing.id, KeyAgreementAlgorithm: 'ECDH', PublicKey }
    const { CiphertextForRecipient, ...others } = success(await scene.call('DeriveSharedSecret', { ...input, ...recipient() }))
    expect(others).toEqual({ KeyId: agreeing.arn, KeyAgreementAlgorithm: 'ECDH', KeyOrigin: 'AWS_KMS' })
    expect(open(CiphertextForRecipient).toString('base64')).toBe(success(await scene.call('DeriveSharedSecret', input)).SharedSecret)
  })

  it('an SDK', async () => {
    const Recipient = { KeyEncryptionAlgorithm: 'RSAES_OAEP_SHA_256', AttestationDocument: documentOf(maker, enclave) } as const
    const { CiphertextBlob, CiphertextForRecipient, Plaintext } = await client.send(new GenerateDataKeyCommand({ KeyId: key.arn, KeySpec: 'AES_256', Recipient }))
    expect(Plaintext ?? []).toHaveLength(0)
    const again = await client.send(new DecryptCommand({ CiphertextBlob, Recipient }))
    expect(again.Plaintext ?? []).toHaveLength(0)
    const [first, second] = [CiphertextForRecipient, again.CiphertextForRecipient].map(one => open(Buffer.from(one ?? []).toString('base64')))
    expect(first).toHaveLength(32)
    expect(second).toEqual(first)
  })
})

it('the trail tells which enclave it was, and shows neither document nor ciphertext', async () => {
  const { headers } = await scene.call('GenerateDataKey', { KeyId: key.id, KeySpec: 'AES_256', ...recipient() })
  const record = await recordOf(scene.pool, headers.get('x-amzn-requestid') ?? '')
  expect(record.additionalEventData).toMatchObject({
    keyMaterialId: expect.any(String) as string,
    recipient: {
      attestationDocumentModuleId: 'i-0123456789abcdef0-enc0123456789abcdef', attestationDocumentEnclaveImageDigest: '00'.repeat(48), attestationDocumentEnclavePCR1: '01'.repeat(48),
      attestationDocumentEnclavePCR8: '08'.repeat(48),
    },
  })
  expect(JSON.stringify(record.requestParameters)).not.toContain('ecipient')
})

describe('a document that is not to be believed', () => {
  const refusals: readonly (readonly [string, () => Buffer, string])[] = [
    ['of another root', () => documentOf(makeMaker(), enclave), 'its bundle does not begin with a configured root'],
    ['signed by itself', () => documentOf({ ...maker, signer: maker.root }, enclave, { cabundle: [new Uint8Array(maker.root.certificate.raw)] }), 'it is signed by an authority'],
    ['with a broken chain', () => documentOf(maker, enclave, { cabundle: [new Uint8Array(maker.root.certificate.raw)] }), 'its chain of certificates is broken'],
    ['that is too old', () => documentOf(maker, enclave, { timestamp: Date.now() - 301_000 }), 'it is older than 300 s'],
    ['without a public key', () => documentOf(maker, enclave, { public_key: null }), 'it has no public_key'],
    ['that is none', () => Buffer.from('hello'), 'it is not CBOR'],
  ]

  it.each(refusals)('%s gets no secret', async (_, make, why) => {
    const AttestationDocument = make().toString('base64')
    const refused = { Recipient: { KeyEncryptionAlgorithm: 'RSAES_OAEP_SHA_256', AttestationDocument } }
    const expected = `The attestation document is not valid: ${why}.`
    expectRefusal(await scene.call('Decrypt', { CiphertextBlob: await encrypted(), ...refused }), 'ValidationException', expected)
    expectRefusal(await scene.call('GenerateDataKey', { KeyId: key.id, KeySpec: 'AES_256', ...refused }), 'ValidationException', expected)
    expectRefusal(await scene.call('GenerateRandom', { NumberOfBytes: 32, ...refused }), 'ValidationException', expected)
  })

  it('is refused by a dry run too', async () => {
    expectRefusal(await scene.call('GenerateDataKey', { KeyId: key.id, KeySpec: 'AES_256', DryRun: true, ...recipient(enclave, { timestamp: 1 }) }), 'ValidationException', 'The attestation document is not valid: it is older than 300 s.')
    expectRefusal(await scene.call('GenerateDataKey', { KeyId: key.id, KeySpec: 'AES_256', DryRun: true, ...recipient() }), 'DryRunOperationException', 'The request would have succeeded, but the DryRun option is set.')
  })

  it('half a Recipient is none', async () => {
    for (const Recipient of [{}, { KeyEncryptionAlgorithm: 'RSAES_OAEP_SHA_256' }, { AttestationDocument: documentOf(maker, enclave).toString('base64') }]) {
      expectRefusal(await scene.call('GenerateRandom', { NumberOfBytes: 32, Recipient }), 'ValidationException', 'Recipient needs both KeyEncryptionAlgorithm and AttestationDocument.')
    }
  })
})

describe('a file of roots', () => {
  const leaf = maker.signer.certificate.toString()
  it.each([
    ['is not there', undefined, /attestation\.rootsFile: .* cannot be read \(ENOENT\)/], ['holds no certificate', 'hello', /holds no certificate in PEM/],
    ['holds what is none', '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n', /certificate 1 of .* cannot be read/], ['holds one of no authority', maker.root.certificate.toString() + leaf, /certificate 2 of .* is of no authority/],
  ] as const)('that %s stops the start', async (_, content, text) => {
    const rootsFile = join(folder, 'wrong.pem')
    if (content === undefined) await rm(rootsFile, { force: true })
    else writeFileSync(rootsFile, content)
    await expect(trent(['serve', '--config', scene.trent.config], { TRENT_ATTESTATION_ROOTS_FILE: rootsFile })).rejects.toMatchObject({ stderr: expect.stringMatching(text) as string })
  })
})
