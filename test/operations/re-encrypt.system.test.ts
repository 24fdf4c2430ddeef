import { ReEncryptCommand } from '@aws-sdk/client-kms'
import { randomBytes } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest'
import { insertAlias } from '../../src/store/aliases.ts'
import { expectError, kms } from '../support/aws.ts'
import { admin, deniedByCiphertext, deniedByIdentity, deniedByKey, deniedOn, deniedUnseen, noIdentityPolicy } from '../support/denials.ts'
import { rowKey } from '../support/rows.ts'
import { expectRefusal, keyArn, openScene, policyOf, statement, success, type Json, type Reply, type Scene, type TestKey } from '../support/scene.ts'
import { commonSections } from '../support/sections.ts'
import { recordOf, recordsOf } from '../support/trail.ts'

let scene: Scene
let blue: TestKey
let red: TestKey
const { account, identities } = inject('installation')
const { plain, foreign } = identities
const secret = randomBytes(48).toString('base64')
const [blueContext, redContext] = [{ tenant: 'blue', disk: '1' }, { tenant: 'red' }]

beforeAll(async () => {
  scene = await openScene()
  ;[blue, red] = [await scene.newKey(), await scene.newKey()]
})
afterAll(() => scene.close())

commonSections('ReEncrypt', () => scene, ({ ciphertext, key, other }) => ({ CiphertextBlob: ciphertext, SourceKeyId: key.id, DestinationKeyId: other.id }))

const encrypt = async (KeyId: string, EncryptionContext: Json = {}, as?: typeof plain): Promise<string> =>
  String(success(await scene.call('Encrypt', { KeyId, Plaintext: secret, EncryptionContext }, as)).CiphertextBlob)
const reencrypt = (input: Json, as?: typeof plain): Promise<Reply> => scene.call('ReEncrypt', input, as)
const decrypt = (CiphertextBlob: unknown, EncryptionContext: Json = {}): Promise<Reply> => scene.call('Decrypt', { CiphertextBlob, EncryptionContext })
const materialOf = async (KeyId: string): Promise<unknown> => (success(await scene.call('DescribeKey', { KeyId })).KeyMetadata as Json).CurrentKeyMaterialId
const aliasFor = async (keyId: string, name: string): Promise<string> => {
  await scene.change(tx => insertAlias(tx, { accountId: account, name, keyId }))
  return name
}
const wrongKey = 'The key ID in the request does not identify a CMK that can perform this operation.'
const dryRunText = 'The request would have succeeded, but the DryRun option is set.'

