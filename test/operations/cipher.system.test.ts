import fc from 'fast-check'
import { randomBytes } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest'
import { DecryptCommand, EncryptCommand, type KMSClient } from '@aws-sdk/client-kms'
import { defaultKeyPolicy } from '../../src/authz/default-policy.ts'
import { insertKey } from '../../src/store/keys.ts'
import { insertAlias } from '../../src/store/aliases.ts'
import { putKeyPolicy } from '../../src/store/policies.ts'
import { kms } from '../support/aws.ts'
import { expectRefusal, keyArn, openScene, policyOf, statement, success, type Json, type Reply, type Scene, type TestKey } from '../support/scene.ts'
import { commonSections } from '../support/sections.ts'

let scene: Scene
let client: KMSClient
let key: TestKey
let other: TestKey
/** Of `hello` under `key`, with and without a context. */
let bound: string
let free: string
const context = { tenant: 'blue', purpose: 'mail' }
const { account, identities } = inject('installation')
const { plain, foreign } = identities
const hello = 'aGVsbG8='

beforeAll(async () => {
  scene = await openScene()
  client = kms(scene.trent.url)
  ;[key, other] = [await scene.newKey(), await scene.newKey()]
  bound = await encrypt(key.id, hello, context)
  free = await encrypt(key.id, hello)
})
afterAll(async () => {
  client.destroy()
  await scene.close()
})

async function encrypt(KeyId: string, Plaintext: string, EncryptionContext?: Json | string): Promise<string> {
  const input = typeof EncryptionContext === 'string' ? `{"KeyId":"${KeyId}","Plaintext":"${Plaintext}","EncryptionContext":${EncryptionContext}}` : { KeyId, Plaintext, EncryptionContext }
  return String(success(await scene.call('Encrypt', input)).CiphertextBlob)
}

/** `context` as JSON where an object cannot say it. */
const decrypt = (CiphertextBlob: string, EncryptionContext?: Json | string, more: Json = {}): Promise<Reply> =>
  scene.call('Decrypt', typeof EncryptionContext === 'string' ? `{"CiphertextBlob":"${CiphertextBlob}","EncryptionContext":${EncryptionContext}}` : { CiphertextBlob, EncryptionContext, ...more })

const bytesOf = (blob: string): Buffer => Buffer.from(blob, 'base64')
const dryRunText = 'The request would have succeeded, but the DryRun option is set.'
const wrongKey = 'The key ID in the request does not identify a CMK that can perform this operation.'

commonSections('Encrypt', () => scene, ({ key: { id } }) => ({ KeyId: id, Plaintext: hello }))
commonSections('Decrypt', () => scene, ({ ciphertext }) => ({ CiphertextBlob: ciphertext }))
// Where the caller names the key too, the refusals name it as well.
describe('with KeyId', () => {
  commonSections('Decrypt', () => scene, ({ ciphertext, key: { id } }) => ({ CiphertextBlob: ciphertext, KeyId: id }))
})

