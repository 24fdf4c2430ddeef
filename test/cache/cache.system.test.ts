import { randomBytes } from 'node:crypto'
import { afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import { denyAll } from '../../src/authz/policy.ts'
import { Cache, type CacheKind, type CacheState } from '../../src/cache/cache.ts'
import { deleteAccessKey, insertAccessKey, updateAccessKeyStatus } from '../../src/store/access-keys.ts'
import { deleteAlias, insertAlias, updateAlias } from '../../src/store/aliases.ts'
import { openPool, poolLimits, transaction, type Pool } from '../../src/store/database.ts'
import { deleteUser, deleteUserPolicy, insertUser, putUserPolicy } from '../../src/store/identities.ts'
import { updateKeyDescription, updateKeyState } from '../../src/store/keys.ts'
import { confirmMaterial, insertMaterial } from '../../src/store/materials.ts'
import { putKeyPolicy } from '../../src/store/policies.ts'
import { putTags } from '../../src/store/tags.ts'
import { useDatabase } from '../support/database.ts'
import { startProxy, type Proxy } from '../support/proxy.ts'
import { enabledKey, newAccount, planFor, sealed } from '../store/fixtures.ts'

const database = useDatabase()
/** Writes straight into Postgres, as another gateway would. */
let pool: Pool
let accountId: string
let anyKey: string
beforeAll(async () => {
  pool = database.pool
  accountId = await newAccount(pool)
  anyKey = (await enabledKey(pool, accountId)).key.id
})

/** Between the cache and Postgres: one for its reads, one for what it listens to. */
let reads: Proxy
let listens: Proxy
let cachePool: Pool
const open: Cache[] = []
beforeEach(async () => {
  reads = await startProxy(database.url)
  listens = await startProxy(database.url)
  cachePool = openPool(reads.url, { ...poolLimits, connections: 4, connectMs: 500 })
})
afterEach(async () => {
  for (const cache of open.splice(0)) cache.close()
  reads.thaw()
  await cachePool.end()
  await Promise.all([reads.close(), listens.close()])
})

interface Seen {
  hits: CacheKind[]
  misses: CacheKind[]
  states: CacheState[]
}

async function connected(options: { maxStaleMs?: number; limit?: number } = {}): Promise<{ cache: Cache; seen: Seen }> {
  const seen: Seen = { hits: [], misses: [], states: [] }
  const cache = new Cache({
    pool: cachePool,
    url: listens.url,
    maxStaleMs: 60_000,
    limit: 1_000,
    ...options,
    on: { hit: kind => seen.hits.push(kind), miss: kind => seen.misses.push(kind), stale: () => {}, state: state => seen.states.push(state), fault: () => {} },
  })
  open.push(cache)
  await cache.ready()
  return { cache, seen }
}

/** Turns of the event loop until `done`; resolves to the milliseconds it took. */
async function until(done: () => boolean, withinMs = 20_000): Promise<number> {
  const start = performance.now()
  while (!done()) {
    if (performance.now() - start > withinMs) throw new Error(`not after ${withinMs} ms`)
    await new Promise(setImmediate)
  }
  return performance.now() - start
}

const kept = (found: unknown): boolean => !(found instanceof Promise)

/** Waits until an entry is not kept any more, and for the read that shows it. Resolves to the milliseconds until then. */
async function dropped(look: () => unknown): Promise<number> {
  let found: unknown
  const took = await until(() => !kept(found = look()))
  await found
  return took
}

/**
 * Looks up and has the answer kept. Notifications of the rows just made may still be on their way and would drop it again, so it
 * waits for the notification of a later change first.
 */
async function warm<T>(cache: Cache, look: () => T | Promise<T>): Promise<T> {
  const name = `alias/${randomBytes(8).toString('hex')}`
  await cache.alias(accountId, name)
  await insertAlias(pool, { accountId, name, keyId: anyKey })
  await dropped(() => cache.alias(accountId, name))
  await look()
  const found = look()
  expect(kept(found)).toBe(true)
  return found
}

const base32 = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567'
const id = (prefix: string, length: number): string => prefix + [...randomBytes(length)].map(byte => base32[byte % 32]).join('')
const allow = '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"kms:*","Resource":"*"}]}'
const keyPolicy = '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"kms:*","Resource":"*"}]}'

async function caller(): Promise<{ userId: string; accessKeyId: string }> {
  const userId = id('AIDA', 17)
  const accessKeyId = id('AKIA', 16)
  await insertUser(pool, { id: userId, accountId, name: userId, path: '/' })
  await insertAccessKey(pool, { id: accessKeyId, accountId, userId, status: 'Active', sealedSecret: randomBytes(60), serviceKeyVersion: 1 })
  return { userId, accessKeyId }
}

test('what was read once is there at once, also that there is nothing', async () => {
  const { cache, seen } = await connected()
  const { key } = await enabledKey(pool, accountId)
  await insertAlias(pool, { accountId, name: 'alias/once', keyId: key.id })
  const { accessKeyId, userId } = await caller()
  const none = id('AKIA', 16)
  await warm(cache, () => cache.key(key.id))
  await cache.accessKey(id('AKIA', 16))
  expect(seen.misses.slice(-2)).toEqual(['key', 'access-key'])
  const first = [await cache.key(key.id), await cache.alias(accountId, 'alias/once'), await cache.accessKey(accessKeyId), await cache.accessKey(none)]
  expect(first).toMatchObject([{ key: { id: key.id } }, key.id, { id: accessKeyId, accountId, user: { id: userId, name: userId, path: '/' } }, undefined])
  expect(seen.misses.slice(-3)).toEqual(['alias', 'access-key', 'access-key'])
  seen.hits = []
  expect([cache.key(key.id), cache.alias(accountId, 'alias/once'), cache.accessKey(accessKeyId), cache.accessKey(none)]).toEqual(first)
  expect(seen.hits).toEqual(['key', 'alias', 'access-key', 'access-key'])
  expect(cache.state()).toBe('live')
  expect(cache.staleServed).toBe(0)
})

test('each change that another gateway makes is seen within 100 ms', async () => {
  const { cache } = await connected()
  const { key, plan } = await enabledKey(pool, accountId)
  const { accessKeyId, userId } = await caller()
  const name = 'alias/fast'
  const next = planFor(key, { materialId: plan.materialId, backing: 2 })
  await insertMaterial(pool, next)
  const ofKey = () => cache.key(key.id)
  const ofAlias = () => cache.alias(accountId, name)
  const ofCaller = () => cache.accessKey(accessKeyId)
  const changes: [() => unknown, () => Promise<unknown>, unknown][] = [
    [ofKey, () => updateKeyState(pool, key.id, ['Enabled'], 'Disabled', null), { key: { state: 'Disabled' } }],
    [ofKey, () => putKeyPolicy(pool, key.id, keyPolicy), { policyDocument: keyPolicy }],
    [ofKey, () => putTags(pool, key.id, new Map([['team', 'red']])), { tags: new Map([['team', 'red']]) }],
    [ofAlias, () => insertAlias(pool, { accountId, name, keyId: key.id }), key.id],
    [ofAlias, () => deleteAlias(pool, { accountId, name, keyId: key.id }), undefined],
    [ofCaller, () => putUserPolicy(pool, userId, 'p', allow), { policies: [{ denies: [] }] }],
    [ofCaller, () => deleteUserPolicy(pool, userId, 'p'), { policies: [] }],
    [ofCaller, () => updateAccessKeyStatus(pool, accessKeyId, 'Inactive'), { status: 'Inactive' }],
    [ofCaller, () => deleteUser(pool, userId), undefined],
  ]
  const took: number[] = []
  for (const [look, change, expected] of changes) {
    await warm(cache, look)
    await change()
    took.push(await dropped(look))
    const found = await look()
    if (typeof expected === 'object') expect(found).toMatchObject(expected as object)
    else expect(found).toBe(expected)
  }
  // The middle one of nine: a machine that is busy with other tests delays some, a broken path all.
  expect(took.toSorted((a, b) => a - b)[4]).toBeLessThan(100)
})

test('a new backing of the material becomes the current one, and the old one is still found', async () => {
  const { cache } = await connected()
  const { key, plan, material } = await enabledKey(pool, accountId)
  const entry = await cache.key(key.id)
  expect(entry?.current).toEqual(material)
  const next = { ...plan, backing: 2 }
  await insertMaterial(pool, next)
  const made = sealed(next)
  await confirmMaterial(pool, made, null)
  await dropped(() => cache.key(key.id))
  const later = await cache.key(key.id)
  expect(later?.current).toEqual(made)
  expect(later?.material(plan.materialId, 1)).toEqual(material)
  expect(later?.material(plan.materialId, 2)).toEqual(made)
  expect(later?.material(plan.materialId, 3)).toBeUndefined()
  expect(later?.material(randomBytes(32), 1)).toBeUndefined()
})

test('the current material is the named one, the only one where none is named, and else none', async () => {
  const { cache } = await connected()
  const { key, plan, material } = await enabledKey(pool, accountId)
  const other = planFor(key)
  const otherMade = sealed(other)
  await pool.query('UPDATE keys SET current_material_id = NULL WHERE id = $1', [key.id])
  expect((await cache.key(key.id))?.current).toEqual(material)
  await insertMaterial(pool, other)
  await confirmMaterial(pool, otherMade, null)
  await dropped(() => cache.key(key.id))
  expect((await cache.key(key.id))?.current).toBeUndefined()
  for (const [current, expected] of [[plan, material], [other, otherMade]] as const) {
    await pool.query('UPDATE keys SET current_material_id = $2 WHERE id = $1', [key.id, current.materialId])
    await dropped(() => cache.key(key.id))
    expect((await cache.key(key.id))?.current).toEqual(expected)
  }
})

test('a policy that is missing or does not compile denies', async () => {
  const { cache } = await connected()
  const { key } = await enabledKey(pool, accountId)
  expect(await cache.key(key.id)).toMatchObject({ policyDocument: '' })
  expect((await cache.key(key.id))?.policy).toBe(denyAll)
  await putKeyPolicy(pool, key.id, '{"Version":"2012-10-17","Statement":[{"Effect":"Perhaps"}]}')
  await dropped(() => cache.key(key.id))
  expect((await cache.key(key.id))?.policy).toBe(denyAll)
  await putKeyPolicy(pool, key.id, keyPolicy)
  await dropped(() => cache.key(key.id))
  expect((await cache.key(key.id))?.policy).toMatchObject({ denies: [], allows: [{ conditional: false }] })
  const { accessKeyId, userId } = await caller()
  await putUserPolicy(pool, userId, 'a', allow)
  await putUserPolicy(pool, userId, 'b', 'not JSON')
  const policies = (await cache.accessKey(accessKeyId))?.policies
  expect(policies?.length).toBe(2)
  expect(policies?.[1]).toBe(denyAll)
})

test('a change that commits between a read and its answer is not overwritten by that answer', async () => {
  const { cache } = await connected()
  const { key } = await enabledKey(pool, accountId)
  const { key: witness } = await enabledKey(pool, accountId)
  await warm(cache, () => cache.key(witness.id))
  const answered = "SELECT FROM pg_stat_activity WHERE application_name = 'trent gateway' AND state = 'idle' AND query LIKE '%json_agg%' AND state_change > $1"
  const [{ now }] = (await pool.query<{ now: string }>('SELECT clock_timestamp()::text AS now')).rows as [{ now: string }]
  reads.holdAnswers()
  const before = cache.key(key.id)
  expect(kept(before)).toBe(false)
  await expect.poll(async () => (await pool.query(answered, [now])).rowCount, { interval: 5 }).toBe(1)
  await transaction(pool, async tx => {
    await updateKeyDescription(tx, key.id, 'new')
    await updateKeyDescription(tx, witness.id, 'new')
  })
  // Both notifications are of one transaction, so the cache has heard of `key` when it has dropped the witness.
  const witnesses: unknown[] = []
  await until(() => {
    const found = cache.key(witness.id)
    if (!kept(found)) witnesses.push(found)
    return witnesses.length > 0
  })
  reads.thaw()
  expect((await before)?.key.description).toBe('')
  const after = cache.key(key.id)
  expect(kept(after)).toBe(false)
  expect((await after)?.key.description).toBe('new')
  await Promise.all(witnesses)
})

test('a LISTEN connection that Postgres ends is bypassed at once, and its successor starts with an empty cache', async () => {
  const { cache, seen } = await connected()
  const { key } = await enabledKey(pool, accountId)
  await warm(cache, () => cache.key(key.id))
  const kill = pool.query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'trent listen' AND datname = current_database()")
  expect(await until(() => cache.state() !== 'live')).toBeLessThan(2_000)
  expect(cache.state()).toBe('bypassed')
  await kill
  await cache.ready()
  expect(seen.states).toEqual(['live', 'bypassed', 'live'])
  const again = cache.key(key.id)
  expect(kept(again)).toBe(false)
  await again
})

test('while nothing is heard each look-up reads Postgres, and what changed meanwhile is not served afterwards', async () => {
  const { cache, seen } = await connected()
  const { key } = await enabledKey(pool, accountId)
  await warm(cache, () => cache.key(key.id))
  Object.assign(seen, { hits: [], misses: [] })
  listens.cut()
  await until(() => cache.state() === 'bypassed')
  for (const description of ['one', 'two', 'three']) {
    await updateKeyDescription(pool, key.id, description)
    expect((await cache.key(key.id))?.key.description).toBe(description)
  }
  expect(seen.misses).toEqual(['key', 'key', 'key'])
  expect(seen.hits).toEqual([])
  expect(cache.staleServed).toBe(0)
  await updateKeyDescription(pool, key.id, 'four')
  listens.mend()
  await cache.ready()
  const again = cache.key(key.id)
  expect(kept(again)).toBe(false)
  expect((await again)?.key.description).toBe('four')
})

test('a frozen LISTEN connection is not believed for more than 2 s, and a revocation is in force by then', async () => {
  const { cache, seen } = await connected()
  const { accessKeyId } = await caller()
  await warm(cache, () => cache.accessKey(accessKeyId))
  listens.freeze()
  const frozen = performance.now()
  await deleteAccessKey(pool, accessKeyId)
  let found: unknown = 'nothing yet'
  while (found !== undefined) {
    expect(performance.now() - frozen).toBeLessThan(2_500)
    found = await cache.accessKey(accessKeyId)
    await new Promise(setImmediate)
  }
  expect(cache.state()).toBe('bypassed')
  // It gives the connection up; once the network is back it makes another.
  listens.thaw()
  await cache.ready()
  await until(() => seen.states.length === 3)
  expect(seen.states).toEqual(['live', 'bypassed', 'live'])
})

test('a process that was stopped does not believe what it had, and goes on with it once it has heard', async () => {
  const { cache, seen } = await connected()
  const { key } = await enabledKey(pool, accountId)
  const { key: untouched } = await enabledKey(pool, accountId)
  await warm(cache, () => cache.key(untouched.id))
  await warm(cache, () => cache.key(key.id))
  // It stands still for longer than a beat lasts, and sends none meanwhile.
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 2_100)
  expect(cache.state()).toBe('bypassed')
  const own = cache.key(key.id)
  expect(kept(own)).toBe(false)
  await own
  await cache.ready()
  expect(seen.states).toEqual(['live', 'bypassed', 'live'])
  expect(kept(cache.key(untouched.id))).toBe(true)
})

