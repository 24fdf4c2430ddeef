// After a session with known secrets, they are searched for wherever Trent writes, and in the memory of the gateway. Of key material the
// test knows the true bytes: it holds the recovery key, opens the domain's envelope with it, and unwraps every blob.
import { CreateKeyCommand, DecryptCommand, EncryptCommand, GenerateRandomCommand, type KMSClient } from '@aws-sdk/client-kms'
import { constants, createDecipheriv, createHash, generateKeyPairSync, privateDecrypt, randomBytes, type KeyObject } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { mkdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { gunzipSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { openPool, rows, type Pool } from '../../src/store/database.ts'
import { decodeMaterial } from '../../src/keys/material.ts'
import { auditRecords } from '../support/audit.ts'
import { kms, raw, send, type Credentials } from '../support/aws.ts'
import { startTrentOn, type Trent } from '../support/gateway.ts'
import { account, newFolder, tokenLabel, trent as command, writeConfig, writeTokenFiles } from '../support/installation.ts'
import { freshDatabase } from '../support/postgres.ts'
import { children, readProcess } from '../support/processes.ts'
import { until } from '../support/until.ts'
import { findInMemory } from './memory.ts'

const pin = randomBytes(12).toString('hex')
const soPin = randomBytes(12).toString('hex')
const plaintext = randomBytes(64)
/** Members of requests that are refused: they leave as an error, not as an answer. */
const refused = randomBytes(64)
let credentials: Credentials
let keyMaterial: ReadonlyMap<string, Buffer>
let random: Buffer

let directory: string
let trent: Trent
let pool: Pool
let client: KMSClient
const answers: string[] = []

/** An installation of its own, with PINs that nothing else can look like, and a recovery key that the test keeps. */
async function install(): Promise<KeyObject> {
  directory = await newFolder('secrets')
  await writeTokenFiles(directory)
  const database = await freshDatabase()
  const config = await writeConfig(directory, database.url, { log: { level: 'trace' } })
  const secretFiles = join(directory, 'tokens', 'secret')
  await mkdir(secretFiles)
  await writeFile(join(directory, 'pin'), pin, { mode: 0o600 })
  const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 3072 })
  await writeFile(join(secretFiles, 'so-pin'), soPin, { mode: 0o600 })
  await writeFile(join(directory, 'recovery.pem'), publicKey.export({ type: 'spki', format: 'pem' }))
  const fingerprint = createHash('sha256').update(publicKey.export({ type: 'spki', format: 'der' })).digest('hex')
  const outputs = [
    await command(['hsm', 'init-token', '--label', tokenLabel, '--so-pin-file', join(secretFiles, 'so-pin'), '--config', config]),
    await command(['hsm', 'init', '--recovery-key', join(directory, 'recovery.pem'), '--recovery-fingerprint', fingerprint, '--config', config]),
  ]
  const admin = await command(['iam', 'create-admin', '--account', account, '--name', 'admin', '--config', config])
  const { AccessKeyId: accessKeyId, SecretAccessKey: secretAccessKey } = JSON.parse(admin.stdout) as { AccessKeyId: string; SecretAccessKey: string }
  credentials = { accessKeyId, secretAccessKey }
  answers.push(...outputs.flatMap(({ stdout, stderr }) => [stdout, stderr]), admin.stderr)
  trent = await startTrentOn(directory, database, { log: { level: 'trace' } })
  return privateKey
}

/** A session as clients have it, with what goes wrong in it. */
async function session(): Promise<void> {
  client = kms(trent.url, credentials)
  const { KeyMetadata } = await client.send(new CreateKeyCommand({}))
  const KeyId = KeyMetadata?.KeyId ?? ''
  for (let i = 0; i < 5; i++) {
    const { CiphertextBlob } = await client.send(new EncryptCommand({ KeyId, Plaintext: plaintext }))
    const { Plaintext } = await client.send(new DecryptCommand({ CiphertextBlob }))
    expect(plaintext.equals(Plaintext ?? Buffer.alloc(0))).toBe(true)
  }
  random = Buffer.from((await client.send(new GenerateRandomCommand({ NumberOfBytes: 64 }))).Plaintext ?? [])
  const Plaintext = refused.toString('base64')
  const missing = KeyId.replace(/^.{8}/, '00000000')
  const attempts: [string, object | string][] = [
    ['Encrypt', { KeyId: missing, Plaintext }],
    ['Encrypt', { KeyId, Plaintext, GrantTokens: [''] }],
    ['Encrypt', { KeyId, Plaintext, DryRun: 'yes' }],
    ['Encrypt', { KeyId, Plaintext: `${Plaintext}=` }],
    ['Encrypt', { KeyId, Plaintext, DryRun: true }],
    ['Encrypt', { KeyId, Plaintext, EncryptionAlgorithm: 'RSAES_OAEP_SHA_256' }],
    ['Encrypt', `{"KeyId":"${KeyId}","Plaintext":"${Plaintext}"`],
    ['Decrypt', { CiphertextBlob: Plaintext }],
    ['Sign', { KeyId, Message: Plaintext, SigningAlgorithm: 'ECDSA_SHA_256' }],
  ]
  for (const [operation, input] of attempts) {
    const answer = await raw(trent.url, { target: `TrentService.${operation}`, body: typeof input === 'string' ? input : JSON.stringify(input), credentials })
    expect({ operation, input, status: answer.status }).toMatchObject({ status: 400 })
    answers.push(answer.text, JSON.stringify([...answer.headers]))
  }
  const unsigned = await send(trent.url, 'POST', { 'Content-Type': 'application/x-amz-json-1.1', 'X-Amz-Target': 'TrentService.Encrypt' }, JSON.stringify({ KeyId, Plaintext }))
  const wrongSecret = await raw(trent.url, { target: 'TrentService.Encrypt', body: JSON.stringify({ KeyId, Plaintext }), credentials: { ...credentials, secretAccessKey: 'x'.repeat(40) } })
  const wrongType = await raw(trent.url, { target: 'TrentService.Encrypt', body: JSON.stringify({ KeyId, Plaintext }), headers: { 'Content-Type': 'text/plain' }, credentials })
  answers.push(unsigned.text, wrongSecret.text, wrongType.text)
}