describe('round trips', () => {
  it('give back every plaintext from 1 to 4,096 bytes, and say which key and material', async () => {
    const { KeyMetadata } = success(await scene.call('DescribeKey', { KeyId: key.id })) as { KeyMetadata: Json }
    for (const length of [1, 2, 15, 16, 17, 255, 4095, 4096]) {
      const Plaintext = randomBytes(length).toString('base64')
      const sealed = success(await scene.call('Encrypt', { KeyId: key.id, Plaintext, EncryptionContext: context }))
      expect(sealed).toEqual({ CiphertextBlob: expect.any(String) as string, KeyId: key.arn, EncryptionAlgorithm: 'SYMMETRIC_DEFAULT' })
      const blob = String(sealed.CiphertextBlob)
      expect(bytesOf(blob).length - length, 'overhead').toBeLessThan(100)
      expect(success(await decrypt(blob, context))).toEqual({ KeyId: key.arn, Plaintext, EncryptionAlgorithm: 'SYMMETRIC_DEFAULT', KeyMaterialId: KeyMetadata.CurrentKeyMaterialId })
    }
  })

  it('through the SDK, with bytes of any value', async () => {
    await fc.assert(fc.asyncProperty(fc.uint8Array({ minLength: 1, maxLength: 4096 }), fc.dictionary(fc.string({ minLength: 1, unit: 'grapheme' }), fc.string({ unit: 'grapheme' }), { maxKeys: 5 }), async (Plaintext, EncryptionContext) => {
      const { CiphertextBlob } = await client.send(new EncryptCommand({ KeyId: key.id, Plaintext, EncryptionContext }))
      const opened = await client.send(new DecryptCommand({ CiphertextBlob, EncryptionContext }))
      expect(Buffer.from(opened.Plaintext ?? []).equals(Plaintext)).toBe(true)
    }), { numRuns: 30 })
  })

  it('never make the same ciphertext or IV twice', async () => {
    const blobs = await Promise.all(Array.from({ length: 50 }, () => encrypt(key.id, hello)))
    expect(new Set(blobs).size).toBe(50)
    expect(new Set(blobs.map(blob => bytesOf(blob).subarray(55, 67).toString('hex'))).size).toBe(50)
  })

  it('work whatever name the key is given, and answer with its ARN', async () => {
    const name = 'alias/cipher/test_1'
    await scene.change(tx => insertAlias(tx, { accountId: account, name, keyId: key.id }))
    for (const KeyId of [key.id, key.arn, name, keyArn('').replace('key/', name)]) {
      const { CiphertextBlob, KeyId: answered } = success(await scene.call('Encrypt', { KeyId, Plaintext: hello }))
      expect(answered).toBe(key.arn)
      expect(success(await scene.call('Decrypt', { CiphertextBlob, KeyId }))).toMatchObject({ KeyId: key.arn, Plaintext: hello })
    }
  })

  it('follow an alias that is pointed elsewhere, while the ciphertext still names its key', async () => {
    await scene.change(tx => insertAlias(tx, { accountId: account, name: 'alias/moving', keyId: key.id }))
    const blob = await encrypt('alias/moving', hello)
    await scene.change(tx => tx.query('UPDATE aliases SET key_id = $1 WHERE name = $2', [other.id, 'alias/moving']))
    expect(success(await scene.call('Encrypt', { KeyId: 'alias/moving', Plaintext: hello })).KeyId).toBe(other.arn)
    expect(success(await decrypt(blob)).KeyId).toBe(key.arn)
    expectRefusal(await decrypt(blob, undefined, { KeyId: 'alias/moving' }), 'IncorrectKeyException', wrongKey)
  })
})

