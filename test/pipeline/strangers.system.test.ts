// What a stranger can make Postgres and the process do, and that those who are none do not pay for it.
import { GenerateRandomCommand, type KMSClient } from '@aws-sdk/client-kms'
import { randomInt } from 'node:crypto'
import { rm } from 'node:fs/promises'
import { setTimeout as pause } from 'node:timers/promises'
import pg from 'pg'
import { afterEach, beforeEach, expect, inject, it } from 'vitest'
import { kms } from '../support/aws.ts'
import { startTrentOn, type Trent } from '../support/gateway.ts'
import { newFolder, writeTokenFiles } from '../support/installation.ts'
import { cloneDatabase, type TestDatabase } from '../support/postgres.ts'
import { startProxy, type Proxy } from '../support/proxy.ts'
import { until } from '../support/until.ts'
import { exchange, requestBytes } from '../support/wire.ts'

let directory: string
let database: TestDatabase
/** Between Trent and Postgres. */
let proxy: Proxy
/** Past the proxy. */
let admin: pg.Client
let trent: Trent
let client: KMSClient

beforeEach(async () => {
  directory = await newFolder('strangers')
  await writeTokenFiles(directory, inject('installation').directory)
  database = await cloneDatabase(inject('installation').template)
  proxy = await startProxy(database.url)
  admin = new pg.Client({ connectionString: database.url })
  await admin.connect()
  trent = await startTrentOn(directory, { url: proxy.url, drop: () => Promise.resolve() })
  client = kms(trent.url)
})
afterEach(async () => {
  client.destroy()
  proxy.mend()
  await trent.stop()
  await admin.end()
  await proxy.close()
  await database.drop()
  await rm(directory, { recursive: true, force: true })
})

const madeUp = (): string => `AKIA${Array.from({ length: 16 }, () => 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567'[randomInt(32)]).join('')}`
const random = { target: 'TrentService.GenerateRandom', body: '{"NumberOfBytes":5}' }

/** The error types that so many requests with access keys that do not exist are answered with. */
const flood = (requests: number): Promise<string[]> => Promise.all(Array.from({ length: requests }, async () => {
  const { body } = await exchange(trent.url, requestBytes(trent.url, { ...random, credentials: { accessKeyId: madeUp(), secretAccessKey: 'any' } }))
  return (JSON.parse(body) as { __type: string }).__type
}))

const count = (types: readonly string[], type: string): number => types.filter(one => one === type).length
const served = async (): Promise<boolean> => (await client.send(new GenerateRandomCommand({ NumberOfBytes: 5 }))).Plaintext?.length === 5

/** How often Postgres has read access keys, once all connections of the gateway have said what they did, which they do at their end. */
async function readsOfAccessKeys(): Promise<number> {
  await until('the connections of the gateway to end', async () => {
    const { rowCount } = await admin.query(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'trent gateway'`)
    return rowCount === 0
  })
  const { rows } = await admin.query<{ reads: string }>(`SELECT seq_scan + coalesce(idx_scan, 0) AS reads FROM pg_stat_user_tables WHERE relname = 'access_keys'`)
  return Number(rows[0]?.reads)
}

it('of a thousand made-up access keys only those within the burst are looked up', async () => {
  expect(await served()).toBe(true)
  const before = await readsOfAccessKeys()
  const types = await flood(1_000)
  const lookedUp = count(types, 'UnrecognizedClientException')
  expect(lookedUp + count(types, 'ThrottlingException')).toBe(1_000)
  expect(lookedUp).toBeGreaterThanOrEqual(100)
  expect(lookedUp).toBeLessThan(700)
  expect(await readsOfAccessKeys() - before).toBe(lookedUp)
})

it('three hundred made-up access keys while Postgres is cut end nothing, and known callers are served on', async () => {
  expect(await served()).toBe(true)
  proxy.cut()
  const types = await flood(300)
  expect(count(types, 'ThrottlingException')).toBeGreaterThan(100)
  expect(count(types, 'ThrottlingException') + count(types, 'KMSInternalException')).toBe(300)
  for (let i = 0; i < 20; i++) expect(await served()).toBe(true)
  expect(await trent.log()).not.toMatch(/a gateway process died|nobody has handled/)
})

it('a valid caller is never throttled while LISTEN is lost, again and again', async () => {
  expect(await served()).toBe(true)
  const cut = new AbortController()
  let lost = 0
  const cutting = (async () => {
    while (!cut.signal.aborted) {
      const { rowCount } = await admin.query(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'trent listen'`)
      lost += rowCount ?? 0
      await pause(1)
    }
  })()
  const requests = Array.from({ length: 500 }, () => requestBytes(trent.url, random))
  const bodies: string[] = []
  try {
    await until('LISTEN to be lost', () => lost > 0)
    for (const request of requests) bodies.push((await exchange(trent.url, request)).body)
  } finally {
    cut.abort()
    await cutting
  }
  expect(bodies.filter(body => !body.startsWith('{"Plaintext":'))).toEqual([])
  expect(lost).toBeGreaterThan(1)
})
