import { execFileSync } from 'node:child_process'
import { constants, createHash, createPublicKey, randomBytes, verify as verifyMessage } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { GetPublicKeyCommand, SignCommand, VerifyCommand, type KMSClient, type SigningAlgorithmSpec } from '@aws-sdk/client-kms'
import { jwtVerify } from 'jose'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { digestSigning, keySpecs, type DigestSigning, type KeySpecName } from '../../src/keys/spec.ts'
import { kms } from '../support/aws.ts'
import { newFolder } from '../support/installation.ts'
import { expectRefusal, openScene, success, type Json, type Reply, type Scene, type TestKey } from '../support/scene.ts'
import { commonSections } from '../support/sections.ts'

const specs = ['RSA_2048', 'RSA_3072', 'RSA_4096', 'ECC_NIST_P256', 'ECC_NIST_P384', 'ECC_NIST_P521', 'ECC_SECG_P256K1'] as const satisfies readonly KeySpecName[]
type Spec = (typeof specs)[number]
const hello = 'aGVsbG8='

let scene: Scene
let client: KMSClient
let keys: Readonly<Record<Spec, TestKey>>

beforeAll(async () => {
  // Each signature is verified before it leaves.
  scene = await openScene({ keys: { verifySignatures: true } })
  client = kms(scene.trent.url)
  const made: [Spec, TestKey][] = []
  for (const KeySpec of specs) made.push([KeySpec, await scene.newKey({ KeySpec, KeyUsage: 'SIGN_VERIFY' })])
  keys = Object.fromEntries(made) as Record<Spec, TestKey>
}, 60_000)
afterAll(async () => {
  client.destroy()
  await scene.close()
})

const algorithmsOf = (spec: Spec): DigestSigning[] => (keySpecs[spec].usages.SIGN_VERIFY ?? []) as DigestSigning[]
const sign = (spec: Spec, SigningAlgorithm: string, Message: Buffer | string, more: Json = {}): Promise<Reply> =>
  scene.call('Sign', { KeyId: keys[spec].id, SigningAlgorithm, Message: Message.toString('base64'), ...more })
const signatureOf = (reply: Reply): Buffer => Buffer.from(String(success(reply).Signature), 'base64')
const verify = (spec: Spec, SigningAlgorithm: string, Message: Buffer, Signature: Buffer, more: Json = {}): Promise<Reply> =>
  scene.call('Verify', { KeyId: keys[spec].id, SigningAlgorithm, Message: Message.toString('base64'), Signature: Signature.toString('base64'), ...more })
const publicKeyOf = async (spec: Spec) => createPublicKey({ key: Buffer.from(String(success(await scene.call('GetPublicKey', { KeyId: keys[spec].id })).PublicKey), 'base64'), format: 'der', type: 'spki' })

const signing = { KeySpec: 'ECC_NIST_P256', KeyUsage: 'SIGN_VERIFY' }
commonSections('Sign', () => scene, ({ key: { id } }) => ({ KeyId: id, Message: hello, SigningAlgorithm: 'ECDSA_SHA_256' }), signing)
const signatures = new Map<string, unknown>()
commonSections('Verify', () => scene, async ({ key: { id } }) => {
  // Made once: the sections go on to ask while the key is disabled.
  if (!signatures.has(id)) signatures.set(id, success(await scene.call('Sign', { KeyId: id, Message: hello, SigningAlgorithm: 'ECDSA_SHA_256' })).Signature)
  return { KeyId: id, Message: hello, SigningAlgorithm: 'ECDSA_SHA_256', Signature: signatures.get(id) }
}, signing)
commonSections('GetPublicKey', () => scene, ({ key: { id } }) => ({ KeyId: id }), signing)

