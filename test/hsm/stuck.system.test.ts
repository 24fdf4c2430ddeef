// PKCS#11 calls that never return, threads that abort, a token that is slow: what an agent, its supervisor and its client make of it.
// Faults are for the one process that runs when they are set: its replacement finds a good HSM.
import { randomBytes } from 'node:crypto'
import { existsSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { CreateKeyCommand, DecryptCommand, DescribeKeyCommand, EncryptCommand, type KMSClient } from '@aws-sdk/client-kms'
import { afterEach, beforeEach, describe, expect, inject, it, onTestFinished } from 'vitest'
import { encodeContext } from '../../src/keys/context.ts'
import { HsmClient } from '../../src/hsm/client.ts'
import { usualLimits } from '../../src/hsm/supervisor.ts'
import { Quarantined } from '../../src/hsm/quarantine.ts'
import type { SealedMaterial } from '../../src/keys/material.ts'
import { kms } from '../support/aws.ts'
import { chaosToken, type ChaosToken } from '../support/chaos.ts'
import { startTrent, type Trent } from '../support/gateway.ts'
import { newFolder, writeTokenFiles } from '../support/installation.ts'
import { agentOf, agentsOf, byAge, newPlan, openToken, until, type TestToken } from '../support/token.ts'

/** Shorter than the usual ones, and long enough for a machine that does other things as well. */
const limits = { silence: 3_000, deadlines: { hot: 1_000, unhurried: 1_500, pair: 2_000 } }
const context = encodeContext(new Map([['tenant', 'blue']]))

let directory: string
let chaos: ChaosToken

beforeEach(async () => {
  directory = await newFolder('stuck')
  await writeTokenFiles(directory, inject('installation').directory)
  chaos = await chaosToken(directory)
})
afterEach(() => rm(directory, { recursive: true, force: true }))

async function open(changes: { workers?: number; env?: Record<string, string> } = {}, given = limits): Promise<TestToken> {
  const { token } = chaos
  const changed = { serial: undefined, libraryParameters: undefined, ...token, ...changes, env: { ...token.env, ...changes.env } }
  const opened = await openToken({ limits: given, token: changed })
  onTestFinished(() => opened.remove())
  return opened
}

/** A key that every worker of the agent has open. */
async function openKey({ client }: TestToken): Promise<SealedMaterial> {
  const key = await client.create(newPlan(), false)
  await Promise.all(Array.from({ length: 8 }, () => client.encrypt(key, context, Buffer.from('first'))))
  return key
}

async function roundTrips({ client }: TestToken, key: SealedMaterial, count: number): Promise<string[]> {
  return await Promise.all(Array.from({ length: count }, async (_, i) => {
    const blob = await client.encrypt(key, context, Buffer.from(`message ${i}`))
    return (await client.decrypt(key, context, blob)).toString()
  }))
}

const messages = (count: number): string[] => Array.from({ length: count }, (_, i) => `message ${i}`)

describe('a call that never returns', () => {
  it('in C_Encrypt of a worker: the agent is replaced after the deadline, and the replacement serves all that was in flight', async () => {
    const token = await open()
    const key = await openKey(token)
    const stuck = agentOf(directory)
    chaos.control({ process: stuck, hang: ['C_Encrypt'] })
    const begun = performance.now()
    expect(await roundTrips(token, key, 100)).toEqual(messages(100))
    const took = performance.now() - begun
    expect(token.starts).toEqual(['first', 'overrun'])
    expect(agentOf(directory)).not.toBe(stuck)
    expect(took).toBeGreaterThan(limits.deadlines.hot)
    expect(took).toBeLessThan(limits.deadlines.hot + 8_000)
  })

  it('in C_UnwrapKey of the main thread: other keys go on being served, then the agent is replaced and opens the key', async () => {
    const token = await open()
    const key = await openKey(token)
    const unopened = await token.client.create(newPlan(), false)
    chaos.control({ process: agentOf(directory), hang: ['C_UnwrapKey'] })
    const waiting = token.client.encrypt(unopened, context, Buffer.from('waits'))
    expect(await roundTrips(token, key, 20)).toEqual(messages(20))
    expect(token.starts).toEqual(['first'])
    const blob = await waiting
    expect(token.starts).toEqual(['first', 'silent'])
    expect((await token.client.decrypt(unopened, context, blob)).toString()).toBe('waits')
  })

  it('in C_GenerateKey: the agent is replaced after the longer deadline, and the key is made', async () => {
    const token = await open()
    chaos.control({ process: agentOf(directory), hang: ['C_GenerateKey'] })
    const begun = performance.now()
    const key = await token.client.create(newPlan(), false)
    expect(performance.now() - begun).toBeGreaterThan(limits.deadlines.unhurried)
    expect(token.starts).toEqual(['first', 'overrun'])
    expect(await roundTrips(token, key, 3)).toEqual(messages(3))
  })

  it('in C_Login of the replacement too: calls wait for it, and are served when the HSM is back', async () => {
    const token = await open()
    const key = await openKey(token)
    chaos.control({ hang: ['C_Encrypt', 'C_Login'] })
    const waiting = token.client.encrypt(key, context, Buffer.from('hello'))
    await until(() => token.starts.length === 2, 'a second start')
    expect(token.supervisor.address).toBeNull()
    chaos.clear()
    const blob = await waiting
    expect((await token.client.decrypt(key, context, blob)).toString()).toBe('hello')
    expect(token.starts).toEqual(['first', 'overrun'])
  })

  it('twice under the same call: the call is in quarantine, and whatever else was under way is served', async () => {
    const token = await open()
    const key = await openKey(token)
    const blob = await token.client.encrypt(key, context, Buffer.from('hello'))
    // No agent decrypts while it starts: the second one hangs under the repeated call.
    chaos.control({ hang: ['C_Decrypt'] })
    const refused = expect(token.client.decrypt(key, context, blob)).rejects.toBeInstanceOf(Quarantined)
    // Behind it in the same sockets, of the same key: these die twice with it if they are sent with it twice.
    const beside = Array.from({ length: 100 }, (_, i) => token.client.encrypt(key, context, Buffer.from(`message ${i}`)))
    await refused
    const blobs = await Promise.all(beside)
    await until(() => token.starts.length === 3, 'a third agent')
    expect(token.starts).toEqual(['first', 'overrun', 'overrun'])
    chaos.clear()
    const begun = performance.now()
    await expect(token.client.decrypt(key, context, blob)).rejects.toBeInstanceOf(Quarantined)
    expect(performance.now() - begun).toBeLessThan(100)
    const other = await openKey(token)
    expect(await roundTrips(token, other, 3)).toEqual(messages(3))
    // Another process of the same host has not been told.
    const neighbour = new HsmClient({ observe: () => undefined })
    onTestFinished(() => { neighbour.close() })
    neighbour.setAgent(token.supervisor.address)
    for (const [i, one] of blobs.entries()) expect((await neighbour.decrypt(key, context, one)).toString()).toBe(`message ${i}`)
  })
})

it('keys that take long to make hold up no use of a key, however many there are', async () => {
  const token = await open({}, usualLimits)
  const key = await openKey(token)
  chaos.control({ hang: ['C_GenerateKey'] })
  const made = Array.from({ length: 6 }, () => token.client.create(newPlan(), false))
  await until(() => chaos.hanging().length > 0, 'a key that is being made')
  expect(await roundTrips(token, key, 50)).toEqual(messages(50))
  expect(chaos.hanging().map(line => line.split(' ')[1])).toEqual(['C_GenerateKey'])
  chaos.clear()
  await Promise.all((await Promise.all(made)).map(one => roundTrips(token, one, 1)))
  expect(token.starts).toEqual(['first'])
})

it('a call that has waited five seconds behind others in its worker is not begun, and its caller is told that it was too late', async () => {
  const token = await open({ workers: 1 }, { ...limits, deadlines: { hot: 10_000, unhurried: 10_000, pair: 10_000 } })
  const key = await openKey(token)
  chaos.control({ latency: { C_Encrypt: { microseconds: 2_600_000 } } })
  const outcomes = await Promise.allSettled(Array.from({ length: 3 }, () => token.client.encrypt(key, context, Buffer.from('in one write'))))
  expect(outcomes.map(({ status }) => status)).toEqual(['fulfilled', 'fulfilled', 'rejected'])
  expect(outcomes[2]).toMatchObject({ reason: { name: 'HsmUnavailable', reason: 'deadline', message: 'the call came to the HSM too late' } })
  expect(token.starts).toEqual(['first'])
})

it('abort() in the module: the agent is replaced, and the replacement serves all that was in flight', async () => {
  const token = await open()
  const key = await openKey(token)
  chaos.control({ process: agentOf(directory), abort: ['C_Encrypt'] })
  expect(await roundTrips(token, key, 100)).toEqual(messages(100))
  expect(token.starts).toEqual(['first', 'exit'])
})

it('a slow HSM under memory pressure: no byte of one request stands in the result of another', async () => {
  // 2,000 requests of 4 kB, 64 in flight, in heaps of a few megabytes: buffers are collected while calls are in the HSM.
  const count = 2_000
  const token = await open({ workers: 8, env: { NODE_OPTIONS: '--max-semi-space-size=1 --max-old-space-size=64' } }, usualLimits)
  const key = await openKey(token)
  const slow = { microseconds: 2_000 }
  chaos.control({ latency: { C_EncryptInit: slow, C_Encrypt: slow, C_Decrypt: slow } })
  // Each plaintext is its own number and nothing else, so that a byte of another shows.
  const plaintexts = Array.from({ length: count }, (_, i) => Buffer.alloc(4_096, `<${i}>`))
  const contexts = plaintexts.map((_, i) => encodeContext(new Map([['number', String(i)]])))
  const blobs = await inFlight(64, count, i => {
    // The client's caller may wipe its own buffer only after the answer: a copy stands for it.
    return token.client.encrypt(key, contexts[i] ?? context, Buffer.from(plaintexts[i] ?? ''))
  })
  const opened = await inFlight(64, count, i => token.client.decrypt(key, contexts[i] ?? context, blobs[i] ?? randomBytes(1)))
  const wrong = opened.flatMap((plaintext, i) => (plaintext.equals(plaintexts[i] ?? randomBytes(1)) ? [] : [i]))
  expect(wrong).toEqual([])
  expect(token.starts).toEqual(['first'])
})

/** Runs `count` calls, at most `limit` at a time. Results in order. */
async function inFlight<T>(limit: number, count: number, run: (i: number) => Promise<T>): Promise<T[]> {
  const results = new Array<T>(count)
  let next = 0
  const lane = async (): Promise<void> => {
    for (let i = next++; i < count; i = next++) results[i] = await run(i)
  }
  await Promise.all(Array.from({ length: limit }, lane))
  return results
}

describe('trent serve, with the deadlines of every day', () => {
  let trent: Trent
  let client: KMSClient
  let keyId: string

  beforeEach(async () => {
    trent = await startTrent({ hsm: { tokens: [{ ...chaos.token, standby: true }] } })
    const second = join(trent.directory, 'data/run', String(trent.primary.pid), '0/1/2-0')
    await until(() => existsSync(second), 'an agent that stands by', 30_000)
    client = kms(trent.url)
    keyId = (await client.send(new CreateKeyCommand({}))).KeyMetadata?.KeyId ?? ''
    await encrypt('first')
  })
  afterEach(async () => {
    client.destroy()
    await trent.remove()
  })

  const encrypt = async (text: string): Promise<Uint8Array> =>
    (await client.send(new EncryptCommand({ KeyId: keyId, Plaintext: Buffer.from(text) }))).CiphertextBlob ?? new Uint8Array()
  const decrypt = async (blob: Uint8Array): Promise<string> =>
    Buffer.from((await client.send(new DecryptCommand({ CiphertextBlob: blob }))).Plaintext ?? []).toString()

  it('requests under way are served by the replacement; metrics, probes and what needs no HSM are answered throughout', async () => {
    chaos.control({ process: byAge(directory)[0] ?? 0, hang: ['C_Encrypt'] })
    let done = false
    const encrypted = Promise.all(messages(60).map(encrypt)).finally(() => { done = true })
    // Of its own: the connections of the other are all taken by requests that wait.
    const other = kms(trent.url)
    onTestFinished(() => { other.destroy() })
    const times: number[] = []
    while (!done) {
      const begun = performance.now()
      const asked = [fetch(`${trent.privateUrl}/metrics`), fetch(`${trent.privateUrl}/livez`)] as const
      const [metrics, live] = await Promise.all([...asked, other.send(new DescribeKeyCommand({ KeyId: keyId }))])
      expect([metrics.status, live.status]).toEqual([200, 200])
      await metrics.text()
      times.push(performance.now() - begun)
    }
    expect(await Promise.all((await encrypted).map(decrypt))).toEqual(messages(60))
    // The hang lasts two seconds: whoever waited for it would have been as slow.
    expect(Math.max(...times)).toBeLessThan(1_500)
    expect(times.length).toBeGreaterThan(10)
    const page = await (await fetch(`${trent.privateUrl}/metrics`)).text()
    expect(page).toMatch(/hsm_agent_starts_total\{[^}]*reason="deadline"[^}]*\} 1$/m)
  })

  it('an agent that is stuck in a call dies with its parent', async () => {
    const stuck = byAge(directory)[0] ?? 0
    chaos.control({ hang: ['C_Encrypt'] })
    const outcome = encrypt('never').then(() => 'answered', () => 'no answer')
    await until(() => chaos.hanging().includes(`${stuck} C_Encrypt`), 'a call that hangs')
    trent.primary.kill('SIGKILL')
    await until(() => agentsOf(directory).length === 0, 'the end of the agent', 2_000)
    expect(await outcome).toBe('no answer')
  })

  it('SIGTERM while an agent hangs: the replacement answers what was under way, then all ends', async () => {
    const stuck = byAge(directory)[0] ?? 0
    chaos.control({ process: stuck, hang: ['C_Encrypt'] })
    const waiting = encrypt('in time')
    await until(() => chaos.hanging().includes(`${stuck} C_Encrypt`), 'a call that hangs')
    expect(await trent.stop()).toBe(0)
    expect((await waiting).length).toBeGreaterThan('in time'.length + 16)
    expect(agentsOf(directory)).toEqual([])
  })

  it('SIGTERM while the HSM hangs for good: what is under way is refused when a second agent hangs under it, or cut off after five seconds, and the end is orderly', async () => {
    const stuck = byAge(directory)[0] ?? 0
    chaos.control({ hang: ['C_Encrypt'] })
    const outcome = encrypt('never').then(() => 'answered', () => 'cut off')
    await until(() => chaos.hanging().includes(`${stuck} C_Encrypt`), 'a call that hangs')
    const begun = performance.now()
    expect(await trent.stop()).toBe(0)
    const took = performance.now() - begun
    // Not before: two deadlines of two seconds, the first of which had begun.
    expect(took).toBeGreaterThan(3_000)
    // Gateways that do not end by themselves are killed after 15 s.
    expect(took).toBeLessThan(14_000)
    expect(await outcome).toBe('cut off')
    expect(agentsOf(directory)).toEqual([])
  })
})
