// Recovery after a disaster: the token is lost and Trent with it. What is left is a copy of the database and the private recovery key.
// Everything below is node:crypto alone, so that the description of the formats is what is tested:
//
//  1. From domain_versions take recovery_domain_key and recovery_integrity_key, open both with the recovery key: RSA-OAEP, SHA-1, MGF1 with
//     SHA-1, no label. They are 32 bytes each.
//  2. Check the row of a material: HMAC-SHA-256 under the integrity key over the encoded row must be materials.mac. The canary's row shows
//     the encoding; src/keys/material.ts gives it.
//  3. Unwrap materials.blob under the domain key: AES key wrap with padding, RFC 5649 (OpenSSL: id-aes256-wrap-pad, IV A65959A6).
//  4. Open ciphertexts with the key: AES-256-GCM, IV and tag from the blob, AAD as docs and test/keys/golden/ give it.
import { constants, createDecipheriv, createHmac, createPublicKey, createHash, privateDecrypt } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { CreateKeyCommand, EncryptCommand } from '@aws-sdk/client-kms'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest'
import { ciphertextAad, parseCiphertext, tagBytes } from '../../../src/keys/ciphertext.ts'
import { encodeContext } from '../../../src/keys/context.ts'
import { keyIdFromBytes } from '../../../src/keys/identifier.ts'
import { decodeMaterial } from '../../../src/keys/material.ts'
import { kms } from '../../support/aws.ts'
import { startTrent, type Trent } from '../../support/gateway.ts'

interface Saved {
  readonly recovery_fingerprint: string
  readonly recovery_domain_key: Buffer
  readonly recovery_integrity_key: Buffer
  readonly canary_row: Buffer
  readonly canary_mac: Buffer
  readonly canary_ciphertext: Buffer
  readonly material_id: Buffer
  readonly blob: Buffer
}

const context = { tenant: 'blue', '': 'empty key' }
const secret = 'what must outlive the token'

let trent: Trent
let ciphertext: Buffer
let saved: Saved

beforeAll(async () => {
  trent = await startTrent()
  const client = kms(trent.url)
  const { KeyMetadata } = await client.send(new CreateKeyCommand({}))
  const { CiphertextBlob } = await client.send(new EncryptCommand({ KeyId: KeyMetadata?.KeyId, Plaintext: Buffer.from(secret), EncryptionContext: context }))
  client.destroy()
  ciphertext = Buffer.from(CiphertextBlob ?? [])
  await trent.stop()
  saved = await backup(trent.databaseUrl, KeyMetadata?.KeyId ?? '')
})
afterAll(() => trent.remove())

async function backup(url: string, keyId: string): Promise<Saved> {
  const database = new pg.Client({ connectionString: url })
  await database.connect()
  try {
    const { rows: [found] } = await database.query<Saved>('SELECT v.*, m.material_id, m.blob FROM domain_versions v, materials m WHERE m.key_id = $1', [keyId])
    if (found === undefined) throw new Error('nothing saved')
    return found
  } finally {
    await database.end()
  }
}

const recoveryKey = (): string => readFileSync(join(inject('installation').directory, 'recovery-key.pem'), 'utf8')
const openEnvelope = (envelope: Buffer): Buffer => privateDecrypt({ key: recoveryKey(), padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: 'sha1' }, envelope)
const unwrap = (domainKey: Buffer, blob: Buffer): Buffer => {
  const decipher = createDecipheriv('id-aes256-wrap-pad', domainKey, Buffer.from('a65959a6', 'hex'))
  return Buffer.concat([decipher.update(blob), decipher.final()])
}
const open = (key: Buffer, blob: Buffer, encryptionContext: Record<string, string>): string => {
  const { header, headerBytes, sealed } = parseCiphertext(blob)
  const decipher = createDecipheriv('aes-256-gcm', key, header.iv)
  decipher.setAAD(ciphertextAad(headerBytes, encodeContext(new Map(Object.entries(encryptionContext))))).setAuthTag(sealed.subarray(-tagBytes))
  return Buffer.concat([decipher.update(sealed.subarray(0, -tagBytes)), decipher.final()]).toString()
}

describe('with the recovery key and a copy of the database, and without the token', () => {
  it('both envelopes open to keys of 32 bytes', () => {
    const [domainKey, integrityKey] = [openEnvelope(saved.recovery_domain_key), openEnvelope(saved.recovery_integrity_key)]
    expect([domainKey.length, integrityKey.length]).toEqual([32, 32])
    expect(domainKey).not.toEqual(integrityKey)
  })

  it('the fingerprint says which recovery key is needed', () => {
    const spki = createPublicKey(recoveryKey()).export({ type: 'spki', format: 'der' })
    expect(saved.recovery_fingerprint).toBe(createHash('sha256').update(spki).digest('hex'))
  })

  it('the integrity key tells real rows from others', () => {
    const mac = createHmac('sha256', openEnvelope(saved.recovery_integrity_key)).update(saved.canary_row).digest()
    expect(mac).toEqual(saved.canary_mac)
  })

  it('the domain key unwraps a key, and the key opens what Trent encrypted', () => {
    const key = unwrap(openEnvelope(saved.recovery_domain_key), saved.blob)
    expect(key).toHaveLength(32)
    const { header } = parseCiphertext(ciphertext)
    expect(header.materialId).toEqual(saved.material_id)
    expect(keyIdFromBytes(header.keyId, header.multiRegion)).toMatch(/^[0-9a-f-]{36}$/)
    expect(open(key, ciphertext, context)).toBe(secret)
    expect(() => open(key, ciphertext, { tenant: 'red' })).toThrow('Unsupported state or unable to authenticate data')
  })

  it('the canary opens in the same way', () => {
    const key = unwrap(openEnvelope(saved.recovery_domain_key), decodeMaterial(saved.canary_row).blob)
    expect(open(key, saved.canary_ciphertext, {})).toBe('trent/canary/1')
  })
})

describe('without the recovery key', () => {
  it('nothing in the database is a key as it stands', () => {
    const wrongKey = Buffer.alloc(32)
    expect(() => unwrap(wrongKey, saved.blob)).toThrow(/wrap|bad decrypt|operation failed|unsupported|error/i)
    expect(() => open(saved.blob.subarray(0, 32), ciphertext, context)).toThrow('Unsupported state or unable to authenticate data')
  })
})