describe('the encryption context', () => {
  it('counts in any order, and must be the same otherwise', async () => {
    success(await decrypt(bound, { purpose: 'mail', tenant: 'blue' }))
    const others = [undefined, {}, { tenant: 'blue' }, { ...context, more: '1' }, { ...context, tenant: 'Blue' }, { Tenant: 'blue', purpose: 'mail' }, { tenant: 'mail', purpose: 'blue' }, { ...context, tenant: 'blue ' }]
    for (const wrong of others) expectRefusal(await decrypt(bound, wrong), 'InvalidCiphertextException', undefined, JSON.stringify(wrong))
    expectRefusal(await decrypt(free, context), 'InvalidCiphertextException')
  })

  it('absent, null and empty is the same', async () => {
    for (const one of [free, await encrypt(key.id, hello, {}), await encrypt(key.id, hello, 'null')]) {
      for (const none of [undefined, {}, 'null']) expect(success(await decrypt(one, none)).Plaintext).toBe(hello)
    }
  })

  it('keeps members that JavaScript would lose or merge', async () => {
    const odd = ['{"__proto__":"a"}', '{"__proto__":"b"}', '{"constructor":"a"}', '{"toString":"a"}', '{"hasOwnProperty":"a"}', '{"":"a"}', '{"a":""}', '{"1":"a","0":"b"}']
    for (const sealedWith of odd) {
      const blob = await encrypt(key.id, hello, sealedWith)
      for (const one of [...odd, '{}']) {
        const reply = await decrypt(blob, one)
        if (one === sealedWith) success(reply)
        else expectRefusal(reply, 'InvalidCiphertextException', undefined, `${sealedWith} opened with ${one}`)
      }
    }
  })

  it('is compared by its bytes: composed and decomposed letters differ, other scripts and emoji are kept', async () => {
    const blob = await encrypt(key.id, hello, { 'schl\u00fcssel\u{1f511}': 'ﬁ\u0000\u{10ffff}' })
    success(await decrypt(blob, { 'schl\u00fcssel\u{1f511}': 'ﬁ\u0000\u{10ffff}' }))
    expectRefusal(await decrypt(blob, { 'schlu\u0308ssel\u{1f511}': 'ﬁ\u0000\u{10ffff}' }), 'InvalidCiphertextException')
    // U+FF5E stands before U+1F511 in UTF-8 and behind it in UTF-16: both ends must sort alike.
    const sorted = await encrypt(key.id, hello, '{"\u{1f511}":"1","\uff5e":"2"}')
    success(await decrypt(sorted, '{"\uff5e":"2","\u{1f511}":"1"}'))
  })

  it('takes no lone surrogate, which would be another context in UTF-8', async () => {
    for (const wrong of ['{"\\ud800":"a"}', '{"a":"\\udfff"}', '{"a":"\\ud83d x"}']) {
      expectRefusal(await scene.call('Encrypt', `{"KeyId":"${key.id}","Plaintext":"${hello}","EncryptionContext":${wrong}}`), 'SerializationException')
    }
  })

  it('cannot shift bytes between names and values', async () => {
    const blob = await encrypt(key.id, hello, { ab: 'c', d: 'e' })
    for (const wrong of [{ a: 'bc', d: 'e' }, { ab: 'cd', e: '' }, { abc: '', d: 'e' }, { 'ab\u0000': 'c', d: 'e' }]) expectRefusal(await decrypt(blob, wrong), 'InvalidCiphertextException')
  })

  it('may be large', async () => {
    const large = Object.fromEntries(Array.from({ length: 200 }, (_, index) => [`name-${index}`, 'v'.repeat(200)]))
    success(await decrypt(await encrypt(key.id, hello, large), large))
  })
})

describe('a ciphertext that is none', () => {
  it('of random bytes is InvalidCiphertextException, never a fault of the server', async () => {
    await fc.assert(fc.asyncProperty(fc.uint8Array({ minLength: 1, maxLength: 6144 }), fc.boolean(), async (bytes, named) => {
      const reply = await decrypt(Buffer.from(bytes).toString('base64'), undefined, named ? { KeyId: key.id } : {})
      expectRefusal(reply, 'InvalidCiphertextException')
    }), { numRuns: 200 })
  })

  it('with a genuine header and random bytes behind it neither', async () => {
    const header = bytesOf(free).subarray(0, 67)
    await fc.assert(fc.asyncProperty(fc.uint8Array({ minLength: 0, maxLength: 300 }), async tail => {
      expectRefusal(await decrypt(Buffer.concat([header, tail]).toString('base64')), 'InvalidCiphertextException')
    }), { numRuns: 100 })
  })

  it('with one bit flipped anywhere is refused; where the header then names another key, as that key is', async () => {
    const genuine = bytesOf(free)
    for (let at = 0; at < genuine.length; at++) {
      const flipped = Buffer.from(genuine)
      flipped[at] = (flipped[at] ?? 0) ^ (1 << (at % 8))
      const bare = await decrypt(flipped.toString('base64'))
      const named = await decrypt(flipped.toString('base64'), undefined, { KeyId: key.id })
      // Bytes 3 to 18 are the key id, and the lowest bit of byte 2 says multi-Region: such a blob names a key that is not there.
      const namesAnother = (at >= 3 && at < 19) || (at === 2 && (flipped[at] ?? 0) === 1)
      if (namesAnother) {
        expect(bare.body, `byte ${at}`).toMatchObject({ __type: 'AccessDeniedException' })
        expectRefusal(named, 'IncorrectKeyException', wrongKey, `byte ${at}`)
      } else {
        expectRefusal(bare, 'InvalidCiphertextException', undefined, `byte ${at}`)
        expectRefusal(named, 'InvalidCiphertextException', undefined, `byte ${at}`)
      }
    }
  })

  it('cut anywhere, or with bytes behind it, is refused', async () => {
    const genuine = bytesOf(free)
    for (let length = 1; length < genuine.length; length++) expectRefusal(await decrypt(genuine.subarray(0, length).toString('base64')), 'InvalidCiphertextException', undefined, `${length} bytes`)
    for (const tail of [Buffer.alloc(1), randomBytes(16), genuine]) expectRefusal(await decrypt(Buffer.concat([genuine, tail]).toString('base64')), 'InvalidCiphertextException')
    expectRefusal(await decrypt(Buffer.concat([Buffer.alloc(1), genuine]).toString('base64')), 'InvalidCiphertextException')
  })

  it('put together from the header of one key and the body of another is refused', async () => {
    const [mine, theirs] = [bytesOf(free), bytesOf(await encrypt(other.id, hello))]
    expectRefusal(await decrypt(Buffer.concat([mine.subarray(0, 67), theirs.subarray(67)]).toString('base64')), 'InvalidCiphertextException')
    // The other key's id before this key's material: no such material there.
    expectRefusal(await decrypt(Buffer.concat([mine.subarray(0, 3), theirs.subarray(3, 19), mine.subarray(19)]).toString('base64')), 'InvalidCiphertextException')
  })
})

