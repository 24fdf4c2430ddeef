// What an agent keeps open on a real token: how often it unwraps, what it closes and when, and that no stale handle is ever used.
import { rm } from 'node:fs/promises'
import { afterEach, beforeEach, describe, expect, inject, it, onTestFinished } from 'vitest'
import { ckr } from '../../src/hsm/agent/ckr.ts'
import type { AnswerFrame, TimedFunction } from '../../src/hsm/agent/frames.ts'
import { HsmClient } from '../../src/hsm/client.ts'
import { encodeContext } from '../../src/keys/context.ts'
import { decodeMaterial, type SealedMaterial } from '../../src/keys/material.ts'
import { chaosToken, type ChaosToken } from '../support/chaos.ts'
import { newFolder, writeTokenFiles } from '../support/installation.ts'
import { newPlan, openToken, poke, residentPlan, until, type TestToken } from '../support/token.ts'

const context = encodeContext(undefined)
/** Milliseconds after which keys whose lifetime is over have been closed: the main thread looks once a second. */
const swept = 1_500

let directory: string
let chaos: ChaosToken
beforeEach(async () => {
  directory = await newFolder('keys')
  await writeTokenFiles(directory, inject('installation').directory)
  chaos = await chaosToken(directory)
})
afterEach(() => rm(directory, { recursive: true, force: true }))

interface Opened {
  readonly token: TestToken
  readonly client: HsmClient
  /** How often the token was asked, by what the answers say. */
  readonly count: (call: TimedFunction) => number
}

async function open(keys = { held: 1_000, lifetime: 900_000 }, workers = 2): Promise<Opened> {
  const answers: AnswerFrame[] = []
  const token = await openToken({ limits: { keys, deadlines: { hot: 10_000, unhurried: 10_000, pair: 10_000 } }, token: { serial: undefined, libraryParameters: undefined, ...chaos.token, workers } })
  const client = new HsmClient({ observe: (_token, answer) => { answers.push(answer) } })
  client.setAgent(token.supervisor.address)
  onTestFinished(async () => {
    client.close()
    await token.remove()
  })
  return { token, client, count: call => answers.flatMap(({ timings }) => timings).filter(timing => timing.call === call).length }
}

const pause = (milliseconds: number): Promise<void> => new Promise(resolve => setTimeout(resolve, milliseconds))
const use = async (client: HsmClient, key: SealedMaterial): Promise<void> => {
  const blob = await client.encrypt(key, context, Buffer.from('used'))
  expect((await client.decrypt(key, context, blob)).toString()).toBe('used')
}
/** So often that every worker has had it. */
const useEverywhere = async (client: HsmClient, key: SealedMaterial): Promise<void> => { await Promise.all(Array.from({ length: 32 }, () => use(client, key))) }

it('a key that many ask for at once is unwrapped once, for all workers', async () => {
  const { client, count } = await open(undefined, 4)
  const key = await client.create(newPlan(), false)
  chaos.control({ latency: { C_UnwrapKey: { microseconds: 50_000 } } })
  await Promise.all(Array.from({ length: 64 }, () => use(client, key)))
  expect(count('C_UnwrapKey')).toBe(1)
})

describe('the lifetime of an open key', () => {
  it('ends though it is used all the time, and no call fails', async () => {
    const { client, count, token } = await open({ held: 1_000, lifetime: 1_000 })
    const key = await client.create(newPlan(), false)
    const end = performance.now() + 4_500
    while (performance.now() < end) await useEverywhere(client, key)
    expect(count('C_UnwrapKey')).toBeGreaterThanOrEqual(2)
    // Not more often than it ends.
    expect(count('C_UnwrapKey')).toBeLessThanOrEqual(5)
    expect(token.starts).toEqual(['first'])
  })

  it('ends with its object on the token: nothing is left of it', async () => {
    const { client } = await open({ held: 1_000, lifetime: 100 })
    const made = await Promise.all(Array.from({ length: 12 }, () => client.create(newPlan(), false)))
    // The canary, and five keys at most.
    chaos.control({ objects: 6 })
    const groups = [made.slice(0, 4), made.slice(4, 8), made.slice(8)]
    for (const group of groups) {
      for (const key of group) await use(client, key)
      await pause(swept)
    }
  })

  it('of a resident key ends without another search for its object, as long as that is there', async () => {
    const { client, count } = await open({ held: 1_000, lifetime: 100 })
    const key = await client.create(residentPlan(), false)
    await use(client, key)
    const searches = count('C_FindObjects')
    expect(searches).toBeGreaterThan(0)
    await pause(swept)
    const looks = count('C_GetAttributeValue')
    await use(client, key)
    expect(count('C_FindObjects')).toBe(searches)
    expect(count('C_GetAttributeValue')).toBeGreaterThan(looks)
    // Destroyed by someone with the PIN.
    const { keyId } = decodeMaterial(key.row)
    expect(await poke(directory, 'destroyKey', { label: `trent/key/${keyId}` })).toBe(0)
    await pause(swept)
    await expect(client.encrypt(key, context, Buffer.from('x'))).rejects.toMatchObject({ name: 'MaterialRefused' })
  })
})

