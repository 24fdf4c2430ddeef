// The contract of the Hsm on another vendor's token: NSS softokn, by its profile. What clients see must be the same.
import { randomBytes } from 'node:crypto'
import { rm } from 'node:fs/promises'
import { CreateKeyCommand, DecryptCommand, EncryptCommand } from '@aws-sdk/client-kms'
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest'
import { KmsError } from '../../src/errors.ts'
import type { HsmClient } from '../../src/hsm/client.ts'
import { MaterialRefused, SealBroken } from '../../src/hsm/hsm.ts'
import { parseCiphertext } from '../../src/keys/ciphertext.ts'
import { encodeContext } from '../../src/keys/context.ts'
import { decodeMaterial, encodeMaterial, type SealedMaterial } from '../../src/keys/material.ts'
import { agreementContract, decryptionContract, macContract, signatureContract } from '../support/algorithms.ts'
import { kms } from '../support/aws.ts'
import { startTrentOn } from '../support/gateway.ts'
import { account, newFolder, trent, writeConfig } from '../support/installation.ts'
import { nssConfig, writeNssFiles } from '../support/nss.ts'
import { freshDatabase, type TestDatabase } from '../support/postgres.ts'
import { newPlan, openToken, residentPlan, storedDomain, type StoredDomain, type TestToken } from '../support/token.ts'

const context = encodeContext(new Map([['tenant', 'blue']]))
const other = encodeContext(new Map([['tenant', 'red']]))
const plaintext = (): Buffer => Buffer.from('what only the token may open')
const invalid = new KmsError('InvalidCiphertextException')

let directory: string
let database: TestDatabase
let config: string
let domain: StoredDomain
let token: TestToken
let client: HsmClient

beforeAll(async () => {
  directory = await newFolder('nss')
  database = await freshDatabase()
  const { soPinFile } = await writeNssFiles(directory)
  config = await writeConfig(directory, database.url, { hsm: { tokens: [nssConfig(directory)] } })
  await trent(['hsm', 'init-token', '--label', nssConfig(directory).label, '--so-pin-file', soPinFile, '--config', config])
  await trent(['hsm', 'init', '--no-recovery', '--config', config])
  domain = await storedDomain(database.url)
  token = await openToken({ token: { serial: undefined, ...nssConfig(directory) } }, domain)
  client = token.client
})
afterAll(async () => {
  await token.remove()
  await database.drop()
  await rm(directory, { recursive: true, force: true })
})

const flipped = (bytes: Buffer, at: number): Buffer => {
  const changed = Buffer.from(bytes)
  changed[at] = (changed[at] ?? 0) ^ 1
  return changed
}

it('the agent says that this token does not keep keys from whoever has the PIN', () => {
  expect(token.ready).toMatchObject({ templateEnforced: false, model: 'NSS 3' })
})

it('the canary of the database opens', async () => {
  const { canary } = domain
  expect(await client.canary(canary, encodeContext(undefined), canary.ciphertext)).toBe(true)
})

const kinds = (['direct', 'derived'] as const).flatMap(cipherMode => (['wrapped', 'resident'] as const).map(residency => ({ cipherMode, residency })))

describe.each(kinds)('a key of $cipherMode mode, $residency', ({ cipherMode, residency }) => {
  let key: SealedMaterial
  let blob: Buffer

  beforeAll(async () => {
    key = await client.create(residency === 'wrapped' ? newPlan({ cipherMode }) : residentPlan({ cipherMode }), false)
    blob = await client.encrypt(key, context, plaintext())
  })

  it('encrypts and decrypts, each time otherwise', async () => {
    expect(decodeMaterial(key.row).blob).toHaveLength(residency === 'wrapped' ? 40 : 0)
    expect(parseCiphertext(blob).header.mode).toBe(cipherMode)
    expect(await client.decrypt(key, context, blob)).toEqual(plaintext())
    const again = await client.encrypt(key, context, plaintext())
    expect(parseCiphertext(again).header.iv).not.toEqual(parseCiphertext(blob).header.iv)
    expect(await client.decrypt(key, context, again)).toEqual(plaintext())
  })

  it('refuses another context, and a blob in which any one byte is changed, with one error', async () => {
    await expect(client.decrypt(key, other, blob)).rejects.toThrow(invalid)
    const refusals = await Promise.all(Array.from(blob, (_, at) => client.decrypt(key, context, flipped(blob, at)).then(() => 'opened', (thrown: unknown) => (thrown as KmsError).code)))
    expect(new Set(refusals)).toEqual(new Set(['InvalidCiphertextException']))
    for (const junk of [Buffer.alloc(0), blob.subarray(0, -1), blob.subarray(0, 70), randomBytes(200)]) await expect(client.decrypt(key, context, junk)).rejects.toThrow(invalid)
    expect(token.starts).toEqual(['first'])
  })

  it('is refused under a MAC that is not its row\'s', async () => {
    const refused = new MaterialRefused('the MAC of a material row is wrong')
    const moved = encodeMaterial({ ...decodeMaterial(key.row), accountId: '999988887777' })
    await expect(client.encrypt({ row: moved, mac: key.mac }, context, plaintext())).rejects.toThrow(refused)
    await expect(client.decrypt({ row: key.row, mac: flipped(key.mac, 0) }, context, blob)).rejects.toThrow(refused)
  })

  it('takes the largest plaintext, and reencrypts to another key', async () => {
    const large = randomBytes(4_096)
    const to = await client.create(newPlan(), false)
    const from = await client.encrypt(key, context, Buffer.from(large))
    const there = await client.reencrypt({ material: key, context }, { material: to, context: other }, from)
    expect(await client.decrypt(to, other, there)).toEqual(large)
    const back = await client.reencrypt({ material: to, context: other }, { material: key, context }, there)
    expect(await client.decrypt(key, context, back)).toEqual(large)
    await expect(client.reencrypt({ material: key, context: other }, { material: to, context }, from)).rejects.toThrow(invalid)
  })
})

