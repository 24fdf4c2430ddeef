// The pass-through module itself: each fault does what it says, and without faults nobody can tell that it is there.
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, inject, it, onTestFinished } from 'vitest'
import { newFolder, pin, tokenLabel, writeTokenFiles } from '../support/installation.ts'
import { chaosToken, type ChaosToken } from '../support/chaos.ts'

const ckr = { ok: 0, deviceError: 0x30, deviceMemory: 0x31, mechanismParamInvalid: 0x71, sessionCount: 0xb1, bufferTooSmall: 0x150 }
const iv = '000102030405060708090a0b'
const zeroIv = '00'.repeat(12)

interface Answer {
  readonly ckr: number
  readonly value: string | null
  readonly milliseconds: number
}

interface Caller {
  readonly child: ChildProcess
  call(name: string, details?: object): Promise<Answer>
  /** A session that is logged in, and an AES key. */
  prepare(): Promise<void>
}

let directory: string
let chaos: ChaosToken
let caller: Caller

beforeAll(async () => {
  directory = await newFolder('chaos')
  await writeTokenFiles(directory, inject('installation').directory)
  chaos = await chaosToken(directory)
})
afterAll(() => rm(directory, { recursive: true, force: true }))
beforeEach(() => {
  chaos.clear()
  caller = startCaller()
})
afterEach(() => { caller.child.kill('SIGKILL') })

function startCaller(): Caller {
  const { library, env } = chaos.token
  const script = join(import.meta.dirname, 'caller.js')
  const child = spawn(process.execPath, [script, library, tokenLabel], { env, stdio: ['pipe', 'pipe', 'ignore'] })
  const answers = createInterface({ input: child.stdout })
  const call = async (name: string, details: object = {}): Promise<Answer> => {
    const line = once(answers, 'line')
    child.stdin.write(`${JSON.stringify({ call: name, ...details })}\n`)
    return JSON.parse(String((await line)[0])) as Answer
  }
  const prepare = async (): Promise<void> => {
    for (const [name, details] of [['C_Initialize'], ['C_OpenSession'], ['C_Login', { pin }], ['C_GenerateKey']] as const) {
      expect(await call(name, details)).toMatchObject({ ckr: ckr.ok })
    }
  }
  return { child, call, prepare }
}

const codes = async (names: readonly string[]): Promise<number[]> => {
  const answers: number[] = []
  for (const name of names) answers.push((await caller.call(name)).ckr)
  return answers
}