describe('when there are more keys than may be open', () => {
  it('the least lately used is closed, and its object destroyed', async () => {
    const { client, count } = await open({ held: 3, lifetime: 900_000 }, 1)
    const make = (): Promise<SealedMaterial> => client.create(newPlan(), false)
    const [hot, cold, other, fourth] = await Promise.all([make(), make(), make(), make()])
    chaos.control({ objects: 6 })
    for (const key of [hot, cold, other]) await use(client, key)
    // Opened first of all, and used since: workers say so once a second.
    const end = performance.now() + 2 * swept
    while (performance.now() < end) await use(client, hot)
    const before = count('C_UnwrapKey')
    expect(before).toBe(3)
    await use(client, fourth)
    await use(client, hot)
    expect(count('C_UnwrapKey')).toBe(before + 1)
    await use(client, cold)
    expect(count('C_UnwrapKey')).toBe(before + 2)
    for (const key of [fourth, hot, cold, other, fourth, hot]) await use(client, key)
  })
})

describe('a handle that the token no longer knows', () => {
  it('makes every worker let go of every handle: no number that is given out anew can be another key\'s', async () => {
    const { client, count, token } = await open()
    const [one, other] = await Promise.all([client.create(newPlan(), false), client.create(newPlan(), false)])
    for (const key of [one, other]) await useEverywhere(client, key)
    expect(count('C_UnwrapKey')).toBe(2)
    chaos.control({ fail: { C_EncryptInit: { ckr: ckr.KEY_HANDLE_INVALID, times: 1 } } })
    await use(client, one)
    chaos.clear()
    await use(client, other)
    // Both are unwrapped anew, though only one was said to be stale.
    expect(count('C_UnwrapKey')).toBe(4)
    expect(token.starts).toEqual(['first'])
  })

  it('waits for every worker before any key is opened', async () => {
    const { client, token } = await open()
    const [one, cold] = await Promise.all([client.create(newPlan(), false), client.create(newPlan(), false)])
    await useEverywhere(client, one)
    // One worker hangs in a call with a handle of before; the other finds it stale.
    const blob = await client.encrypt(one, context, Buffer.from('x'))
    chaos.control({ hang: ['C_Decrypt'], fail: { C_EncryptInit: { ckr: ckr.KEY_HANDLE_INVALID, times: 1 } } })
    const hanging = client.decrypt(one, context, blob)
    await until(() => chaos.hanging().length === 1, 'a call that hangs')
    const stale = client.encrypt(one, context, Buffer.from('x'))
    let opened = false
    const waiting = client.encrypt(cold, context, Buffer.from('x')).then(() => { opened = true })
    await pause(300)
    expect({ opened, starts: token.starts }).toEqual({ opened: false, starts: ['first'] })
    chaos.clear()
    await Promise.all([hanging, stale, waiting])
    expect(token.starts).toEqual(['first'])
  })
})

describe('sessions', () => {
  it('are as many as the token gives: with fewer there are fewer workers, and it is logged', async () => {
    chaos.control({ sessions: 5 })
    const { client, token } = await open(undefined, 8)
    // One is the main thread's, one is spare.
    expect(token.supervisor.address?.sockets).toMatchObject({ hot: [expect.anything(), expect.anything()], slow: [expect.anything()] })
    expect(token.logged).toEqual(['the token has fewer sessions than hsm.tokens.workers asks for'])
    const key = await client.create(newPlan(), false)
    await useEverywhere(client, key)
    // A worker's broken session is made anew beside the former one.
    chaos.control({ sessions: 5, fail: { C_EncryptInit: { ckr: ckr.OPERATION_ACTIVE, times: 1 } } })
    await useEverywhere(client, key)
    expect(token.starts).toEqual(['first'])
  })

  it('that are too few for one worker of each lane end the start with a sentence', async () => {
    chaos.control({ sessions: 3 })
    await expect(open()).rejects.toThrow('hsm.tokens.workers: the token gives an hsm-agent 3 sessions; 4 are the least')
  })
})