describe.each(specs)('a key of spec %s', spec => {
  it('says what it is, and its public key', async () => {
    const { KeyMetadata } = success(await scene.call('DescribeKey', { KeyId: keys[spec].id })) as { KeyMetadata: Json }
    expect(KeyMetadata).toMatchObject({ KeySpec: spec, CustomerMasterKeySpec: spec, KeyUsage: 'SIGN_VERIFY', SigningAlgorithms: algorithmsOf(spec), Enabled: true })
    expect(Object.keys(KeyMetadata)).not.toContain('CurrentKeyMaterialId')
    const { PublicKey, ...others } = success(await scene.call('GetPublicKey', { KeyId: keys[spec].id }))
    expect(others).toEqual({ KeyId: keys[spec].arn, CustomerMasterKeySpec: spec, KeySpec: spec, KeyUsage: 'SIGN_VERIFY', SigningAlgorithms: algorithmsOf(spec) })
    expect(success(await scene.call('GetPublicKey', { KeyId: keys[spec].id })).PublicKey).toBe(PublicKey)
    const details = (await publicKeyOf(spec)).asymmetricKeyDetails
    expect(details).toEqual(spec.startsWith('RSA') ? { modulusLength: Number(spec.slice(4)), publicExponent: 65537n }
      : { namedCurve: { ECC_NIST_P256: 'prime256v1', ECC_NIST_P384: 'secp384r1', ECC_NIST_P521: 'secp521r1', ECC_SECG_P256K1: 'secp256k1' }[spec as string] })
  })

  it('signs messages and digests alike; node:crypto and Verify hold both for genuine', async () => {
    const publicKey = await publicKeyOf(spec)
    for (const algorithm of algorithmsOf(spec)) {
      const { hash, scheme } = digestSigning[algorithm]
      const padding = scheme === 'pss' ? { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: constants.RSA_PSS_SALTLEN_DIGEST } : {}
      for (const message of [randomBytes(1), randomBytes(4096)]) {
        const digest = createHash(hash).update(message).digest()
        const raw = await sign(spec, algorithm, message)
        const { Signature, ...others } = success(raw)
        expect(others).toEqual({ KeyId: keys[spec].arn, SigningAlgorithm: algorithm })
        for (const signature of [Buffer.from(String(Signature), 'base64'), signatureOf(await sign(spec, algorithm, digest, { MessageType: 'DIGEST' }))]) {
          expect(verifyMessage(hash, message, { key: publicKey, ...padding }, signature)).toBe(true)
          const valid = { KeyId: keys[spec].arn, SignatureValid: true, SigningAlgorithm: algorithm }
          expect(success(await verify(spec, algorithm, message, signature))).toEqual(valid)
          expect(success(await verify(spec, algorithm, digest, signature, { MessageType: 'DIGEST' }))).toEqual(valid)
        }
      }
    }
  })

  it('refuses a signature that is changed, cut, longer, of another message, algorithm or key, without a word', async () => {
    const message = Buffer.from('message')
    for (const algorithm of algorithmsOf(spec)) {
      const signature = signatureOf(await sign(spec, algorithm, message))
      const changed = [0, 1, Math.floor(signature.length / 2), signature.length - 1].map(at => Buffer.from(signature).fill((signature[at] ?? 0) ^ 1, at, at + 1))
      const digest = createHash(digestSigning[algorithm].hash).update(message).digest()
      for (const wrong of [...changed, signature.subarray(1), signature.subarray(0, -1), Buffer.concat([signature, Buffer.alloc(1)]), Buffer.alloc(1), Buffer.alloc(6144, 7), Buffer.alloc(signature.length)]) {
        expectRefusal(await verify(spec, algorithm, message, wrong), 'KMSInvalidSignatureException')
        expectRefusal(await verify(spec, algorithm, digest, wrong, { MessageType: 'DIGEST' }), 'KMSInvalidSignatureException')
      }
      expectRefusal(await verify(spec, algorithm, Buffer.from('massage'), signature), 'KMSInvalidSignatureException')
      for (const other of algorithmsOf(spec).filter(one => one !== algorithm)) expectRefusal(await verify(spec, other, message, signature), 'KMSInvalidSignatureException')
    }
  })

  it('checks the length of a digest before all else', async () => {
    for (const algorithm of algorithmsOf(spec)) {
      const { digestBytes } = digestSigning[algorithm]
      for (const length of [1, 20, digestBytes - 1, digestBytes + 1, 4096]) {
        const text = `Digest is invalid length for algorithm ${algorithm}.`
        expectRefusal(await sign(spec, algorithm, Buffer.alloc(length), { MessageType: 'DIGEST' }), 'ValidationException', text)
        expectRefusal(await verify(spec, algorithm, Buffer.alloc(length), Buffer.alloc(1), { MessageType: 'DIGEST' }), 'ValidationException', text)
      }
      expect((await sign(spec, algorithm, Buffer.alloc(64), { MessageType: 'EXTERNAL_MU' })).body.__type).toBe('ValidationException')
    }
  })

  it('takes its own algorithms only', async () => {
    for (const other of [...Object.keys(digestSigning), 'SM2DSA', 'ML_DSA_SHAKE_256', 'ED25519_SHA_512'].filter(name => !algorithmsOf(spec).includes(name as DigestSigning))) {
      const text = `Algorithm ${other} is incompatible with key spec ${spec}.`
      expectRefusal(await sign(spec, other, hello), 'InvalidKeyUsageException', text)
      expectRefusal(await verify(spec, other, Buffer.from('hello'), Buffer.alloc(1)), 'InvalidKeyUsageException', text)
    }
  })

  it('works through the SDK', async () => {
    const input = { KeyId: keys[spec].arn, Message: Buffer.from('hello'), SigningAlgorithm: algorithmsOf(spec)[0] as SigningAlgorithmSpec }
    const { Signature } = await client.send(new SignCommand(input))
    expect(await client.send(new VerifyCommand({ ...input, Signature }))).toMatchObject({ SignatureValid: true, KeyId: keys[spec].arn })
    await expect(client.send(new VerifyCommand({ ...input, Message: Buffer.from('hallo'), Signature }))).rejects.toMatchObject({ name: 'KMSInvalidSignatureException' })
    expect((await client.send(new GetPublicKeyCommand({ KeyId: keys[spec].id }))).PublicKey).toBeInstanceOf(Uint8Array)
  })
})