describe('behaviour', () => {
  it('moves a ciphertext to another key and context; the old one stays good', async () => {
    const CiphertextBlob = await encrypt(blue.id, blueContext)
    const reply = await reencrypt({ CiphertextBlob, SourceEncryptionContext: blueContext, DestinationKeyId: red.id, DestinationEncryptionContext: redContext })
    const { CiphertextBlob: moved, ...others } = success(reply)
    expect(others).toEqual({
      SourceKeyId: blue.arn, KeyId: red.arn, SourceEncryptionAlgorithm: 'SYMMETRIC_DEFAULT', DestinationEncryptionAlgorithm: 'SYMMETRIC_DEFAULT',
      SourceKeyMaterialId: await materialOf(blue.id), DestinationKeyMaterialId: await materialOf(red.id),
    })
    expect(success(await decrypt(moved, redContext))).toMatchObject({ KeyId: red.arn, Plaintext: secret })
    expect(success(await decrypt(CiphertextBlob, blueContext))).toMatchObject({ KeyId: blue.arn, Plaintext: secret })
    for (const context of [{}, blueContext]) expectRefusal(await decrypt(moved, context), 'InvalidCiphertextException')
  })

  it('changes the context under one key, and makes another ciphertext each time', async () => {
    const CiphertextBlob = await encrypt(blue.id, blueContext)
    const input = { CiphertextBlob, SourceEncryptionContext: blueContext, DestinationKeyId: blue.id, DestinationEncryptionContext: blueContext }
    const blobs = [CiphertextBlob, success(await reencrypt(input)).CiphertextBlob, success(await reencrypt(input)).CiphertextBlob]
    expect(new Set(blobs).size).toBe(3)
    for (const blob of blobs) expect(success(await decrypt(blob, blueContext)).Plaintext).toBe(secret)
    const { CiphertextBlob: bare } = success(await reencrypt({ ...input, DestinationEncryptionContext: undefined }))
    expect(success(await decrypt(bare)).Plaintext).toBe(secret)
  })

  it('takes every plaintext from 1 to 4,096 bytes', async () => {
    for (const length of [1, 15, 16, 17, 4095, 4096]) {
      const Plaintext = randomBytes(length).toString('base64')
      const { CiphertextBlob } = success(await scene.call('Encrypt', { KeyId: blue.id, Plaintext }))
      const { CiphertextBlob: moved } = success(await reencrypt({ CiphertextBlob, DestinationKeyId: red.id }))
      expect(success(await decrypt(moved)).Plaintext).toBe(Plaintext)
    }
  })

  it('moves data keys, many at once, each to its own', async () => {
    const made = await Promise.all(Array.from({ length: 20 }, async () => success(await scene.call('GenerateDataKey', { KeyId: blue.id, KeySpec: 'AES_256' }))))
    await Promise.all(made.map(async ({ CiphertextBlob, Plaintext }) => {
      const { CiphertextBlob: moved } = success(await reencrypt({ CiphertextBlob, DestinationKeyId: red.id }))
      expect(success(await decrypt(moved)).Plaintext).toBe(Plaintext)
    }))
  })

  it('takes aliases by name and by ARN on both sides', async () => {
    const [source, destination] = [await aliasFor(blue.id, 'alias/source'), await aliasFor(red.id, 'alias/destination')]
    const arnOf = (name: string): string => keyArn('').replace('key/', name)
    const CiphertextBlob = await encrypt(source)
    for (const [SourceKeyId, DestinationKeyId] of [[source, destination], [arnOf(source), arnOf(destination)], [blue.arn, destination], [undefined, arnOf(destination)]]) {
      expect(success(await reencrypt({ CiphertextBlob, SourceKeyId, DestinationKeyId }))).toMatchObject({ SourceKeyId: blue.arn, KeyId: red.arn })
    }
    expectRefusal(await reencrypt({ CiphertextBlob, DestinationKeyId: 'alias/absent' }), 'NotFoundException', `Alias ${arnOf('alias/absent')} is not found.`)
    expectRefusal(await reencrypt({ CiphertextBlob, SourceKeyId: 'alias/absent', DestinationKeyId: red.id }), 'NotFoundException', `Alias ${arnOf('alias/absent')} is not found.`)
  })

  it('refuses a source key that is not that of the ciphertext, even the destination, whatever its usage', async () => {
    const CiphertextBlob = await encrypt(blue.id)
    const mac = await rowKey(scene, { spec: 'HMAC_256', usage: 'GENERATE_VERIFY_MAC' })
    for (const SourceKeyId of [red.id, red.arn, 'alias/destination', mac.id]) expectRefusal(await reencrypt({ CiphertextBlob, SourceKeyId, DestinationKeyId: red.id }), 'IncorrectKeyException', wrongKey)
  })

  it('refuses a destination of another usage, spec or algorithm', async () => {
    const CiphertextBlob = await encrypt(blue.id)
    const mac = await rowKey(scene, { spec: 'HMAC_256', usage: 'GENERATE_VERIFY_MAC' })
    expectRefusal(await reencrypt({ CiphertextBlob, DestinationKeyId: mac.id }), 'InvalidKeyUsageException', `${mac.arn} key usage is GENERATE_VERIFY_MAC which is not valid for ReEncryptTo.`)
    const rsa = await rowKey(scene, { spec: 'RSA_2048', usage: 'ENCRYPT_DECRYPT' })
    expectRefusal(await reencrypt({ CiphertextBlob, DestinationKeyId: rsa.id }), 'InvalidKeyUsageException', 'Algorithm SYMMETRIC_DEFAULT is incompatible with key spec RSA_2048.')
    for (const side of ['Source', 'Destination']) {
      expectRefusal(await reencrypt({ CiphertextBlob, DestinationKeyId: red.id, [`${side}EncryptionAlgorithm`]: 'RSAES_OAEP_SHA_256' }), 'InvalidKeyUsageException',
        'Algorithm RSAES_OAEP_SHA_256 is incompatible with key spec SYMMETRIC_DEFAULT.')
    }
  })

  it('refuses a wrong context, a changed byte anywhere, a longer and a shorter ciphertext', async () => {
    const CiphertextBlob = await encrypt(blue.id, blueContext)
    const input = { SourceEncryptionContext: blueContext, SourceKeyId: blue.id, DestinationKeyId: red.id }
    for (const SourceEncryptionContext of [undefined, {}, redContext, { tenant: 'blue' }]) expectRefusal(await reencrypt({ ...input, CiphertextBlob, SourceEncryptionContext }), 'InvalidCiphertextException')
    const whole = Buffer.from(CiphertextBlob, 'base64')
    const changed = (at: number): Buffer => {
      const blob = Buffer.from(whole)
      blob[at] = (blob[at] ?? 0) ^ 1
      return blob
    }
    const damaged = [Buffer.concat([whole, Buffer.alloc(1)]), whole.subarray(0, -1), Buffer.alloc(whole.length), Buffer.from('x'), ...[0, 1, whole.length - 49, whole.length - 20, whole.length - 1].map(changed)]
    for (const blob of damaged) expectRefusal(await reencrypt({ ...input, CiphertextBlob: blob.toString('base64') }), 'InvalidCiphertextException')
    // Where the header says whose it is, a changed byte makes it another key's.
    for (const at of [2, 3, 18]) expectRefusal(await reencrypt({ ...input, CiphertextBlob: changed(at).toString('base64') }), 'IncorrectKeyException', wrongKey)
  })

  it('needs both keys enabled, and says which one is not', async () => {
    const CiphertextBlob = await encrypt(blue.id)
    for (const key of [blue, red]) {
      success(await scene.call('DisableKey', { KeyId: key.id }))
      expectRefusal(await reencrypt({ CiphertextBlob, DestinationKeyId: red.id }), 'DisabledException', `${key.arn} is disabled.`)
      success(await scene.call('EnableKey', { KeyId: key.id }))
    }
    success(await reencrypt({ CiphertextBlob, DestinationKeyId: red.id }))
  })

  it('shows the plaintext to nobody: not in the answer, not in the record', async () => {
    const CiphertextBlob = await encrypt(blue.id, blueContext)
    const reply = await reencrypt({ CiphertextBlob, SourceEncryptionContext: blueContext, DestinationKeyId: red.arn, DestinationEncryptionContext: redContext })
    expect(reply.text).not.toContain(secret)
    const record = await recordOf(scene.pool, reply.headers.get('x-amzn-requestid') ?? '')
    expect(record).toMatchObject({
      eventName: 'ReEncrypt', readOnly: true, responseElements: null, resources: [{ ARN: blue.arn }, { ARN: red.arn }],
      requestParameters: { destinationKeyId: red.arn, sourceEncryptionContext: blueContext, destinationEncryptionContext: redContext },
      additionalEventData: { sourceKeyMaterialId: await materialOf(blue.id), destinationKeyMaterialId: await materialOf(red.id) },
    })
    for (const hidden of [secret, CiphertextBlob, String(success(reply).CiphertextBlob)]) expect(JSON.stringify(record)).not.toContain(hidden)
  })

  it('is what the SDK says it is', async () => {
    const client = kms(scene.trent.url)
    const CiphertextBlob = Buffer.from(await encrypt(blue.id), 'base64')
    const { CiphertextBlob: moved, SourceKeyId } = await client.send(new ReEncryptCommand({ CiphertextBlob, DestinationKeyId: red.id }))
    expect(SourceKeyId).toBe(blue.arn)
    expect(success(await decrypt(Buffer.from(moved ?? []).toString('base64'))).Plaintext).toBe(secret)
    await expectError(client.send(new ReEncryptCommand({ CiphertextBlob, SourceKeyId: red.id, DestinationKeyId: red.id })), 'IncorrectKeyException', wrongKey)
    client.destroy()
  })
})