describe('the key that the caller names beside a ciphertext', () => {
  it('must be the one that made it', async () => {
    expectRefusal(await decrypt(bound, context, { KeyId: other.id }), 'IncorrectKeyException', wrongKey)
    expectRefusal(await decrypt(bound, {}, { KeyId: other.arn }), 'IncorrectKeyException', wrongKey)
  })

  it('is the wrong one before it has the wrong usage, and has the wrong state before that', async () => {
    const mac = '00000000-0000-4000-8000-0000000000a1'
    await scene.change(async tx => {
      await insertKey(tx, { id: mac, accountId: account, region: 'onprem-1', spec: 'HMAC_256', usage: 'GENERATE_VERIFY_MAC', origin: 'AWS_KMS', state: 'Enabled', description: '', multiRegion: false, manager: 'CUSTOMER' })
      await putKeyPolicy(tx, mac, defaultKeyPolicy(account))
    })
    expectRefusal(await decrypt(free, undefined, { KeyId: mac }), 'IncorrectKeyException', wrongKey)
    expectRefusal(await scene.call('Encrypt', { KeyId: mac, Plaintext: hello }), 'InvalidKeyUsageException', `${keyArn(mac)} key usage is GENERATE_VERIFY_MAC which is not valid for Encrypt.`)
    expectRefusal(await scene.call('Encrypt', { KeyId: mac, Plaintext: hello, EncryptionAlgorithm: 'RSAES_OAEP_SHA_1' }), 'InvalidKeyUsageException', `${keyArn(mac)} key usage is GENERATE_VERIFY_MAC which is not valid for Encrypt.`)
    await scene.setState(mac, 'Disabled')
    expectRefusal(await scene.call('Encrypt', { KeyId: mac, Plaintext: hello }), 'DisabledException', `${keyArn(mac)} is disabled.`)
  })

  it('takes no algorithm of another spec', async () => {
    for (const EncryptionAlgorithm of ['RSAES_OAEP_SHA_1', 'RSAES_OAEP_SHA_256', 'SM2PKE']) {
      const text = `Algorithm ${EncryptionAlgorithm} is incompatible with key spec SYMMETRIC_DEFAULT.`
      expectRefusal(await scene.call('Encrypt', { KeyId: key.id, Plaintext: hello, EncryptionAlgorithm }), 'InvalidKeyUsageException', text)
      expectRefusal(await decrypt(free, undefined, { EncryptionAlgorithm }), 'InvalidKeyUsageException', text)
    }
    success(await decrypt(free, undefined, { EncryptionAlgorithm: 'SYMMETRIC_DEFAULT' }))
  })
})

