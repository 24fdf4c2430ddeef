// What a pool takes for word of a token's health. Its worker takes calls and answers none, so that only what is here is known of it.
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer, type Server } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import { HsmPool, type PoolCanary } from '../../src/hsm/pool.ts'
import { Quarantine, Quarantined } from '../../src/hsm/quarantine.ts'
import { until } from '../support/until.ts'

const canary: PoolCanary = { material: { row: Buffer.alloc(1), mac: Buffer.alloc(32) }, context: Buffer.alloc(0), ciphertext: Buffer.alloc(1) }
const quarantine = new Quarantine({ alarm: () => undefined })
/** Milliseconds: longer than a token may be quiet before it is asked, less than its canary may take. */
const quiet = 7_000

let directory: string
let server: Server
let pool: HsmPool
let asked: number
let states: string[]

/** On a clock that the test sets; sockets keep to the real one. */
async function newPool(answer: () => Promise<PoolCanary>): Promise<void> {
  directory = mkdtempSync(join(tmpdir(), 'trent-pool-'))
  const path = join(directory, 'worker')
  server = createServer(socket => { socket.on('error', () => undefined).resume() }).listen(path)
  pool = new HsmPool({
    tokens: ['one'], quarantine, observe: () => undefined, breaker: (_token, state) => { states.push(state) }, failedOver: () => undefined,
    canary: () => { asked++; return answer() },
  })
  pool.setTokens([{ token: 'one', draining: false, address: { token: 'one', generation: 1, sockets: { hot: [path], slow: [path] } } }])
  await until('a connection', () => pool.available)
}

beforeEach(() => {
  asked = 0
  states = []
  vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] })
})
afterEach(() => {
  vi.restoreAllMocks()
  vi.useRealTimers()
  pool.close()
  server.close()
  rmSync(directory, { recursive: true })
})

/** Second after second, with this done in each. */
async function passes(milliseconds: number, each: () => Promise<void> = () => Promise.resolve()): Promise<void> {
  const begin = performance.now()
  for (let at = 0; at <= milliseconds; at += 1_000) {
    vi.spyOn(performance, 'now').mockReturnValue(begin + at)
    await each()
    await vi.advanceTimersByTimeAsync(1_000)
  }
}

it('a quiet token is asked its canary', async () => {
  await newPool(() => Promise.resolve(canary))
  await passes(quiet)
  expect(asked).toBe(1)
})

it('a canary that cannot be read says nothing of the token, and is tried again', async () => {
  await newPool(() => Promise.reject(new Error('Postgres is away')))
  await passes(quiet)
  expect(asked).toBeGreaterThan(1)
  expect(states).toEqual([])
})

it('a call that is refused for what it did to other agents says nothing of the token', async () => {
  await newPool(() => Promise.resolve(canary))
  vi.spyOn(quarantine, 'holds').mockImplementation(verb => verb === 'random')
  await passes(quiet, async () => { await expect(pool.random(8)).rejects.toThrow(Quarantined) })
  expect(asked).toBe(1)
})
