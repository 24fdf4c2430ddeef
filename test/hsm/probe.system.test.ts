// Tokens that fail in ways that no real one at hand does, by the pass-through module: what the probe says of them, and what does not
// start then.
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { afterAll, beforeAll, beforeEach, describe, expect, inject, it } from 'vitest'
import { capabilityTitles, type Capability, type CapabilityName } from '../../src/hsm/agent/capability.ts'
import type { ProbeReport } from '../../src/hsm/agent/control.ts'
import type * as agentProcessModule from '../../src/hsm/agent-process.ts'
import type * as loginModule from '../../src/hsm/login.ts'
import { probeNeeds } from '../../src/hsm/probe-needs.ts'
import { chaosToken, type ChaosToken } from '../support/chaos.ts'
import { command, refusal, type Outcome } from '../support/command.ts'
import { newFolder, pin, tokenConfig, tokenLabel, writeConfig, writeTokenFiles } from '../support/installation.ts'
import { freeLogins } from '../support/logins.ts'
import { cloneDatabase, freshDatabase, type TestDatabase } from '../support/postgres.ts'
import { agentOf, newPlan, openToken, until } from '../support/token.ts'

const CKR = { DEVICE_ERROR: 0x30, MECHANISM_INVALID: 0x70 } as const

let directory: string
let database: TestDatabase
let chaos: ChaosToken

beforeAll(async () => {
  directory = await newFolder('probe')
  await writeTokenFiles(directory, inject('installation').directory)
  database = await cloneDatabase(inject('installation').template)
  chaos = await chaosToken(directory)
})
afterAll(async () => {
  await database.drop()
  await rm(directory, { recursive: true, force: true })
})
beforeEach(() => { chaos.clear() })

const config = (changes: object = {}, keys: object = {}): Promise<string> =>
  writeConfig(directory, database.url, { hsm: { tokens: [{ ...chaos.token, ...changes }] }, keys })

/** Without the keys that take seconds to make. */
async function probed(changes: { profile?: string } = {}, sessions = 3): Promise<ReadonlyMap<CapabilityName, Pick<Capability, 'outcome' | 'detail'>>> {
  // From dist/, since the agent's entry lies beside it.
  const { runJob, tokenAddress } = await import(pathToFileURL(join(import.meta.dirname, '../../dist/hsm/agent-process.js')).href) as typeof agentProcessModule
  const login = await import(pathToFileURL(join(import.meta.dirname, '../../dist/hsm/login.js')).href) as typeof loginModule
  const token = { serial: undefined, libraryParameters: undefined, ...chaos.token, ...changes }
  const { capabilities } = await runJob<ProbeReport>(token, { type: 'probe', token: tokenAddress(token), extent: 'usual', sessions }, freeLogins(pin, login))
  return new Map(capabilities.map(({ name, outcome, detail }) => [name, { outcome, detail }]))
}

