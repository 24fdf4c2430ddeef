// Postgres keeps no NUL in a text. Wherever a caller's text would reach it, the caller is told so; it is never an internal error.
import { createHash } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest'
import { expectRefusal, keyArn, openScene, policyOf, statement, type Json, type Scene, type TestKey } from '../support/scene.ts'

let scene: Scene
let key: TestKey

beforeAll(async () => {
  scene = await openScene()
  key = await scene.newKey()
})
afterAll(() => scene.close())

const badTags = 'The request was rejected because one or more tags are not valid.'

describe('a NUL', () => {
  it.each([
    ['a tag key', 'TagResource', () => ({ KeyId: key.id, Tags: [{ TagKey: 'a\0', TagValue: '' }] }), 'TagException', badTags],
    ['a tag value', 'TagResource', () => ({ KeyId: key.id, Tags: [{ TagKey: 'a', TagValue: '\0' }] }), 'TagException', badTags],
    ['a tag of a new key', 'CreateKey', () => ({ Tags: [{ TagKey: '\0', TagValue: '' }] }), 'TagException', badTags],
    ['the name of a tag that is to go', 'UntagResource', () => ({ KeyId: key.id, TagKeys: ['\0'] }), 'TagException', badTags],
    ['a description', 'UpdateKeyDescription', () => ({ KeyId: key.id, Description: 'a\0b' }), 'ValidationException', 'Description must not contain a null character.'],
    ['the description of a new key', 'CreateKey', () => ({ Description: '\0' }), 'ValidationException', 'Description must not contain a null character.'],
    ['the name of an alias', 'DescribeKey', () => ({ KeyId: 'alias/a\0' }), 'NotFoundException', `Alias ${keyArn('').replace('key/', 'alias/a\0')} is not found.`],
    ['a principal of a policy', 'PutKeyPolicy', () => ({ KeyId: key.id, Policy: policyNaming(`arn:aws:iam::${inject('installation').account}:user/a\0`) }),
      'MalformedPolicyDocumentException', 'Policy contains a statement with one or more invalid principals.'],
  ] as const)('in %s is refused', async (_where, operation, input: () => Json, type, text) => {
    expectRefusal(await scene.call(operation, input()), type, text)
  })

  it('in a marker that was made up is refused', async () => {
    const id = Buffer.from('\0')
    const binding = createHash('sha256').update(JSON.stringify(['ListKeys', inject('installation').account, 'SELF'])).update(id).digest().subarray(0, 8)
    expectRefusal(await scene.call('ListKeys', { Marker: Buffer.concat([Buffer.from([1]), binding, id]).toString('base64') }), 'InvalidMarkerException')
  })

  it('in an encryption context is a character like others', async () => {
    const EncryptionContext = { '\0': 'a\0b' }
    const { body: { CiphertextBlob } } = await scene.call('Encrypt', { KeyId: key.id, Plaintext: 'eA==', EncryptionContext })
    expect((await scene.call('Decrypt', { CiphertextBlob, EncryptionContext })).body).toMatchObject({ Plaintext: 'eA==' })
    expectRefusal(await scene.call('Decrypt', { CiphertextBlob, EncryptionContext: { '': 'a\0b' } }), 'InvalidCiphertextException')
  })

  it('has stored nothing', async () => {
    expect((await scene.call('ListResourceTags', { KeyId: key.id })).body).toEqual({ Tags: [], Truncated: false })
    expect((await scene.call('DescribeKey', { KeyId: key.id })).body).toMatchObject({ KeyMetadata: { Description: '' } })
  })
})

const policyNaming = (AWS: string): string => JSON.stringify(policyOf(statement('Allow', 'kms:*', { AWS: `arn:aws:iam::${inject('installation').account}:root` }), statement('Allow', 'kms:Decrypt', { AWS })))