describe('other tools', () => {
  it('openssl verifies a signature over a digest', async () => {
    const folder = await newFolder('openssl')
    for (const spec of ['ECC_NIST_P256', 'RSA_2048'] as const) {
      const algorithm = spec === 'RSA_2048' ? 'RSASSA_PKCS1_V1_5_SHA_256' : 'ECDSA_SHA_256'
      const files = { key: join(folder, 'key.pem'), message: join(folder, 'message'), signature: join(folder, 'signature') }
      await writeFile(files.message, 'message')
      await writeFile(files.key, (await publicKeyOf(spec)).export({ type: 'spki', format: 'pem' }))
      await writeFile(files.signature, signatureOf(await sign(spec, algorithm, createHash('sha256').update('message').digest(), { MessageType: 'DIGEST' })))
      expect(execFileSync('openssl', ['dgst', '-sha256', '-verify', files.key, '-signature', files.signature, files.message]).toString()).toBe('Verified OK\n')
    }
  })

  it.each([
    ['RS256', 'RSA_2048', 'RSASSA_PKCS1_V1_5_SHA_256'], ['PS512', 'RSA_3072', 'RSASSA_PSS_SHA_512'], ['ES256', 'ECC_NIST_P256', 'ECDSA_SHA_256'], ['ES384', 'ECC_NIST_P384', 'ECDSA_SHA_384'],
    ['ES512', 'ECC_NIST_P521', 'ECDSA_SHA_512'],
  ] as const)('jose verifies a JSON Web Token that Sign has signed by %s', async (alg, spec, algorithm) => {
    const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url')
    const signed = `${part({ alg, typ: 'JWT' })}.${part({ sub: 'alice', iss: 'trent', iat: 1_700_000_000 })}`
    const given = signatureOf(await sign(spec, algorithm, Buffer.from(signed)))
    // A JWS holds r and s, not DER: what clients of AWS do with each ECDSA signature.
    const signature = digestSigning[algorithm].scheme === 'ecdsa' ? joseOf(given, spec === 'ECC_NIST_P521' ? 66 : spec === 'ECC_NIST_P384' ? 48 : 32) : given
    const key = await publicKeyOf(spec)
    expect((await jwtVerify(`${signed}.${signature.toString('base64url')}`, key, { issuer: 'trent' })).payload.sub).toBe('alice')
    const forged = `${part({ alg, typ: 'JWT' })}.${part({ sub: 'mallory', iss: 'trent', iat: 1_700_000_000 })}`
    await expect(jwtVerify(`${forged}.${signature.toString('base64url')}`, key)).rejects.toThrow('signature verification failed')
  })
})

function joseOf(der: Buffer, bytes: number): Buffer {
  const start = der[1] === 0x81 ? 3 : 2
  const r = der.subarray(start + 2, start + 2 + (der[start + 1] ?? 0))
  const s = der.subarray(start + 4 + r.length)
  return Buffer.concat([r, s].map(part => Buffer.concat([Buffer.alloc(Math.max(0, bytes - part.length)), part.subarray(Math.max(0, part.length - bytes))])))
}

