import { spawn, type ChildProcess } from 'node:child_process'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { CreateKeyCommand, DecryptCommand, EncryptCommand, ReEncryptCommand, type KMSClient } from '@aws-sdk/client-kms'
import { afterAll, afterEach, beforeAll, describe, expect, inject, it } from 'vitest'
import { parseCiphertext } from '../../src/keys/ciphertext.ts'
import { openPool, type Pool } from '../../src/store/database.ts'
import { expectError, kms } from '../support/aws.ts'
import { newFolder, writeConfig, writeTokenFiles } from '../support/installation.ts'
import { cloneDatabase, type TestDatabase } from '../support/postgres.ts'
import { startProxy, type Proxy } from '../support/proxy.ts'

const script = join(import.meta.dirname, '../support/bounded-gateway.js')
const limits = { first: 4, most: 16, succession: 60, end: 400, unleased: 6 }

let directory: string
let database: TestDatabase
let proxy: Proxy
let pool: Pool
let config: string

beforeAll(async () => {
  const installation = inject('installation')
  directory = await newFolder('bound')
  await writeTokenFiles(directory, installation.directory)
  database = await cloneDatabase(installation.template)
  proxy = await startProxy(database.url)
  pool = openPool(database.url)
  config = await writeConfig(directory, proxy.url, { cache: { maxStaleSeconds: 600 } })
})
afterAll(async () => {
  await pool.end()
  await proxy.close()
  await database.drop()
  await rm(directory, { recursive: true, force: true })
})

interface Bounded {
  readonly client: KMSClient
  readonly child: ChildProcess
  end(signal: 'SIGTERM' | 'SIGKILL'): Promise<void>
}

const running: Bounded[] = []
afterEach(async () => {
  await Promise.all(running.splice(0).map(one => one.end('SIGKILL')))
})

async function gateway(changes: Partial<typeof limits> = {}): Promise<Bounded> {
  const child = spawn(process.execPath, [script, config, JSON.stringify({ ...limits, ...changes })], { stdio: ['ignore', 'pipe', 'inherit'] })
  const exited = new Promise<void>(resolve => child.once('exit', () => { resolve() }))
  const port = await new Promise<number>((resolve, reject) => {
    child.stdout.once('data', (chunk: Buffer) => { resolve(Number(chunk.toString())) })
    void exited.then(() => { reject(new Error('the gateway ended')) })
  })
  const client = kms(`http://127.0.0.1:${port}`)
  const one: Bounded = {
    client, child,
    end: async signal => {
      client.destroy()
      child.kill(signal)
      await exited
    },
  }
  running.push(one)
  return one
}

const newKey = async ({ client }: Bounded): Promise<string> => (await client.send(new CreateKeyCommand({}))).KeyMetadata?.KeyId ?? ''
const encrypt = async ({ client }: Bounded, keyId: string): Promise<Buffer> =>
  Buffer.from((await client.send(new EncryptCommand({ KeyId: keyId, Plaintext: Buffer.from('counted') }))).CiphertextBlob ?? [])
const backingOf = (blob: Buffer): number => parseCiphertext(blob).header.backing

async function booked(keyId: string): Promise<Map<number, number>> {
  const { rows } = await pool.query<{ backing: number; leased: string }>('SELECT backing, leased FROM invocations WHERE key_id = $1', [keyId])
  return new Map(rows.map(({ backing, leased }) => [backing, Number(leased)]))
}

/** How many of the blobs each backing key has made. */
function uses(blobs: readonly Buffer[]): Map<number, number> {
  const counts = new Map<number, number>()
  for (const blob of blobs) counts.set(backingOf(blob), (counts.get(backingOf(blob)) ?? 0) + 1)
  return counts
}