describe('dry run', () => {
  const input = (more: Json = {}): Json => ({ DestinationKeyId: red.id, DryRun: true, ...more })

  it('says that the request would have succeeded, after every check has been made', async () => {
    const CiphertextBlob = await encrypt(blue.id, blueContext)
    const right = { CiphertextBlob, SourceEncryptionContext: blueContext }
    expectRefusal(await reencrypt(input(right)), 'DryRunOperationException', dryRunText)
    expectRefusal(await reencrypt(input({ CiphertextBlob })), 'InvalidCiphertextException')
    expectRefusal(await reencrypt(input({ ...right, SourceKeyId: red.id })), 'IncorrectKeyException', wrongKey)
    expectRefusal(await reencrypt(input(right), plain), 'AccessDeniedException', deniedByCiphertext(plain, 'kms:ReEncryptFrom', noIdentityPolicy('kms:ReEncryptFrom')))
    success(await reencrypt(input({ ...right, DryRun: false })))
  })

  it('needs no ciphertext when told so, and then the source key', async () => {
    const DryRunModifiers = ['IGNORE_CIPHERTEXT']
    expectRefusal(await reencrypt(input({ DryRunModifiers, SourceKeyId: blue.id })), 'DryRunOperationException', dryRunText)
    expectRefusal(await reencrypt(input({ DryRunModifiers })), 'ValidationException', 'SourceKeyId is required when CiphertextBlob is not specified.')
    expectRefusal(await reencrypt(input({ SourceKeyId: blue.id })), 'ValidationException', "1 validation error detected: Value null at 'ciphertextBlob' failed to satisfy constraint: Member must not be null")
    expectRefusal(await reencrypt({ DestinationKeyId: red.id, SourceKeyId: blue.id, DryRunModifiers }), 'ValidationException', 'DryRunModifiers can only be specified when DryRun is true.')
    expectRefusal(await reencrypt(input({ DryRunModifiers, SourceKeyId: blue.id }), plain), 'AccessDeniedException', deniedOn(plain, 'kms:ReEncryptFrom', blue.arn, noIdentityPolicy('kms:ReEncryptFrom')))
  })
})