describe('a fault by function', () => {
  beforeEach(() => caller.prepare())

  it('latency delays the calls that it names, and no others', async () => {
    chaos.control({ latency: { C_GenerateRandom: { microseconds: 80_000 } } })
    expect((await caller.call('C_GenerateRandom')).milliseconds).toBeGreaterThanOrEqual(80)
    expect((await caller.call('C_GetInfo')).milliseconds).toBeLessThan(80)
  })

  it('jitter adds up to its own length by chance', async () => {
    chaos.control({ latency: { '*': { microseconds: 1_000, jitter: 40_000 } } })
    const times: number[] = []
    for (let i = 0; i < 30; i++) times.push((await caller.call('C_GetInfo')).milliseconds)
    expect(Math.min(...times)).toBeGreaterThanOrEqual(1)
    // Thirty draws within 5 of 40 ms of each other: one in 10^24.
    expect(Math.max(...times) - Math.min(...times)).toBeGreaterThan(5)
  })

  it('a CKR is the answer of each call that it names', async () => {
    chaos.control({ fail: { C_GenerateRandom: { ckr: 0x30 }, C_GetInfo: { ckr: 0x80000123 } } })
    expect(await codes(['C_GenerateRandom', 'C_GetInfo', 'C_GenerateKey'])).toEqual([0x30, 0x80000123, ckr.ok])
  })

  it('a CKR with a probability comes about so often', async () => {
    chaos.control({ fail: { C_GenerateRandom: { ckr: 0x30, probability: 0.25 } } })
    const answers = await codes(Array.from({ length: 800 }, () => 'C_GenerateRandom'))
    const failed = answers.filter(code => code === 0x30).length
    // 200 and six standard deviations of 12.
    expect(failed).toBeGreaterThan(128)
    expect(failed).toBeLessThan(272)
    expect(answers.filter(code => code !== 0x30 && code !== ckr.ok)).toEqual([])
  })

  it('a CKR for two calls is over after two', async () => {
    chaos.control({ fail: { C_GenerateRandom: { ckr: 0xb3, times: 2 } } })
    expect(await codes(['C_GenerateRandom', 'C_GenerateRandom', 'C_GenerateRandom'])).toEqual([0xb3, 0xb3, ckr.ok])
  })

  it('a call hangs until the faults are cleared, then goes through', async () => {
    chaos.control({ hang: ['C_GenerateRandom'] })
    let answered = false
    const hanging = caller.call('C_GenerateRandom').then(answer => {
      answered = true
      return answer
    })
    await expect.poll(() => chaos.hanging(), { interval: 5 }).toEqual([`${caller.child.pid} C_GenerateRandom`])
    // What came later and does not hang is answered first, each time: a call that only was slow would come in between.
    const later = startCaller()
    onTestFinished(() => { later.child.kill('SIGKILL') })
    for (const name of ['C_Initialize', ...Array.from({ length: 100 }, () => 'C_GetInfo')]) {
      expect(await later.call(name)).toMatchObject({ ckr: ckr.ok })
      expect(answered).toBe(false)
    }
    chaos.clear()
    expect(await hanging).toMatchObject({ ckr: ckr.ok, value: expect.stringMatching(/^[0-9a-f]{16}$/) as string })
  })

  it('abort ends the process in the call', async () => {
    chaos.control({ abort: ['C_GenerateRandom'] })
    expect(await codes(['C_GetInfo'])).toEqual([ckr.ok])
    const exited = once(caller.child, 'exit')
    void caller.call('C_GenerateRandom')
    expect(await exited).toEqual([null, 'SIGABRT'])
  })

  it('wrong results look right', async () => {
    const blob = (await caller.call('C_EncryptInit', { iv }), await caller.call('C_Encrypt', { data: 'hello' })).value ?? ''
    chaos.control({ wrong: ['C_GenerateRandom', 'C_Decrypt'] })
    expect(await caller.call('C_GenerateRandom')).toMatchObject({ ckr: ckr.ok, value: '00'.repeat(8) })
    await caller.call('C_DecryptInit', { iv: zeroIv })
    expect(await caller.call('C_Decrypt', { data: blob })).toMatchObject({ ckr: ckr.ok, value: '\0'.repeat(5) })
    await caller.call('C_DecryptInit', { iv })
    expect(await caller.call('C_Decrypt', { data: blob })).toMatchObject({ ckr: ckr.ok, value: 'hello' })
  })

  it('faults for another process are none for this one', async () => {
    chaos.control({ process: caller.child.pid ?? 0, fail: { '*': { ckr: 0x30 } } })
    expect(await codes(['C_GetInfo'])).toEqual([0x30])
    chaos.control({ process: process.pid, fail: { '*': { ckr: 0x30 } } })
    expect(await codes(['C_GetInfo'])).toEqual([ckr.ok])
  })

  it('a function that PKCS#11 does not have ends the process, instead of being no fault', async () => {
    chaos.control({ hang: ['C_Encrpyt'] })
    const exited = once(caller.child, 'exit')
    void caller.call('C_GetInfo')
    expect(await exited).toEqual([null, 'SIGABRT'])
  })
})

describe('a dead token', () => {
  it('fails every call until the process initialises anew', async () => {
    await caller.prepare()
    chaos.control({ dead: 0x32 })
    expect(await codes(['C_GetInfo', 'C_GenerateRandom', 'C_OpenSession'])).toEqual([0x32, 0x32, 0x32])
    chaos.clear()
    expect(await codes(['C_GetInfo', 'C_Finalize', 'C_Initialize', 'C_GetInfo'])).toEqual([0x32, ckr.ok, ckr.ok, ckr.ok])
  })

  it('is alive for a process that starts after it died', async () => {
    chaos.control({ dead: 0x32 })
    await caller.prepare()
    expect(await codes(['C_GenerateRandom'])).toEqual([ckr.ok])
    chaos.control({ dead: 0x30 })
    expect(await codes(['C_GenerateRandom'])).toEqual([0x30])
  })
})