describe('a dry run', () => {
  it('fails as the call would, and with DryRunOperationException where that would succeed', async () => {
    expectRefusal(await scene.call('Encrypt', { KeyId: key.id, Plaintext: hello, DryRun: true }), 'DryRunOperationException', dryRunText)
    expectRefusal(await decrypt(free, undefined, { DryRun: true }), 'DryRunOperationException', dryRunText)
    expectRefusal(await decrypt(free, context, { DryRun: true }), 'InvalidCiphertextException')
    expectRefusal(await decrypt(free, undefined, { DryRun: true, KeyId: other.id }), 'IncorrectKeyException', wrongKey)
    expect((await scene.call('Encrypt', { KeyId: key.id, Plaintext: hello, DryRun: true }, plain)).body).toMatchObject({ __type: 'AccessDeniedException' })
    await scene.setState(other.id, 'Disabled')
    expectRefusal(await scene.call('Encrypt', { KeyId: other.id, Plaintext: hello, DryRun: true }), 'DisabledException', `${other.arn} is disabled.`)
    await scene.setState(other.id, 'Enabled')
    success(await scene.call('Encrypt', { KeyId: key.id, Plaintext: hello, DryRun: false }))
  })

  it('may leave the ciphertext out, and then needs the key', async () => {
    const modifiers = { DryRun: true, DryRunModifiers: ['IGNORE_CIPHERTEXT'] }
    expectRefusal(await scene.call('Decrypt', { KeyId: key.id, ...modifiers }), 'DryRunOperationException', dryRunText)
    expectRefusal(await scene.call('Decrypt', modifiers), 'ValidationException', 'KeyId is required when CiphertextBlob is not specified.')
    expect((await scene.call('Decrypt', { KeyId: key.id, ...modifiers }, plain)).body).toMatchObject({ __type: 'AccessDeniedException' })
    expectRefusal(await scene.call('Decrypt', { KeyId: key.id, DryRunModifiers: ['IGNORE_CIPHERTEXT'] }), 'ValidationException', 'DryRunModifiers can only be specified when DryRun is true.')
    const missing = "1 validation error detected: Value null at 'ciphertextBlob' failed to satisfy constraint: Member must not be null"
    expectRefusal(await scene.call('Decrypt', { KeyId: key.id, DryRun: true }), 'ValidationException', missing)
    expectRefusal(await scene.call('Decrypt', {}), 'ValidationException', missing)
  })

  it('that ignores the ciphertext still asks whose key it is', async () => {
    const modifiers = { DryRun: true, DryRunModifiers: ['IGNORE_CIPHERTEXT'] }
    expectRefusal(await decrypt(free, context, { KeyId: key.id, ...modifiers }), 'DryRunOperationException', dryRunText)
    await scene.setState(other.id, 'PendingDeletion')
    expectRefusal(await scene.call('Decrypt', { KeyId: other.id, ...modifiers }), 'KMSInvalidStateException', `${other.arn} is pending deletion.`)
    await scene.setState(other.id, 'Enabled')
  })
})

describe('Recipient', () => {
  it('is refused rather than answered in clear', async () => {
    const Recipient = { KeyEncryptionAlgorithm: 'RSAES_OAEP_SHA_256', AttestationDocument: 'aGVsbG8=' }
    const text = 'No root of trust for attestation documents is configured: Recipient cannot be verified.'
    expectRefusal(await decrypt(free, undefined, { Recipient }), 'UnsupportedOperationException', text)
    expectRefusal(await decrypt(free, undefined, { Recipient: {} }), 'UnsupportedOperationException', text)
  })
})

