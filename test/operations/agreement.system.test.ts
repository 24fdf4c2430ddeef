import { createECDH, createPublicKey, diffieHellman, generateKeyPairSync } from 'node:crypto'
import { DeriveSharedSecretCommand, type KMSClient } from '@aws-sdk/client-kms'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { curves, type CurveName } from '../../src/keys/curve.ts'
import { ecSpki } from '../../src/keys/public-key.ts'
import { kms } from '../support/aws.ts'
import { expectRefusal, openScene, success, type Json, type Reply, type Scene, type TestKey } from '../support/scene.ts'
import { commonSections } from '../support/sections.ts'

const specs = { ECC_NIST_P256: 'P-256', ECC_NIST_P384: 'P-384', ECC_NIST_P521: 'P-521' } as const satisfies Readonly<Record<string, CurveName>>
type Spec = keyof typeof specs

let scene: Scene
let client: KMSClient
let keys: Readonly<Record<Spec, TestKey>>

beforeAll(async () => {
  scene = await openScene()
  client = kms(scene.trent.url)
  const made: [Spec, TestKey][] = []
  for (const KeySpec of Object.keys(specs) as Spec[]) made.push([KeySpec, await scene.newKey({ KeySpec, KeyUsage: 'KEY_AGREEMENT' })])
  keys = Object.fromEntries(made) as Record<Spec, TestKey>
})
afterAll(async () => {
  client.destroy()
  await scene.close()
})

const pairOf = (curve: CurveName) => {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: curves[curve].openssl })
  return { privateKey, spki: publicKey.export({ type: 'spki', format: 'der' }) }
}
const derive = (KeyId: string, PublicKey: Buffer, more: Json = {}): Promise<Reply> =>
  scene.call('DeriveSharedSecret', { KeyId, KeyAgreementAlgorithm: 'ECDH', PublicKey: PublicKey.toString('base64'), ...more })

const { spki: someone } = pairOf('P-256')
commonSections('DeriveSharedSecret', () => scene, ({ key: { id } }) => ({ KeyId: id, KeyAgreementAlgorithm: 'ECDH', PublicKey: someone.toString('base64') }), { KeySpec: 'ECC_NIST_P256', KeyUsage: 'KEY_AGREEMENT' })