describe('the probe', () => {
  it('tries again what failed in a bad moment', async () => {
    const usual = await probed()
    const moments = { C_SignInit: 4, C_DecryptInit: 3, C_DeriveKey: 2, C_GetAttributeValue: 2, C_GenerateRandom: 1 }
    chaos.control({ fail: Object.fromEntries(Object.entries(moments).map(([name, times]) => [name, { ckr: CKR.DEVICE_ERROR, times }])) })
    expect(await probed()).toEqual(usual)
  })

  it('takes a failure for no refusal: a token that only fails has not kept its keys', async () => {
    chaos.control({ fail: { C_GetAttributeValue: { ckr: CKR.DEVICE_ERROR } } })
    expect((await probed()).get('not-readable')).toEqual({ outcome: 'failed', detail: 'C_GetAttributeValue: CKR_DEVICE_ERROR' })
    expect(await command('serve', '--config', await config())).toMatchObject(refusal('hsm.allowWeakToken is false, so that a token must keep keys from whoever has its PIN: token \'trent-test\' does not pass not-readable (the value of a key that may not leave is refused): failed, C_GetAttributeValue: CKR_DEVICE_ERROR'))
  })

  it('says what a function answers that the token lists and does not do', async () => {
    chaos.control({ fail: { C_DeriveKey: { ckr: CKR.MECHANISM_INVALID } } })
    const found = await probed()
    for (const curve of ['p256', 'p384', 'p521'] as const) expect(found.get(`ecdh-${curve}`)).toEqual({ outcome: 'failed', detail: 'C_DeriveKey: CKR_MECHANISM_INVALID' })
    expect(found.get('ec-p256')).toMatchObject({ outcome: 'passed' })
  })

  it('says of every capability that a token without RSA keys has none', async () => {
    chaos.control({ fail: { C_GenerateKeyPair: { ckr: CKR.MECHANISM_INVALID } } })
    const found = await probed()
    expect([...found.keys()]).toEqual(Object.keys(capabilityTitles))
    expect(found.get('rsa-2048')).toEqual({ outcome: 'failed', detail: 'C_GenerateKeyPair: CKR_MECHANISM_INVALID' })
    expect(found.get('rsa-pss-sha-256')).toEqual({ outcome: 'failed', detail: 'no RSA-2048 key pair' })
    expect(found.get('wrap-aes')).toEqual({ outcome: 'failed', detail: 'no domain key can be made: C_GenerateKeyPair: CKR_MECHANISM_INVALID' })
  })

  it.each([
    ['luna', 'luna', { outcome: 'passed', detail: 'appends its IV' }],
    ['luna', undefined, { outcome: 'wrong', detail: 'AES-GCM: the token appends no IV to its output, though its hsm.tokens.profile says that it does' }],
    ['softhsm', 'luna', { outcome: 'failed', detail: 'C_EncryptInit: CKR_MECHANISM_PARAM_INVALID' }],
    ['softhsm', 'cloudhsm', { outcome: 'failed', detail: 'C_EncryptInit: CKR_MECHANISM_PARAM_INVALID' }],
  ] as const)('finds where the IV comes from: profile %s, a token that does as %s', async (profile, iv, expected) => {
    chaos.control(iv === undefined ? {} : { iv })
    const found = await probed({ profile })
    expect(found.get('aes-gcm-encrypt')).toEqual(expected)
  })

  it('counts the sessions that a token gives', async () => {
    chaos.control({ sessions: 5 })
    const found = await probed({}, 8)
    expect(found.get('sessions')).toMatchObject({ outcome: 'wrong', detail: expect.stringMatching(/^[34] of 8, then CKR_SESSION_COUNT$/) as string })
  })
})

describe('trent hsm probe', () => {
  // It knows whether there may be a login.
  let empty: TestDatabase
  beforeAll(async () => { empty = await freshDatabase() })
  afterAll(() => empty.drop())
  const probe = async (tokens: readonly object[], ...words: string[]): Promise<Outcome> =>
    await command('hsm', 'probe', ...words, '--config', await writeConfig(directory, empty.url, { hsm: { tokens } }))

  it('prints a table whose columns stand under each other, and what they come to', async () => {
    const { code, stdout } = await probe([{ ...tokenConfig(directory), label: 'first' }, tokenConfig(directory)], '--token', tokenLabel)
    expect(code).toBe(0)
    const lines = stdout.split('\n')
    expect(lines[0]).toMatch(/^Token 'trent-test': SoftHSM project SoftHSM v2, serial [0-9a-f]{16}, profile softhsm, library .+, firmware \d+\.\d+$/)
    const head = lines.findIndex(line => line.startsWith('CAPABILITY'))
    const what = lines[head]?.indexOf('WHAT') ?? 0
    const rows = lines.slice(head + 1, lines.indexOf('', head))
    expect(rows.length).toBeGreaterThan(50)
    for (const row of rows) expect(row.slice(what - 2, what + 1)).toMatch(/^ {2}\S$/)
    expect(lines).toContain(`${rows.filter(row => / passed /.test(row)).length} of ${rows.length} capabilities; not: rsa-oaep-sha-256, import-oaep-sha-256, import-rsa-aes-sha-256, rsa-aes-key-wrap, ed25519ph, wrap-ed25519, ml-dsa-44, ml-dsa-65, ml-dsa-87, wrap-ml-dsa, ml-kem-512, ml-kem-768, ml-kem-1024, wrap-ml-kem`)
    expect(lines).toContain('Keys, resident only: ECC_NIST_EDWARDS25519/SIGN_VERIFY')
  })

  it('wants to be told which token, where there are several', async () => {
    const tokens = [{ ...tokenConfig(directory), label: 'first' }, tokenConfig(directory)]
    expect(await probe(tokens)).toMatchObject(refusal('hsm.tokens names 2 tokens: say with --token which is meant (first, trent-test)'))
    expect(await probe(tokens, '--token', 'third')).toMatchObject(refusal('--token is \'third\', and hsm.tokens has \'first\', \'trent-test\''))
    expect(await probe([])).toMatchObject(refusal('hsm.tokens is empty: name the token that holds the domain'))
  })
})