/** Domain key, integrity key, and the key of every blob in the database, in clear. */
async function openEverything(recoveryKey: KeyObject): Promise<Map<string, Buffer>> {
  const [version] = await rows<{ domain: Buffer; integrity: Buffer; canary: Buffer }>(pool, {
    name: 'test.domain', text: 'SELECT recovery_domain_key AS domain, recovery_integrity_key AS integrity, canary_row AS canary FROM domain_versions',
  })
  if (version === undefined) throw new Error('no domain')
  const open = (envelope: Buffer): Buffer => privateDecrypt({ key: recoveryKey, padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: 'sha1' }, envelope)
  const domainKey = open(version.domain)
  const unwrap = (blob: Buffer): Buffer => {
    // RFC 5649 and its initial value.
    const decipher = createDecipheriv('id-aes256-wrap-pad', domainKey, Buffer.from('a65959a6', 'hex'))
    return Buffer.concat([decipher.update(blob), decipher.final()])
  }
  const keys = new Map([['domain key', domainKey], ['integrity key', open(version.integrity)], ['canary key', unwrap(decodeMaterial(version.canary).blob)]])
  const services = await rows<{ row: Buffer }>(pool, { name: 'test.services', text: 'SELECT row FROM service_keys' })
  for (const [i, { row }] of services.entries()) keys.set(`service key ${i}`, unwrap(decodeMaterial(row).blob))
  const materials = await rows<{ blob: Buffer }>(pool, { name: 'test.blobs', text: 'SELECT blob FROM materials' })
  for (const [i, { blob }] of materials.entries()) keys.set(`KMS key ${i}`, unwrap(blob))
  for (const key of keys.values()) expect(key).toHaveLength(32)
  return keys
}

const utf16 = (text: string): Buffer => Buffer.from(text, 'utf16le')

/** A secret in every form in which it might be written down: raw, hexadecimal, base64 (at any offset within other bytes), UTF-16. */
function forms(name: string, secret: Buffer): [string, Buffer][] {
  const texts = [secret.toString('hex'), secret.toString('hex').toUpperCase(), ...[0, 1, 2].map(shift => {
    const encoded = Buffer.concat([Buffer.alloc(shift), secret]).toString('base64').replace(/=+$/, '')
    // The first characters hold bits of what stands before, the last ones of what comes after.
    return encoded.slice(shift === 0 ? 0 : shift + 1, -2)
  })]
  return [[`${name}, raw`, secret], [`${name}, raw UTF-16`, utf16(secret.toString('latin1'))], ...texts.flatMap((text, i): [string, Buffer][] => [
    [`${name}, form ${i}`, Buffer.from(text)], [`${name}, form ${i} in UTF-16`, utf16(text)],
  ])]
}

const needles = (): Map<string, Buffer> => new Map([
  ...forms('PIN', Buffer.from(pin)), ...forms('SO PIN', Buffer.from(soPin)), ...forms('secret access key', Buffer.from(credentials.secretAccessKey)),
  ...forms('plaintext', plaintext), ...forms('refused plaintext', refused), ...forms('random bytes', random),
  ...[...keyMaterial].flatMap(([name, key]) => forms(name, key)),
])

function expectNone(where: string, bytes: Buffer | string): void {
  const searched = typeof bytes === 'string' ? Buffer.from(bytes) : bytes
  for (const [name, needle] of needles()) if (searched.includes(needle)) throw new Error(`${where} holds ${name}`)
}

