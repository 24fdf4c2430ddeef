// The AWS Encryption SDK for JavaScript, unmodified, with Trent as its KMS.
import { randomBytes } from 'node:crypto'
import {
  buildClient, CommitmentPolicy, getClient, getLocalCryptographicMaterialsCache, KMS, KmsKeyringNode, NodeCachingMaterialsManager,
} from '@aws-crypto/client-node'
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest'
import { openScene, type Scene, type TestKey } from '../support/scene.ts'
import { recordOf, wholeTrail } from '../support/trail.ts'

const { admin } = inject('installation')
const context = { tenant: 'blue', purpose: 'test' }

let scene: Scene
let keys: readonly [TestKey, TestKey, TestKey]
beforeAll(async () => {
  scene = await openScene()
  keys = [await scene.newKey(), await scene.newKey(), await scene.newKey()]
})
afterAll(() => scene.close())

const { encrypt, decrypt } = buildClient(CommitmentPolicy.REQUIRE_ENCRYPT_REQUIRE_DECRYPT)
/** The Region comes from the key's ARN. */
const keyring = (generatorKeyId: string | undefined, ...keyIds: string[]): KmsKeyringNode => new KmsKeyringNode({
  clientProvider: getClient(KMS, { endpoint: scene.trent.url, credentials: admin }), keyIds, ...(generatorKeyId === undefined ? {} : { generatorKeyId }),
})

describe('a keyring', () => {
  it('of several keys: what the first has made, each of them opens', async () => {
    const [one, two, three] = keys
    const plaintext = randomBytes(100_000)
    const { result } = await encrypt(keyring(one.arn, two.arn, three.arn), plaintext, { encryptionContext: context, frameLength: 4_096 })
    for (const { arn } of keys) {
      const opened = await decrypt(keyring(undefined, arn), result)
      expect(opened.plaintext.equals(plaintext)).toBe(true)
      expect(opened.messageHeader.encryptionContext).toMatchObject(context)
    }
  })

  it('of another key opens nothing', async () => {
    const [one, two, three] = keys
    const { result } = await encrypt(keyring(one.arn, two.arn), Buffer.from('text'), { encryptionContext: context })
    await expect(decrypt(keyring(undefined, three.arn), result)).rejects.toThrow('unencryptedDataKey has not been set')
  })

  it('opens nothing that was changed', async () => {
    const [one] = keys
    const { result } = await encrypt(keyring(one.arn), Buffer.from('text'), { encryptionContext: context })
    for (const at of [result.length - 1, result.length - 150, 100]) {
      const changed = Buffer.from(result)
      changed[at] = (changed[at] ?? 0) ^ 1
      await expect(decrypt(keyring(undefined, one.arn), changed)).rejects.toThrow()
    }
  })

  it('finds its key by alias', async () => {
    const [one] = keys
    await scene.call('CreateAlias', { AliasName: 'alias/encryption-sdk', TargetKeyId: one.id })
    const alias = one.arn.replace(`key/${one.id}`, 'alias/encryption-sdk')
    const { result } = await encrypt(keyring(alias), Buffer.from('text'), { encryptionContext: context })
    expect((await decrypt(keyring(undefined, one.arn), result)).plaintext.toString()).toBe('text')
  })
})

it('a cache of data keys: many messages, one GenerateDataKey and one Decrypt', async () => {
  const key = await scene.newKey()
  const manager = (backing: KmsKeyringNode) => new NodeCachingMaterialsManager({
    backingMaterials: backing, cache: getLocalCryptographicMaterialsCache(100), maxAge: 60_000, maxMessagesEncrypted: 100, partition: 'test',
  })
  const [encrypting, decrypting] = [manager(keyring(key.arn)), manager(keyring(undefined, key.arn))]
  for (let message = 0; message < 20; message++) {
    const { result } = await encrypt(encrypting, Buffer.from(`message ${message}`), { encryptionContext: context, plaintextLength: 10 })
    expect((await decrypt(decrypting, result)).plaintext.toString()).toBe(`message ${message}`)
  }
  // Shipped in order: once this one is there, all before it are.
  const { headers } = await scene.call('DescribeKey', { KeyId: key.id })
  await recordOf(scene.pool, headers.get('x-amzn-requestid') ?? '')
  const names = (await wholeTrail(scene.pool)).filter(({ resources }) => JSON.stringify(resources ?? []).includes(key.arn)).map(({ eventName }) => eventName)
  // CreateKey's record comes on its own way, with the key.
  expect(names.filter(name => name !== 'CreateKey')).toEqual(['GenerateDataKey', 'Decrypt', 'DescribeKey'])
})