describe('ECC_NIST_EDWARDS25519', () => {
  let key: TestKey
  beforeAll(async () => { key = await scene.newKey({ KeySpec: 'ECC_NIST_EDWARDS25519', KeyUsage: 'SIGN_VERIFY' }) })
  const input = (message: Buffer, more: Json = {}): Json => ({ KeyId: key.id, SigningAlgorithm: 'ED25519_SHA_512', Message: message.toString('base64'), ...more })
  const signed = async (message: Buffer): Promise<Buffer> => signatureOf(await scene.call('Sign', input(message)))
  const verified = (message: Buffer, signature: Buffer): Promise<Reply> => scene.call('Verify', input(message, { Signature: signature.toString('base64') }))

  it('is on the token, since SoftHSM wraps no such key, and told as AWS tells it', async () => {
    const { KeyMetadata } = success(await scene.call('DescribeKey', { KeyId: key.id })) as { KeyMetadata: Json }
    expect(KeyMetadata).toMatchObject({ KeySpec: 'ECC_NIST_EDWARDS25519', KeyUsage: 'SIGN_VERIFY', SigningAlgorithms: ['ED25519_SHA_512', 'ED25519_PH_SHA_512'] })
    const { rows } = await scene.pool.query<{ residency: string }>({ name: 'test-residency', text: 'SELECT residency FROM materials WHERE key_id = $1', values: [key.id] })
    expect(rows).toEqual([{ residency: 'resident' }])
  })

  it('signs messages; node:crypto, jose, OpenSSL and Verify hold the signature for genuine, and no other', async () => {
    const publicKey = createPublicKey({ key: Buffer.from(String(success(await scene.call('GetPublicKey', { KeyId: key.id })).PublicKey), 'base64'), format: 'der', type: 'spki' })
    expect(publicKey.asymmetricKeyType).toBe('ed25519')
    for (const message of [randomBytes(1), randomBytes(4096)]) {
      const signature = await signed(message)
      expect(verifyMessage(null, message, publicKey, signature)).toBe(true)
      expect(success(await verified(message, signature))).toEqual({ KeyId: key.arn, SignatureValid: true, SigningAlgorithm: 'ED25519_SHA_512' })
      const changed = [0, 31, 32, 63].map(at => Buffer.from(signature).fill((signature[at] ?? 0) ^ 1, at, at + 1))
      // s + L: the same signature, and one that a verifier must not take (RFC 8032, 5.1.7).
      for (const wrong of [...changed, plusOrder(signature), signature.subarray(1), Buffer.concat([signature, Buffer.alloc(1)]), Buffer.alloc(1), Buffer.alloc(64), Buffer.alloc(6144)]) {
        expectRefusal(await verified(message, wrong), 'KMSInvalidSignatureException')
      }
      expectRefusal(await verified(Buffer.from('another'), signature), 'KMSInvalidSignatureException')
    }
    const token = ['{"alg":"EdDSA"}', '{"sub":"alice"}'].map(part => Buffer.from(part).toString('base64url')).join('.')
    expect((await jwtVerify(`${token}.${(await signed(Buffer.from(token))).toString('base64url')}`, publicKey)).payload.sub).toBe('alice')
    const folder = await newFolder('openssl')
    const files = { key: join(folder, 'key.pem'), message: join(folder, 'message'), signature: join(folder, 'signature') }
    await writeFile(files.message, 'message')
    await writeFile(files.key, publicKey.export({ type: 'spki', format: 'pem' }))
    await writeFile(files.signature, await signed(Buffer.from('message')))
    expect(execFileSync('openssl', ['pkeyutl', '-verify', '-rawin', '-pubin', '-inkey', files.key, '-sigfile', files.signature, '-in', files.message]).toString()).toBe('Signature Verified Successfully\n')
  })

  it('takes no digest, and no Ed25519ph, which SoftHSM would sign as if it were pure', async () => {
    const signature = { Signature: Buffer.alloc(64).toString('base64') }
    for (const [operation, more] of [['Sign', {}], ['Verify', signature]] as const) {
      for (const MessageType of ['DIGEST', 'EXTERNAL_MU']) {
        expectRefusal(await scene.call(operation, input(Buffer.alloc(64), { MessageType, ...more })), 'ValidationException', `MessageType ${MessageType} is incompatible with algorithm ED25519_SHA_512.`)
      }
      expectRefusal(await scene.call(operation, input(Buffer.alloc(64), { MessageType: 'DIGEST', SigningAlgorithm: 'ED25519_PH_SHA_512', ...more })), 'UnsupportedOperationException',
        'SigningAlgorithm ED25519_PH_SHA_512 is not supported by the HSM of this deployment.')
    }
    expectRefusal(await scene.call('Sign', input(Buffer.alloc(64), { SigningAlgorithm: 'ECDSA_SHA_256' })), 'InvalidKeyUsageException', 'Algorithm ECDSA_SHA_256 is incompatible with key spec ECC_NIST_EDWARDS25519.')
  })
})