beforeAll(async () => {
  const recoveryKey = await install()
  pool = openPool(trent.databaseUrl)
  await session()
  keyMaterial = await openEverything(recoveryKey)
  // Journals are shipped a moment later.
  await until('the audit trail', async () => (await auditRecords(pool)).filter(({ eventName }) => eventName === 'Encrypt').length >= 10)
})
afterAll(async () => {
  client.destroy()
  await pool.end()
  await trent.remove()
  await rm(directory, { recursive: true, force: true })
})

describe('what Trent writes holds no plaintext, PIN, secret access key or key material', () => {
  it('the search finds what is there', () => {
    for (const [name, needle] of needles()) {
      expect(() => { expectNone('here', Buffer.concat([randomBytes(7), needle, randomBytes(9)])) }, name).toThrow('here holds')
    }
    const encoded = Buffer.concat([randomBytes(5), plaintext, randomBytes(4)]).toString('base64')
    expect(() => { expectNone('here', encoded) }).toThrow('here holds plaintext')
  })

  it('the database: every table, as text and as binary', async () => {
    const tables = await rows<{ name: string }>(pool, { name: 'test.tables', text: "SELECT quote_ident(tablename) AS name FROM pg_tables WHERE schemaname = 'public'" })
    expect(tables.length).toBeGreaterThan(10)
    for (const { name } of tables) {
      const found = await pool.query<Record<string, unknown>>(`SELECT t.*, t::text AS whole FROM ${name} t`)
      for (const row of found.rows) {
        expectNone(`table ${name}`, JSON.stringify(row))
        for (const value of Object.values(row)) {
          if (!Buffer.isBuffer(value)) continue
          expectNone(`table ${name}`, value)
          if (value.readUInt16BE() === 0x1f8b) expectNone(`table ${name}, unpacked`, gunzipSync(value))
        }
      }
    }
  })

  it('every file of the installation but the token, the PIN and the security officer\'s: log, journal, configuration, sockets', async () => {
    expect(await trent.log()).toContain('"msg":"serving"')
    const seen: string[] = []
    for (const entry of readdirSync(directory, { recursive: true, withFileTypes: true })) {
      const path = join(entry.parentPath, entry.name)
      if (!entry.isFile() || path.startsWith(join(directory, 'tokens')) || path === join(directory, 'pin')) continue
      seen.push(path)
      expectNone(path, readFileSync(path))
    }
    expect(seen.some(path => path.includes('/journal/'))).toBe(true)
    expect(seen).toContain(join(directory, 'trent.log'))
  })

  it('command line and environment of every process', () => {
    const processes = [trent.primary.pid ?? 0, ...children(trent.primary.pid).map(({ pid }) => pid)]
    expect(processes).toHaveLength(3)
    for (const pid of processes) {
      expect(readProcess(pid, 'cmdline').length).toBeGreaterThan(0)
      expectNone(`command line of ${pid}`, readProcess(pid, 'cmdline'))
      expectNone(`environment of ${pid}`, readProcess(pid, 'environ'))
    }
  })

  it('metrics, readiness, error answers and what the commands print', async () => {
    for (const path of ['/metrics', '/readyz?verbose', '/livez']) {
      const response = await fetch(trent.privateUrl + path)
      expect(response.status).toBe(200)
      expectNone(path, await response.text())
    }
    expect(answers.length).toBeGreaterThan(20)
    for (const answer of answers) expectNone('an answer', answer)
  })
})

// The plaintext comes and goes as base64 in JSON, in strings that nothing can zero: those stay until the heap has used their place again, and
// are not searched for. Bytes are: whatever Trent itself decoded, decrypted or unsealed is zeroed by the time the answer has left.
describe('the memory of the gateway', () => {
  it('holds no unsealed secret, PIN or key material in any form, and no raw byte of a plaintext, right after the requests', () => {
    const [gateway] = children(trent.primary.pid).filter(({ command: line }) => line.startsWith('trent: gateway'))
    if (gateway === undefined) throw new Error('no gateway')
    const never = [...needles()].filter(([name]) => !/^(refused plaintext|plaintext|random bytes),/.test(name))
    const bytes: [string, Buffer][] = [['plaintext, raw', plaintext], ['refused plaintext, raw', refused], ['random bytes, raw', random]]
    // Parts too: what is freed may have been overwritten at its beginning.
    const parts = bytes.flatMap(([name, whole]): [string, Buffer][] => [[`${name}, first half`, whole.subarray(0, 32)], [`${name}, second half`, whole.subarray(32)]])
    const control = new Map([['access key id', Buffer.from(credentials.accessKeyId)]])
    expect(findInMemory(gateway.pid, control).get('access key id')).toBeGreaterThan(0)
    expect(Object.fromEntries(findInMemory(gateway.pid, new Map([...never, ...parts])))).toEqual({})
  })
})
