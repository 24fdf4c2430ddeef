import { createDecipheriv, createHmac } from 'node:crypto'
import { CreateKeyCommand, DecryptCommand, EncryptCommand, ReEncryptCommand, type KMSClient } from '@aws-sdk/client-kms'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { ciphertextAad, parseCiphertext, tagBytes } from '../../src/keys/ciphertext.ts'
import { encodeContext } from '../../src/keys/context.ts'
import { openPool } from '../../src/store/database.ts'
import { expectError, kms } from '../support/aws.ts'
import { startTrent, type Trent } from '../support/gateway.ts'
import { unwrapMaterial } from '../support/recovery.ts'

let trent: Trent
let client: KMSClient
let keyId: string

beforeAll(async () => {
  trent = await startTrent({ keys: { cipherMode: 'derived' } })
  client = kms(trent.url)
  keyId = (await client.send(new CreateKeyCommand({}))).KeyMetadata?.KeyId ?? ''
})
afterAll(async () => {
  client.destroy()
  await trent.remove()
})

const context = { tenant: 'blue' }
const encrypt = async (plaintext: string): Promise<Buffer> =>
  Buffer.from((await client.send(new EncryptCommand({ KeyId: keyId, Plaintext: Buffer.from(plaintext), EncryptionContext: context }))).CiphertextBlob ?? [])
const decrypt = async (blob: Buffer, given: Record<string, string> = context): Promise<string> =>
  Buffer.from((await client.send(new DecryptCommand({ CiphertextBlob: blob, EncryptionContext: given }))).Plaintext ?? []).toString()

describe('a key in derived mode', () => {
  it('encrypts with a 128-bit nonce of its own for each message, and decrypts', async () => {
    const blobs = [await encrypt('hello'), await encrypt('hello')]
    expect(await Promise.all(blobs.map(blob => decrypt(blob)))).toEqual(['hello', 'hello'])
    const parsed = blobs.map(parseCiphertext)
    expect(parsed.map(({ header }) => [header.mode, header.iv.length])).toEqual([['derived', 16], ['derived', 16]])
    expect(parsed[0]?.header.iv.equals(parsed[1]?.header.iv ?? Buffer.alloc(0))).toBe(false)
  })

  it('gives InvalidCiphertextException for another context and for every changed byte behind the names', async () => {
    const blob = await encrypt('hello')
    await expectError(decrypt(blob, {}), 'InvalidCiphertextException')
    for (let at = 55; at < blob.length; at += 3) {
      const changed = Buffer.from(blob)
      changed[at] = (changed[at] ?? 0) ^ 1
      await expectError(decrypt(changed), 'InvalidCiphertextException')
    }
  })

  it('derives the message key as SP 800-108 says: node:crypto does the same with the key from the recovery envelope', async () => {
    const pool = openPool(trent.databaseUrl)
    const key = await unwrapMaterial(pool, keyId)
    await pool.end()
    const { header, headerBytes, sealed } = parseCiphertext(await encrypt('known answer'))
    const input = Buffer.concat([Buffer.from('00000001', 'hex'), Buffer.from('trent/message-key/1\0'), header.materialId, header.iv, Buffer.from('00000100', 'hex')])
    const decipher = createDecipheriv('aes-256-gcm', createHmac('sha256', key).update(input).digest(), Buffer.alloc(12))
    decipher.setAAD(ciphertextAad(headerBytes, encodeContext(new Map(Object.entries(context))))).setAuthTag(sealed.subarray(-tagBytes))
    expect(Buffer.concat([decipher.update(sealed.subarray(0, -tagBytes)), decipher.final()]).toString()).toBe('known answer')
  })

  it('re-encrypts to itself under another context', async () => {
    const { CiphertextBlob } = await client.send(new ReEncryptCommand({
      CiphertextBlob: await encrypt('moved'), SourceEncryptionContext: context, DestinationKeyId: keyId, DestinationEncryptionContext: { tenant: 'green' },
    }))
    expect(await decrypt(Buffer.from(CiphertextBlob ?? []), { tenant: 'green' })).toBe('moved')
  })

  it('has no invocations to count', async () => {
    const pool = openPool(trent.databaseUrl)
    const { rows } = await pool.query('SELECT * FROM invocations WHERE key_id = $1', [keyId])
    await pool.end()
    expect(rows).toEqual([])
  })
})