/** With the order of the base point added to s, which is written with its least byte first. */
function plusOrder(signature: Buffer): Buffer {
  const order = (1n << 252n) + 27742317777372353535851937790883648493n
  const s = BigInt(`0x${Buffer.from(signature.subarray(32)).reverse().toString('hex')}`) + order
  return Buffer.concat([signature.subarray(0, 32), Buffer.from(s.toString(16).padStart(64, '0'), 'hex').reverse()])
}

describe('what is asked of a wrong key', () => {
  it('names the usage that the key has', async () => {
    const symmetric = await scene.newKey()
    for (const [operation, more] of [['Sign', {}], ['Verify', { Signature: hello }]] as const) {
      expectRefusal(await scene.call(operation, { KeyId: symmetric.id, Message: hello, SigningAlgorithm: 'ECDSA_SHA_256', ...more }), 'InvalidKeyUsageException',
        `${symmetric.arn} key usage is ENCRYPT_DECRYPT which is not valid for ${operation}.`)
    }
    expectRefusal(await scene.call('Encrypt', { KeyId: keys.RSA_2048.id, Plaintext: hello }), 'InvalidKeyUsageException', `${keys.RSA_2048.arn} key usage is SIGN_VERIFY which is not valid for Encrypt.`)
  })

  it('secret keys have no public key', async () => {
    for (const input of [{}, { KeySpec: 'HMAC_256', KeyUsage: 'GENERATE_VERIFY_MAC' }]) {
      expectRefusal(await scene.call('GetPublicKey', { KeyId: (await scene.newKey(input)).id }), 'UnsupportedOperationException')
    }
  })
})

describe('a dry run', () => {
  it('does all that the call does, and answers nothing', async () => {
    const text = 'The request would have succeeded, but the DryRun option is set.'
    const signature = signatureOf(await sign('ECC_NIST_P256', 'ECDSA_SHA_256', hello))
    expectRefusal(await sign('ECC_NIST_P256', 'ECDSA_SHA_256', hello, { DryRun: true }), 'DryRunOperationException', text)
    expectRefusal(await verify('ECC_NIST_P256', 'ECDSA_SHA_256', Buffer.from('hello'), signature, { DryRun: true }), 'DryRunOperationException', text)
    expectRefusal(await verify('ECC_NIST_P256', 'ECDSA_SHA_256', Buffer.from('hallo'), signature, { DryRun: true }), 'KMSInvalidSignatureException')
  })
})

describe('a public key that someone changed in the database', () => {
  it('is neither used nor told, and raises the alarm', async () => {
    const { id } = await scene.newKey(signing)
    const other = Buffer.from(String(success(await scene.call('GetPublicKey', { KeyId: keys.ECC_NIST_P256.id })).PublicKey), 'base64')
    await scene.change(tx => tx.query({ name: 'test-swap-spki', text: 'UPDATE materials SET spki = $2 WHERE key_id = $1', values: [id, other] }))
    for (const [operation, more] of [['GetPublicKey', {}], ['Verify', { Message: hello, SigningAlgorithm: 'ECDSA_SHA_256', Signature: hello }], ['Sign', { Message: hello, SigningAlgorithm: 'ECDSA_SHA_256' }]] as const) {
      const { status, body } = await scene.call(operation, { KeyId: id, ...more })
      expect({ status, type: body.__type }).toEqual({ status: 500, type: 'KMSInternalException' })
    }
    expect(await scene.trent.log()).toContain('ALARM')
  })
})