test('without Postgres what is kept serves until maxStaleMs, marked, and then nothing does', async () => {
  const { cache, seen } = await connected({ maxStaleMs: 3_000 })
  const { key } = await enabledKey(pool, accountId)
  const none = id('AKIA', 16)
  const before = await warm(cache, () => cache.key(key.id))
  await warm(cache, () => cache.accessKey(none))
  reads.cut()
  listens.cut()
  const cut = performance.now()
  await until(() => cache.state() !== 'live')
  const count = cache.staleServed
  expect(await cache.key(key.id)).toEqual(before)
  expect(cache.state()).toBe('stale')
  expect(cache.staleServed).toBe(count + 1)
  // The attempt has failed a moment ago: no other is made for each look-up.
  expect(kept(cache.key(key.id))).toBe(true)
  expect(cache.key(key.id)).toEqual(before)
  expect(cache.accessKey(none)).toBeUndefined()
  expect(cache.staleServed).toBe(count + 4)
  // What is not kept is not "not found".
  await expect(cache.accessKey(id('AKIA', 16))).rejects.toMatchObject({ name: 'DatabaseError', connectionLoss: true })

  let error: unknown
  while (error === undefined) {
    expect(performance.now() - cut).toBeLessThan(3_500)
    error = await Promise.resolve(cache.key(key.id)).then(() => undefined, (reason: unknown) => reason)
    await new Promise(setImmediate)
  }
  expect(error).toMatchObject({ name: 'DatabaseError', connectionLoss: true })
  // Counted from the last beat that came back, at most a second before the cut.
  expect(performance.now() - cut).toBeGreaterThan(1_900)

  await updateKeyDescription(pool, key.id, 'changed meanwhile')
  reads.mend()
  listens.mend()
  await cache.ready()
  expect((await cache.key(key.id))?.key.description).toBe('changed meanwhile')
  expect(seen.states).toEqual(['live', 'bypassed', 'stale', 'live'])
})

