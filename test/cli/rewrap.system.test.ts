// A new version of the domain key while Trent serves on two tokens: nothing fails, a run that is cut off goes on where it was, and what is
// under the old version is lost with it.
import { spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import {
  CreateKeyCommand, DecryptCommand, EncryptCommand, GenerateMacCommand, SignCommand, VerifyCommand, VerifyMacCommand, type KeySpec, type KeyUsageType,
} from '@aws-sdk/client-kms'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { openPool, type Pool } from '../../src/store/database.ts'
import { kms } from '../support/aws.ts'
import { command, refusal, type Outcome } from '../support/command.ts'
import { startTrentOn, type Trent } from '../support/gateway.ts'
import { mainFile } from '../support/installation.ts'
import { steadyLoad } from '../support/load.ts'
import { until } from '../support/token.ts'
import { addToken, ran, recoveryOptions, reseal, secondLabel, twoTokens, type TwoTokens } from '../support/two-tokens.ts'

let site: TwoTokens
let pool: Pool
let trent: Trent
let request: string
let response: string
const keyCount = 12
/** With one that signs, one that makes MACs and one that decrypts by RSA. */
const total = keyCount + 3
const message = Buffer.from('a message')
let signing: string
let mac: { KeyId: string; Mac: Uint8Array }
let sealedByRsa: { KeyId: string; CiphertextBlob: Uint8Array }
const sealed: { readonly blob: Uint8Array; readonly number: number }[] = []

const start = (): Promise<Trent> => startTrentOn(site.directory, { ...site.database, drop: () => Promise.resolve() }, { hsm: { tokens: site.tokens } })

beforeAll(async () => {
  site = await twoTokens()
  pool = openPool(site.database.url)
  request = join(site.directory, 'rewrap-request.json')
  response = join(site.directory, 'rewrap-response.json')
  trent = await start()
  const client = kms(trent.url)
  for (let number = 0; number < keyCount; number++) {
    const { KeyMetadata } = await client.send(new CreateKeyCommand({}))
    const { CiphertextBlob } = await client.send(new EncryptCommand({ KeyId: KeyMetadata?.KeyId, Plaintext: Buffer.from([number]) }))
    sealed.push({ blob: CiphertextBlob ?? new Uint8Array(), number })
  }
  const make = async (KeySpec: KeySpec, KeyUsage: KeyUsageType): Promise<string> => (await client.send(new CreateKeyCommand({ KeySpec, KeyUsage }))).KeyMetadata?.KeyId ?? ''
  signing = await make('ECC_NIST_P256', 'SIGN_VERIFY')
  const hmac = await make('HMAC_256', 'GENERATE_VERIFY_MAC')
  mac = { KeyId: hmac, Mac: (await client.send(new GenerateMacCommand({ KeyId: hmac, MacAlgorithm: 'HMAC_SHA_256', Message: message }))).Mac ?? new Uint8Array() }
  const rsa = await make('RSA_2048', 'ENCRYPT_DECRYPT')
  const { CiphertextBlob } = await client.send(new EncryptCommand({ KeyId: rsa, EncryptionAlgorithm: 'RSAES_OAEP_SHA_256', Plaintext: message }))
  sealedByRsa = { KeyId: rsa, CiphertextBlob: CiphertextBlob ?? new Uint8Array() }
  client.destroy()
})
afterAll(async () => {
  await trent.stop()
  await pool.end()
  await site.remove()
})

const rewrap = (...words: string[]): Promise<Outcome> => command('hsm', 'rewrap', '--token', 'trent-test', ...words, '--config', site.config)
const versions = async (): Promise<Record<number, number>> =>
  Object.fromEntries((await pool.query<{ v: number; n: number }>('SELECT domain_version AS v, count(*)::int AS n FROM materials GROUP BY 1')).rows.map(({ v, n }) => [v, n]))
const domainKeys = async (token: string): Promise<string[]> => (JSON.parse(await ran('hsm', 'objects', '--token', token, '--json', '--config', site.config)) as { label: string }[])
  .map(({ label }) => label.replace(/[0-9a-f]{32}/, 'ID')).sort()

async function expectAllOpen(): Promise<void> {
  const client = kms(trent.url)
  for (const { blob, number } of sealed) {
    const { Plaintext } = await client.send(new DecryptCommand({ CiphertextBlob: blob }))
    expect([...Plaintext ?? []]).toEqual([number])
  }
  const { Signature } = await client.send(new SignCommand({ KeyId: signing, SigningAlgorithm: 'ECDSA_SHA_256', Message: message }))
  expect((await client.send(new VerifyCommand({ KeyId: signing, SigningAlgorithm: 'ECDSA_SHA_256', Message: message, Signature }))).SignatureValid).toBe(true)
  expect((await client.send(new VerifyMacCommand({ ...mac, MacAlgorithm: 'HMAC_SHA_256', Message: message }))).MacValid).toBe(true)
  const { Plaintext } = await client.send(new DecryptCommand({ ...sealedByRsa, EncryptionAlgorithm: 'RSAES_OAEP_SHA_256' }))
  expect(Buffer.from(Plaintext ?? [])).toEqual(message)
  client.destroy()
}

it('wants the old key from its recovery envelope, and the new one on every token before it moves anything', async () => {
  expect(await rewrap()).toMatchObject(refusal('say --request FILE, or --response FILE once there is a response'))
  await ran('hsm', 'rewrap', '--token', 'trent-test', '--request', request, '--config', site.config)
  await reseal(request, response)
  expect(await rewrap('--response', response)).toMatchObject(refusal('--recovery-key is missing: the new version is wrapped to it as the old one was'))
  expect(await rewrap('--response', response, ...await recoveryOptions()))
    .toMatchObject(refusal(`version 2 of the domain key is made, but not yet on '${secondLabel}': bring it there with \`trent hsm add-token\`, then run this again`))
  expect(await versions()).toEqual({ 1: total })
  await expectAllOpen()
})

it('moves every key while Trent serves, and goes on where it was cut off', async () => {
  expect(await addToken(site, secondLabel)).toBe(`Token '${secondLabel}' holds the domain now (version 2), and opens the database's canary.\n`)
  const load = await steadyLoad(trent.url)
  await until(() => load.roundTrips > 20, 'round trips before')

  const cutOff = spawn(process.execPath, [mainFile, 'hsm', 'rewrap', '--token', 'trent-test', '--response', response, '--batch', '1', '--config', site.config], { stdio: 'ignore' })
  let moved = 0
  while (moved < 3) moved = (await versions())[2] ?? 0
  cutOff.kill('SIGKILL')
  await new Promise(resolve => cutOff.once('exit', resolve))
  const between = await versions()
  expect(between[1]).toBeGreaterThan(0)
  expect(between[2]).toBeGreaterThan(2)
  await expectAllOpen()

  expect(await rewrap('--response', response)).toMatchObject({ code: 0, stdout: expect.stringMatching(/^Every key is under version 2 of the domain key\./) as string })
  // The key of the load among them.
  expect(await versions()).toEqual({ 2: total + 1 })
  const { roundTrips } = load
  await until(() => load.roundTrips > roundTrips + 50, 'round trips after')
  await load.stop()
  expect({ failures: [...load.failures], wrong: load.wrong }).toEqual({ failures: [], wrong: 0 })
  await expectAllOpen()
  expect(await domainKeys('trent-test')).toEqual(['trent/domain/ID/1', 'trent/domain/ID/2', 'trent/integrity/ID/1'])
})

it('has the old version destroyed only when nothing is under it, and then for good', async () => {
  // A gateway that has run since before makes new keys under the old version still.
  const client = kms(trent.url)
  await client.send(new CreateKeyCommand({}))
  client.destroy()
  const retire = (...words: string[]): Promise<Outcome> => command('hsm', 'retire-version', ...words, '--config', site.config)
  expect(await retire('1', '--confirm', 'retire version 1')).toMatchObject(refusal('1 keys are still under version 1: run `trent hsm rewrap` first'))
  expect(await retire('2')).toMatchObject(refusal('version 2 is the newest: it is in use'))
  expect(await retire('3')).toMatchObject(refusal('the domain key has no version 3: there are 1, 2'))

  await trent.stop()
  trent = await start()
  const again = join(site.directory, 'again')
  await ran('hsm', 'rewrap', '--token', 'trent-test', '--request', `${again}-request`, '--config', site.config)
  await reseal(`${again}-request`, `${again}-response`)
  await ran('hsm', 'rewrap', '--token', 'trent-test', '--response', `${again}-response`, '--config', site.config)

  expect(await retire('1', '--confirm', 'yes')).toMatchObject(refusal('nothing is destroyed'))
  expect(await retire('1', '--confirm', 'retire version 1')).toMatchObject({ code: 0, stdout: `Version 1 of the domain key is destroyed on trent-test, ${secondLabel}, and its recovery envelope is deleted.\n` })
  for (const token of ['trent-test', secondLabel]) expect(await domainKeys(token)).toEqual(['trent/domain/ID/2', 'trent/integrity/ID/1'])
  await expectAllOpen()
  await trent.stop()
  trent = await start()
  await expectAllOpen()
  const kept = kms(trent.url)
  await kept.send(new CreateKeyCommand({}))
  kept.destroy()
  expect(await versions()).toEqual({ 2: total + 3 })
})

it('shows in `hsm status`', async () => {
  const status = await ran('hsm', 'status', '--config', site.config)
  expect(status).toMatch(new RegExp(`version 2 of the domain key, made .*: ${total + 3} keys, recovery key [0-9a-f]{64}\\n`))
  expect(JSON.parse(await ran('hsm', 'status', '--json', '--config', site.config))).toMatchObject({
    versions: [{ version: 2, keys: total + 3 }], tokens: [{ label: 'trent-test', drainedSince: null }, { label: secondLabel, drainedSince: null }],
  })
  expect(readFileSync(request, 'utf8')).toContain('trent/domain-request/1')
})