describe('a capability that a setting needs and the probe refutes stops the start', () => {
  const serve = async (changes: object = {}, keys: object = {}): Promise<Outcome> => await command('serve', '--config', await config(changes, keys))

  it('AES-GCM while keys.cipherMode is direct', async () => {
    chaos.control({ fail: { C_EncryptInit: { ckr: CKR.MECHANISM_INVALID } } })
    expect(await serve()).toMatchObject(refusal('keys.cipherMode is direct: token \'trent-test\' does not pass aes-gcm-encrypt (AES-256-GCM with additional data, opened by OpenSSL): failed, C_EncryptInit: CKR_MECHANISM_INVALID'))
  })

  it('a token that makes its own IV, while its profile says that it takes one', async () => {
    chaos.control({ iv: 'cloudhsm' })
    expect(await serve()).toMatchObject(refusal('keys.cipherMode is direct: token \'trent-test\' does not pass aes-gcm-encrypt (AES-256-GCM with additional data, opened by OpenSSL): failed, C_EncryptInit: CKR_MECHANISM_PARAM_INVALID'))
  })

  it('more workers than the token gives sessions', async () => {
    chaos.control({ sessions: 4 })
    expect(await serve({ workers: 9 })).toMatchObject({
      code: 1, stderr: expect.stringMatching(/^hsm\.tokens\.workers asks for more sessions than there are: token 'trent-test' does not pass sessions \(as many sessions as there are threads\): wrong answer, \d+ of \d+, then CKR_SESSION_COUNT\n$/) as string,
    })
  })

  it('another wrap mechanism than RFC 5649', async () => {
    expect(await serve({ profile: 'nss' })).toMatchObject(refusal('hsm.tokens.profile \'nss\': none of its wrap mechanisms (0x210b) is AES key wrap with padding (RFC 5649) on this token'))
  })
})

describe('an agent that is replaced', () => {
  it('tries only that keys stay secret, and says on what keys the first one stood', async () => {
    const token = await openToken({
      token: { serial: undefined, libraryParameters: undefined, ...chaos.token },
      probe: { extent: 'usual', needs: probeNeeds({ hsm: { domainFingerprint: undefined, allowWeakToken: false, tokens: [] }, keys: { residency: 'wrapped', cipherMode: 'direct', verifySignatures: false, quota: 1 } }) },
    })
    try {
      expect(token.ready.makes?.wrapped).toContain('SYMMETRIC_DEFAULT/ENCRYPT_DECRYPT')
      const makes = token.supervisor.address?.makes
      expect(makes).toEqual(token.ready.makes)
      expect(token.client.makes).toEqual(makes)
      // No key pair is made by a replacement: it would hang.
      chaos.control({ hang: ['C_GenerateKeyPair', 'C_DeriveKey'] })
      const before = token.supervisor.address?.generation ?? 0
      process.kill(agentOf(directory), 'SIGKILL')
      await until(() => (token.supervisor.address?.generation ?? 0) > before, 'a replacement')
      expect(token.supervisor.address?.makes).toEqual(makes)
      await token.client.create(newPlan(), false)
      token.client.setAgent(null)
      expect(token.client.makes).toEqual(makes)
    } finally {
      await token.remove()
    }
  })
})