describe('limits', () => {
  it('sessions beyond the limit are refused until one is closed', async () => {
    await caller.prepare()
    chaos.control({ sessions: 2 })
    expect(await codes(['C_OpenSession', 'C_OpenSession', 'C_CloseSession', 'C_OpenSession', 'C_OpenSession']))
      .toEqual([ckr.ok, ckr.sessionCount, ckr.ok, ckr.ok, ckr.sessionCount])
    expect(await codes(['C_CloseAllSessions', 'C_OpenSession', 'C_OpenSession', 'C_OpenSession']))
      .toEqual([ckr.ok, ckr.ok, ckr.ok, ckr.sessionCount])
  })

  it('objects beyond the limit are refused until one is destroyed', async () => {
    await caller.prepare()
    chaos.control({ objects: 2 })
    expect(await codes(['C_GenerateKey', 'C_GenerateKey', 'C_DestroyObject', 'C_GenerateKey', 'C_GenerateKey']))
      .toEqual([ckr.ok, ckr.deviceMemory, ckr.ok, ckr.ok, ckr.deviceMemory])
  })
})

it('serial lets the threads of a process make one call at a time', async () => {
  const threads = 4
  const run = async (): Promise<number> => {
    const { library, env } = chaos.token
    const script = join(import.meta.dirname, 'parallel-calls.js')
    const child = spawn(process.execPath, [script, library, tokenLabel, String(threads)], { env, stdio: ['ignore', 'pipe', 'inherit'] })
    onTestFinished(() => { child.kill('SIGKILL') })
    const [line] = await once(createInterface({ input: child.stdout }), 'line') as [string]
    return Number(line)
  }
  chaos.control({ latency: { C_GenerateRandom: { microseconds: 200_000 } }, serial: true })
  expect(await run()).toBeGreaterThanOrEqual(200 * threads)
  chaos.control({ latency: { C_GenerateRandom: { microseconds: 200_000 } } })
  expect(await run()).toBeLessThan(200 * threads)
})

describe('IV conventions of AES-GCM', () => {
  beforeEach(() => caller.prepare())
  const encrypt = async (ivIn: string): Promise<Answer> => {
    const begun = await caller.call('C_EncryptInit', { iv: ivIn })
    return begun.ckr === ckr.ok ? await caller.call('C_Encrypt', { data: 'hello' }) : begun
  }
  const decrypt = async (ivIn: string, data: string): Promise<string | null> => {
    await caller.call('C_DecryptInit', { iv: ivIn })
    return (await caller.call('C_Decrypt', { data })).value
  }

  it('without one the IV of the caller is used, and left alone', async () => {
    const { value } = await encrypt(iv)
    expect((await caller.call('iv')).value).toBe(iv)
    expect(value).toHaveLength(2 * (5 + 16))
    expect(await decrypt(iv, value ?? '')).toBe('hello')
  })

  it('CloudHSM: only a zero IV is taken, and the one that was used stands in its place after C_Encrypt', async () => {
    chaos.control({ iv: 'cloudhsm' })
    expect(await encrypt(iv)).toMatchObject({ ckr: ckr.mechanismParamInvalid })
    const used: string[] = []
    for (let i = 0; i < 2; i++) {
      expect((await caller.call('C_EncryptInit', { iv: zeroIv })).ckr).toBe(ckr.ok)
      expect((await caller.call('iv')).value).toBe(zeroIv)
      const { value } = await caller.call('C_Encrypt', { data: 'hello' })
      const written = (await caller.call('iv')).value ?? ''
      used.push(written)
      expect(await decrypt(written, value ?? '')).toBe('hello')
    }
    expect(new Set([...used, zeroIv]).size).toBe(3)
  })

  it('Luna: no IV is taken, and the one that was used stands behind the tag', async () => {
    chaos.control({ iv: 'luna' })
    expect(await encrypt(iv)).toMatchObject({ ckr: ckr.mechanismParamInvalid })
    const { value } = await encrypt('')
    expect(value).toHaveLength(2 * (5 + 16 + 16))
    expect(await decrypt(value?.slice(-32) ?? '', value?.slice(0, -32) ?? '')).toBe('hello')
  })

  it('Luna: a buffer without room for the IV is too small', async () => {
    chaos.control({ iv: 'luna' })
    await caller.call('C_EncryptInit', { iv: '' })
    expect((await caller.call('C_Encrypt', { data: 'hello', room: 5 + 16 + 15 })).ckr).toBe(ckr.bufferTooSmall)
  })
})