it('a resident key that is made again is the same', async () => {
  const plan = residentPlan()
  const first = await client.create(plan, false)
  const blob = await client.encrypt(first, context, plaintext())
  expect(await client.create(plan, true)).toEqual(first)
  expect(await client.decrypt(first, context, blob)).toEqual(plaintext())
})

it('credentials are sealed, opened by their owner alone, and refused when changed', async () => {
  const aad = Buffer.from('owner')
  const broken = new SealBroken('the sealed bytes do not open')
  const sealed = await client.seal(domain.sealKey, aad, Buffer.from('secret'))
  expect((await client.unseal(domain.sealKey, aad, sealed)).toString()).toBe('secret')
  await expect(client.unseal(domain.sealKey, Buffer.from('thief'), sealed)).rejects.toThrow(broken)
  for (const at of sealed.keys()) await expect(client.unseal(domain.sealKey, aad, flipped(sealed, at))).rejects.toThrow(broken)
})

describe('MACs', () => { macContract(() => client) })
describe('RSA decryption', () => { decryptionContract(() => client, ['RSA_2048', 'RSA_4096']) })
describe('key agreement', () => { agreementContract(() => client) })
// NSS has no secp256k1.
describe('signatures', () => { signatureContract(() => client, ['RSA_2048', 'RSA_3072', 'ECC_NIST_P256', 'ECC_NIST_P384', 'ECC_NIST_P521']) })

it('random bytes come in all lengths', async () => {
  for (const length of [1, 32, 1_024]) expect(await client.random(length)).toHaveLength(length)
  expect(await client.random(32)).not.toEqual(await client.random(32))
})

describe('trent serve', () => {
  it('is refused on a token that whoever has the PIN can read, unless that is allowed', async () => {
    await expect(trent(['serve', '--config', config])).rejects.toMatchObject({
      stderr: expect.stringContaining('token \'NSS Certificate DB\' lets whoever has its PIN unwrap keys as extractable, so that PIN and database together read every wrapped key: it serves only where hsm.allowWeakToken is true') as string,
    })
  })

  it('serves an SDK where it is allowed', async () => {
    const { stdout } = await trent(['iam', 'create-admin', '--account', account, '--name', 'admin', '--config', await allowing()])
    const { AccessKeyId: accessKeyId, SecretAccessKey: secretAccessKey } = JSON.parse(stdout) as { AccessKeyId: string; SecretAccessKey: string }
    const running = await startTrentOn(directory, database, { hsm: { allowWeakToken: true, tokens: [nssConfig(directory)] } })
    onTestFinished(async () => { await running.stop() })
    const sdk = kms(running.url, { accessKeyId, secretAccessKey })
    onTestFinished(() => { sdk.destroy() })
    const keyId = (await sdk.send(new CreateKeyCommand({}))).KeyMetadata?.KeyId
    const { CiphertextBlob } = await sdk.send(new EncryptCommand({ KeyId: keyId, Plaintext: plaintext() }))
    const { Plaintext } = await sdk.send(new DecryptCommand({ CiphertextBlob }))
    expect(Buffer.from(Plaintext ?? [])).toEqual(plaintext())
    const changed = flipped(Buffer.from(CiphertextBlob ?? []), 90)
    await expect(sdk.send(new DecryptCommand({ CiphertextBlob: changed }))).rejects.toMatchObject({ name: 'InvalidCiphertextException' })
  })

  const allowing = (): Promise<string> => writeConfig(directory, database.url, { hsm: { allowWeakToken: true, tokens: [nssConfig(directory)] } })
})