describe('across accounts', () => {
  let shared: TestKey
  const both = (): Promise<void> => scene.change(tx => putKeyPolicy(tx, shared.id, JSON.stringify(policyOf(
    statement('Allow', 'kms:*', { AWS: account }), statement('Allow', ['kms:Encrypt', 'kms:Decrypt', 'kms:DescribeKey'], { AWS: foreign.accountId })))))

  beforeAll(async () => {
    shared = await scene.newKey()
  })

  it('the key is used by its ARN once its policy lets the other account in, and not before', async () => {
    const refused = await scene.call('Encrypt', { KeyId: shared.arn, Plaintext: hello }, foreign)
    expectRefusal(refused, 'AccessDeniedException', `User: ${foreign.arn} is not authorized to perform: kms:Encrypt on this resource because the resource does not exist in this Region, no resource-based policies allow access, or a resource-based policy explicitly denies access`)
    await both()
    const { CiphertextBlob, KeyId } = success(await scene.call('Encrypt', { KeyId: shared.arn, Plaintext: hello }, foreign))
    expect(KeyId).toBe(shared.arn)
    expect(success(await scene.call('Decrypt', { CiphertextBlob }, foreign)).Plaintext).toBe(hello)
    expect(success(await scene.call('Decrypt', { CiphertextBlob })).Plaintext).toBe(hello)
    expect(success(await scene.call('DescribeKey', { KeyId: shared.arn }, foreign)).KeyMetadata).toMatchObject({ AWSAccountId: account })
  })

  it('a bare id means a key of the caller\'s own account, except beside a ciphertext, which names it', async () => {
    await both()
    const blob = await encrypt(shared.id, hello)
    expectRefusal(await scene.call('Encrypt', { KeyId: shared.id, Plaintext: hello }, foreign), 'NotFoundException', `Key '${keyArn(shared.id, foreign.accountId)}' does not exist`)
    expect(success(await scene.call('Decrypt', { CiphertextBlob: blob, KeyId: shared.id }, foreign)).Plaintext).toBe(hello)
  })

  it('an alias is its account\'s own, and reaches the key by its ARN', async () => {
    await both()
    await scene.change(async tx => {
      await insertAlias(tx, { accountId: account, name: 'alias/shared', keyId: shared.id })
    })
    const arn = keyArn('').replace('key/', 'alias/shared')
    success(await scene.call('Encrypt', { KeyId: arn, Plaintext: hello }, foreign))
    const absent = keyArn('', foreign.accountId).replace('key/', 'alias/shared')
    expectRefusal(await scene.call('Encrypt', { KeyId: 'alias/shared', Plaintext: hello }, foreign), 'NotFoundException', `Alias ${absent} is not found.`)
  })

  it('a blob of a key that the caller may not use tells nothing of it', async () => {
    const blob = await encrypt(key.id, hello)
    const text = `User: ${foreign.arn} is not authorized to perform: kms:Decrypt on the resource associated with this ciphertext because the resource does not exist in this Region, no resource-based policies allow access, or a resource-based policy explicitly denies access`
    expectRefusal(await scene.call('Decrypt', { CiphertextBlob: blob }, foreign), 'AccessDeniedException', text)
    const nowhere = bytesOf(blob)
    randomBytes(16).copy(nowhere, 3)
    expectRefusal(await scene.call('Decrypt', { CiphertextBlob: nowhere.toString('base64') }, foreign), 'AccessDeniedException', text)
  })

  it('a key policy alone is not enough: the other account must allow it too', async () => {
    await both()
    const noPolicy = await scene.newKey({ Policy: JSON.stringify(policyOf(statement('Allow', 'kms:*', { AWS: [foreign.accountId, plain.arn] }))) }, foreign)
    expectRefusal(await scene.call('DescribeKey', { KeyId: noPolicy.arn }, plain), 'AccessDeniedException',
      `User: ${plain.arn} is not authorized to perform: kms:DescribeKey on resource: ${noPolicy.arn} because no identity-based policy allows the kms:DescribeKey action`)
    await scene.setPolicy(policyOf(statement('Allow', 'kms:DescribeKey')))
    success(await scene.call('DescribeKey', { KeyId: noPolicy.arn }, plain))
    await scene.setPolicy(undefined)
  })
})