describe.each(Object.entries(specs) as [Spec, CurveName][])('a key of spec %s', (spec, curve) => {
  const publicKeyOf = async (keyId: string) => createPublicKey({ key: Buffer.from(String(success(await scene.call('GetPublicKey', { KeyId: keyId })).PublicKey), 'base64'), format: 'der', type: 'spki' })

  it('says what it is', async () => {
    expect(success(await scene.call('DescribeKey', { KeyId: keys[spec].id }))).toMatchObject({ KeyMetadata: { KeySpec: spec, KeyUsage: 'KEY_AGREEMENT', KeyAgreementAlgorithms: ['ECDH'] } })
    expect(success(await scene.call('GetPublicKey', { KeyId: keys[spec].id }))).toMatchObject({ KeyUsage: 'KEY_AGREEMENT', KeyAgreementAlgorithms: ['ECDH'] })
  })

  it('agrees with node:crypto on the secret', async () => {
    const publicKey = await publicKeyOf(keys[spec].id)
    for (let tried = 0; tried < 20; tried++) {
      const { privateKey, spki } = pairOf(curve)
      expect(success(await derive(keys[spec].id, spki))).toEqual({
        KeyId: keys[spec].arn, SharedSecret: diffieHellman({ privateKey, publicKey }).toString('base64'), KeyAgreementAlgorithm: 'ECDH', KeyOrigin: 'AWS_KMS',
      })
    }
  })

  it('agrees with another key of Trent', async () => {
    const other = await scene.newKey({ KeySpec: spec, KeyUsage: 'KEY_AGREEMENT' })
    const spkiOf = async (keyId: string): Promise<Buffer> => Buffer.from(String(success(await scene.call('GetPublicKey', { KeyId: keyId })).PublicKey), 'base64')
    const [here, there] = [success(await derive(keys[spec].id, await spkiOf(other.id))).SharedSecret, success(await derive(other.id, await spkiOf(keys[spec].id))).SharedSecret]
    expect(here).toBe(there)
  })

  it('refuses what is no public key of its curve without a word', async () => {
    const { spki, privateKey } = pairOf(curve)
    const { bytes, openssl, oid } = curves[curve]
    const off = Buffer.from(spki)
    off[off.length - 1] = (off.at(-1) ?? 0) ^ 1
    const compressed = createECDH(openssl)
    compressed.generateKeys()
    const wrong: readonly (readonly [what: string, key: Buffer])[] = [
      ['one byte', Buffer.from([1])], ['text', Buffer.from('public key')], ['PEM', Buffer.from(createPublicKey(privateKey).export({ type: 'spki', format: 'pem' }))],
      ['a private key', privateKey.export({ type: 'pkcs8', format: 'der' })], ['off the curve', off], ['zeroes', ecSpki(curve, Buffer.concat([Buffer.from([4]), Buffer.alloc(2 * bytes)]))],
      ['beyond the field', ecSpki(curve, Buffer.concat([Buffer.from([4]), Buffer.alloc(2 * bytes, 0xff)]))], ['the point at infinity', ecSpki(curve, Buffer.from([0]))],
      ['compressed', ecSpki(curve, compressed.getPublicKey(undefined, 'compressed'))], ['the bare point', spki.subarray(-1 - 2 * bytes)], ['cut', spki.subarray(0, -1)], ['trailing', Buffer.concat([spki, Buffer.alloc(1)])],
      ['another curve', pairOf(curve === 'P-256' ? 'P-384' : 'P-256').spki], ['secp256k1', pairOf('secp256k1').spki], ['RSA', generateKeyPairSync('rsa', { modulusLength: 2048 }).publicKey.export({ type: 'spki', format: 'der' })],
      ['Ed25519', generateKeyPairSync('ed25519').publicKey.export({ type: 'spki', format: 'der' })], ['X25519', generateKeyPairSync('x25519').publicKey.export({ type: 'spki', format: 'der' })],
      ['the name of another curve', Buffer.from(spki.toString('hex').replace(oid.toString('hex'), '06082a8648ce3d030101'), 'hex')], ['8,192 bytes', Buffer.alloc(8192, 0x30)],
    ]
    for (const [what, key] of wrong) expectRefusal(await derive(keys[spec].id, key), 'ValidationException', undefined, what)
  })

  it('works through the SDK', async () => {
    const { privateKey, spki } = pairOf(curve)
    const { SharedSecret } = await client.send(new DeriveSharedSecretCommand({ KeyId: keys[spec].arn, KeyAgreementAlgorithm: 'ECDH', PublicKey: spki }))
    expect(Buffer.from(SharedSecret ?? [])).toEqual(diffieHellman({ privateKey, publicKey: await publicKeyOf(keys[spec].id) }))
  })
})

describe('what is asked of a wrong key, or wrongly', () => {
  it('names the usage that the key has', async () => {
    const signing = await scene.newKey({ KeySpec: 'ECC_NIST_P256', KeyUsage: 'SIGN_VERIFY' })
    expectRefusal(await derive(signing.id, someone), 'InvalidKeyUsageException', `${signing.arn} key usage is SIGN_VERIFY which is not valid for DeriveSharedSecret.`)
    expectRefusal(await scene.call('Sign', { KeyId: keys.ECC_NIST_P256.id, Message: 'aGVsbG8=', SigningAlgorithm: 'ECDSA_SHA_256' }), 'InvalidKeyUsageException', `${keys.ECC_NIST_P256.arn} key usage is KEY_AGREEMENT which is not valid for Sign.`)
    expectRefusal(await scene.call('CreateKey', { KeySpec: 'ECC_SECG_P256K1', KeyUsage: 'KEY_AGREEMENT' }), 'ValidationException', 'KeyUsage KEY_AGREEMENT is not compatible with KeySpec ECC_SECG_P256K1')
  })

  it('a dry run does all of it, and answers nothing', async () => {
    expectRefusal(await derive(keys.ECC_NIST_P256.id, someone, { DryRun: true }), 'DryRunOperationException', 'The request would have succeeded, but the DryRun option is set.')
    expectRefusal(await derive(keys.ECC_NIST_P256.id, Buffer.from([1]), { DryRun: true }), 'ValidationException')
  })

  it('an attestation document cannot be verified yet', async () => {
    const reply = await derive(keys.ECC_NIST_P256.id, someone, { Recipient: { KeyEncryptionAlgorithm: 'RSAES_OAEP_SHA_256', AttestationDocument: 'aGVsbG8=' } })
    expect(reply.body.__type).toBe('UnsupportedOperationException')
  })
})