describe('permission: two sides', () => {
  const allowFrom = (key: TestKey): Json => ({ Effect: 'Allow', Action: 'kms:ReEncryptFrom', Resource: key.arn })
  const allowTo = (key: TestKey): Json => ({ Effect: 'Allow', Action: 'kms:ReEncryptTo', Resource: key.arn })
  const everything = statement('Allow', 'kms:*', { AWS: account })

  it('is allowed in one direction and not in the other', async () => {
    const [ofBlue, ofRed] = [await encrypt(blue.id), await encrypt(red.id)]
    await scene.setPolicy(policyOf(allowFrom(blue), allowTo(red)))
    success(await reencrypt({ CiphertextBlob: ofBlue, DestinationKeyId: red.id }, plain))
    expectRefusal(await reencrypt({ CiphertextBlob: ofRed, DestinationKeyId: blue.id }, plain), 'AccessDeniedException', deniedByCiphertext(plain, 'kms:ReEncryptFrom', noIdentityPolicy('kms:ReEncryptFrom')))
    expectRefusal(await reencrypt({ CiphertextBlob: ofRed, SourceKeyId: red.arn, DestinationKeyId: blue.id }, plain), 'AccessDeniedException', deniedOn(plain, 'kms:ReEncryptFrom', red.arn, noIdentityPolicy('kms:ReEncryptFrom')))
    expectRefusal(await reencrypt({ CiphertextBlob: ofBlue, DestinationKeyId: blue.id }, plain), 'AccessDeniedException', deniedOn(plain, 'kms:ReEncryptTo', blue.arn, noIdentityPolicy('kms:ReEncryptTo')))
    await scene.setPolicy(policyOf(allowFrom(blue)))
    expectRefusal(await reencrypt({ CiphertextBlob: ofBlue, DestinationKeyId: red.id }, plain), 'AccessDeniedException', deniedOn(plain, 'kms:ReEncryptTo', red.arn, noIdentityPolicy('kms:ReEncryptTo')))
    await scene.setPolicy(undefined)
  })

  it('kms:ReEncrypt* is both, kms:ReEncrypt is nothing', async () => {
    const CiphertextBlob = await encrypt(blue.id)
    await scene.setPolicy(policyOf(statement('Allow', 'kms:ReEncrypt*')))
    success(await reencrypt({ CiphertextBlob, DestinationKeyId: red.id }, plain))
    await scene.setPolicy(policyOf(statement('Allow', ['kms:ReEncrypt', 'kms:Encrypt', 'kms:Decrypt'])))
    expectRefusal(await reencrypt({ CiphertextBlob, SourceKeyId: blue.id, DestinationKeyId: red.id }, plain), 'AccessDeniedException', deniedOn(plain, 'kms:ReEncryptFrom', blue.arn, noIdentityPolicy('kms:ReEncryptFrom')))
    await scene.setPolicy(undefined)
  })

  it.each([['From', () => blue], ['To', () => red]] as const)('an explicit deny of ReEncrypt%s, by identity policy or key policy, stops that side only', async (side, denied) => {
    const action = `kms:ReEncrypt${side}`
    const [ofBlue, ofRed] = [await encrypt(blue.id), await encrypt(red.id)]
    const there = { CiphertextBlob: ofBlue, SourceKeyId: blue.id, DestinationKeyId: red.id }
    const back = { CiphertextBlob: ofRed, SourceKeyId: red.id, DestinationKeyId: blue.id }
    await scene.setPolicy(policyOf(statement('Allow', '*'), { Effect: 'Deny', Action: action, Resource: denied().arn }))
    expectRefusal(await reencrypt(there, plain), 'AccessDeniedException', deniedOn(plain, action, denied().arn, deniedByIdentity))
    success(await reencrypt(back, plain))
    await scene.setPolicy(undefined)
    success(await scene.call('PutKeyPolicy', { KeyId: denied().id, Policy: JSON.stringify(policyOf(everything, statement('Deny', action, '*'))) }))
    expectRefusal(await reencrypt(there), 'AccessDeniedException', deniedOn(admin, action, denied().arn, deniedByKey))
    success(await reencrypt(back))
    success(await scene.call('PutKeyPolicy', { KeyId: denied().id, Policy: JSON.stringify(policyOf(everything)) }))
  })

  it('goes over two accounts when both sides of both keys allow', async () => {
    const [ours, theirs] = [await scene.newKey(), await scene.newKey({}, foreign)]
    const CiphertextBlob = await encrypt(ours.id)
    const outward = { CiphertextBlob, DestinationKeyId: theirs.arn }
    expectRefusal(await reencrypt(outward), 'AccessDeniedException', deniedUnseen(admin, 'kms:ReEncryptTo'))
    const shared = (owner: string, other: string, action: string): string => JSON.stringify(policyOf(statement('Allow', 'kms:*', { AWS: owner }), statement('Allow', action, { AWS: other })))
    success(await scene.call('PutKeyPolicy', { KeyId: theirs.id, Policy: shared(foreign.accountId, account, 'kms:ReEncryptTo') }, foreign))
    const reply = await reencrypt(outward)
    const { CiphertextBlob: moved } = success(reply)
    expect(success(reply)).toMatchObject({ SourceKeyId: ours.arn, KeyId: theirs.arn })
    expectRefusal(await decrypt(moved), 'AccessDeniedException', deniedByCiphertext(admin, 'kms:Decrypt'))
    expect(success(await scene.call('Decrypt', { CiphertextBlob: moved }, foreign)).Plaintext).toBe(secret)
    // Back again needs the other permission on their side, whether or not the request names their key.
    for (const SourceKeyId of [undefined, theirs.arn, theirs.id]) {
      const text = SourceKeyId === undefined ? deniedByCiphertext(admin, 'kms:ReEncryptFrom') : deniedUnseen(admin, 'kms:ReEncryptFrom')
      expectRefusal(await reencrypt({ CiphertextBlob: moved, SourceKeyId, DestinationKeyId: ours.id }), 'AccessDeniedException', text)
    }
    success(await scene.call('PutKeyPolicy', { KeyId: theirs.id, Policy: shared(foreign.accountId, account, 'kms:ReEncrypt*') }, foreign))
    for (const SourceKeyId of [undefined, theirs.arn, theirs.id]) expect(success(await reencrypt({ CiphertextBlob: moved, SourceKeyId, DestinationKeyId: ours.id }))).toMatchObject({ SourceKeyId: theirs.arn, KeyId: ours.arn })
    // An id of theirs as the destination would be an id of ours.
    expectRefusal(await reencrypt({ CiphertextBlob: moved, DestinationKeyId: theirs.id }), 'NotFoundException', `Key '${keyArn(theirs.id)}' does not exist`)
    const requestId = reply.headers.get('x-amzn-requestid') ?? ''
    const records = (await recordsOf(scene.pool, [requestId])).get(requestId) ?? []
    expect(records.map(({ recipientAccountId }) => recipientAccountId).sort()).toEqual([account, foreign.accountId])
    expect(new Set(records.map(({ sharedEventID }) => sharedEventID)).size).toBe(1)
    expect(JSON.stringify(records)).not.toContain(secret)
  })
})