describe('invocations of a key in direct mode', () => {
  it('are booked before they are made, in leases that double, and handed back at an orderly end', async () => {
    const one = await gateway({ succession: 100_000 })
    const keyId = await newKey(one)
    for (let i = 0; i < 3; i++) await encrypt(one, keyId)
    expect((await booked(keyId)).get(1)).toBeGreaterThanOrEqual(3)
    for (let i = 0; i < 20; i++) await encrypt(one, keyId)
    expect((await booked(keyId)).get(1)).toBeGreaterThanOrEqual(23)
    await one.end('SIGTERM')
    expect((await booked(keyId)).get(1)).toBe(23)
  })

  it('stay booked when the process is killed: too many, never too few', async () => {
    const one = await gateway({ succession: 100_000 })
    const keyId = await newKey(one)
    for (let i = 0; i < 10; i++) await encrypt(one, keyId)
    await one.end('SIGKILL')
    const after = (await booked(keyId)).get(1) ?? 0
    expect(after).toBeGreaterThanOrEqual(10)
    const other = await gateway({ succession: 100_000 })
    for (let i = 0; i < 5; i++) await encrypt(other, keyId)
    expect((await booked(keyId)).get(1)).toBeGreaterThanOrEqual(after + 5)
  })

  it('count the destination of ReEncrypt', async () => {
    const one = await gateway({ succession: 100_000 })
    const [source, destination] = [await newKey(one), await newKey(one)]
    const blob = await encrypt(one, source)
    await one.client.send(new ReEncryptCommand({ CiphertextBlob: blob, DestinationKeyId: destination }))
    await one.end('SIGTERM')
    expect([(await booked(source)).get(1), (await booked(destination)).get(1)]).toEqual([1, 1])
  })

  it('at the bound go on with a new backing key under the same material id, with several processes that start and stop', async () => {
    const blobs: Buffer[] = []
    let one = await gateway()
    let other = await gateway()
    const keyId = await newKey(one)
    for (let round = 0; round < 4; round++) {
      for (let i = 0; i < 30; i++) blobs.push(...await Promise.all([encrypt(one, keyId), encrypt(other, keyId)]))
      await one.end(round % 2 === 0 ? 'SIGTERM' : 'SIGKILL')
      ;[one, other] = [other, await gateway()]
    }
    const counts = uses(blobs)
    expect(counts.size).toBeGreaterThan(1)
    for (const [backing, count] of counts) {
      expect(count).toBeLessThanOrEqual((await booked(keyId)).get(backing) ?? 0)
      expect(count).toBeLessThan(limits.end)
    }
    expect(new Set(blobs.map(blob => parseCiphertext(blob).header.materialId.toString('hex'))).size).toBe(1)
    // What the former backing keys encrypted opens as before.
    for (const blob of [blobs[0], blobs.at(-1)]) {
      const { Plaintext } = await one.client.send(new DecryptCommand({ CiphertextBlob: blob }))
      expect(Buffer.from(Plaintext ?? []).toString()).toBe('counted')
    }
    // A successor may be in the making, or be left by a process that was killed over it: another one finishes it when its claim has run out.
    const unfinished = async (): Promise<string | undefined> =>
      (await pool.query<{ count: string }>('SELECT count(*) FROM materials WHERE key_id = $1 AND mac IS NULL', [keyId])).rows[0]?.count
    await expect.poll(unfinished, { timeout: 90_000 }).toBe('0')
  }, 120_000)

  it('end at the hard bound when no successor can be made, for this key alone, and go on once there is one', async () => {
    const one = await gateway({ succession: 8, end: 20, first: 4, most: 4, unleased: 3 })
    const keyId = await newKey(one)
    // A successor row that can never be confirmed: its intent is missing, so that no new backing key comes.
    await pool.query(`INSERT INTO materials (key_id, material_id, backing, cipher_mode, residency, cka_id)
      SELECT key_id, material_id, 2, cipher_mode, residency, cka_id FROM materials WHERE key_id = $1`, [keyId])
    const made: Buffer[] = []
    for (let i = 0; i < 40; i++) await encrypt(one, keyId).then(blob => made.push(blob), () => undefined)
    expect(made.length).toBeGreaterThanOrEqual(16)
    expect(made.length).toBeLessThanOrEqual(20)
    await expectError(one.client.send(new EncryptCommand({ KeyId: keyId, Plaintext: Buffer.from('more') })), 'KeyUnavailableException')
    // The bound of one key says nothing of another.
    const other = await newKey(one)
    await encrypt(one, other)
    await pool.query('DELETE FROM materials WHERE key_id = $1 AND backing = 2', [keyId])
    await expect.poll(async () => encrypt(one, keyId).then(backingOf, () => 0), { timeout: 20_000 }).toBe(2)
  })

  it('go on for a while without Postgres, then stop, and are booked on its return', async () => {
    const one = await gateway({ succession: 100_000, first: 4, most: 4 })
    const keyId = await newKey(one)
    await encrypt(one, keyId)
    const before = (await booked(keyId)).get(1) ?? 0
    proxy.cut()
    const results: boolean[] = []
    for (let i = 0; i < limits.unleased + before + 4; i++) results.push(await encrypt(one, keyId).then(() => true, () => false))
    const made = results.filter(Boolean).length
    expect(made).toBeGreaterThanOrEqual(limits.unleased)
    expect(made).toBeLessThanOrEqual(limits.unleased + before)
    expect(results.at(-1)).toBe(false)
    proxy.mend()
    await expect.poll(() => encrypt(one, keyId).then(() => true, () => false), { timeout: 20_000 }).toBe(true)
    expect((await booked(keyId)).get(1)).toBeGreaterThanOrEqual(made + 2)
  })
})
