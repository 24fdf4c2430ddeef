import { CreateKeyCommand, DecryptCommand, EncryptCommand, type KMSClient } from '@aws-sdk/client-kms'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { kms } from '../support/aws.ts'
import { startTrent, type Trent } from '../support/gateway.ts'

let trent: Trent
let client: KMSClient
let keyId: string

beforeAll(async () => {
  trent = await startTrent()
  client = kms(trent.url)
  const { KeyMetadata } = await client.send(new CreateKeyCommand({}))
  keyId = KeyMetadata?.KeyId ?? ''
})
afterAll(async () => {
  client.destroy()
  await trent.remove()
})

describe('behaviour', () => {
  it('what Encrypt made, Decrypt opens with the same context', async () => {
    const context = { tenant: 'blue' }
    const { CiphertextBlob } = await client.send(new EncryptCommand({ KeyId: keyId, Plaintext: Buffer.from('hello'), EncryptionContext: context }))
    const { Plaintext } = await client.send(new DecryptCommand({ CiphertextBlob, EncryptionContext: context }))
    expect(Buffer.from(Plaintext ?? []).toString()).toBe('hello')
  })
})