test('with maxStaleMs 0 nothing is served without Postgres', async () => {
  const { cache } = await connected({ maxStaleMs: 0 })
  const { key } = await enabledKey(pool, accountId)
  await warm(cache, () => cache.key(key.id))
  reads.cut()
  listens.cut()
  await until(() => cache.state() !== 'live')
  for (let turn = 0; turn < 3; turn++) await expect(cache.key(key.id)).rejects.toMatchObject({ name: 'DatabaseError', connectionLoss: true })
  expect(cache.staleServed).toBe(0)
})

test('a network that swallows everything shows after one look-up, and the others do not wait', async () => {
  const { cache } = await connected()
  const { key } = await enabledKey(pool, accountId)
  const before = await warm(cache, () => cache.key(key.id))
  reads.freeze()
  listens.freeze()
  await until(() => cache.state() !== 'live')
  expect(await cache.key(key.id)).toEqual(before)
  expect(cache.state()).toBe('stale')
  let attempt: unknown
  await until(() => !kept(attempt = cache.key(key.id)))
  // That one tries again; while it waits, the next ones are answered.
  expect(cache.key(key.id)).toEqual(before)
  expect(await attempt).toEqual(before)
  reads.thaw()
  listens.thaw()
  await cache.ready()
  expect(cache.state()).toBe('live')
})

test('close ends the connection and every timer', async () => {
  const { cache } = await connected()
  const listeners = "SELECT FROM pg_stat_activity WHERE application_name = 'trent listen' AND datname = current_database()"
  await expect.poll(async () => (await pool.query(listeners)).rowCount).toBe(1)
  cache.close()
  await expect.poll(async () => (await pool.query(listeners)).rowCount).toBe(0)
  expect(cache.state()).toBe('bypassed')
})

test('an alias that moves is one entry: the key it points to now', async () => {
  const { cache } = await connected()
  const [first, second] = [(await enabledKey(pool, accountId)).key.id, (await enabledKey(pool, accountId)).key.id]
  await insertAlias(pool, { accountId, name: 'alias/moves', keyId: first })
  expect(await cache.alias(accountId, 'alias/moves')).toBe(first)
  await updateAlias(pool, { accountId, name: 'alias/moves', keyId: second }, first)
  await dropped(() => cache.alias(accountId, 'alias/moves'))
  expect(await cache.alias(accountId, 'alias/moves')).toBe(second)
})
