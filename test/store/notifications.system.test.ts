import { randomBytes } from 'node:crypto'
import { afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import { deleteAccessKey, insertAccessKey, updateAccessKeyStatus } from '../../src/store/access-keys.ts'
import { deleteAlias, insertAlias, updateAlias } from '../../src/store/aliases.ts'
import { transaction, type Pool } from '../../src/store/database.ts'
import { deleteUser, deleteUserPolicy, insertUser, putUserPolicy } from '../../src/store/identities.ts'
import { insertKey, updateKeyState } from '../../src/store/keys.ts'
import { confirmMaterial, insertMaterial } from '../../src/store/materials.ts'
import { openNotifications, type Notifications } from '../../src/store/notifications.ts'
import { putKeyPolicy } from '../../src/store/policies.ts'
import { deleteTags, putTags } from '../../src/store/tags.ts'
import { useDatabase } from '../support/database.ts'
import { enabledKey, newAccount, newKey, planFor, sealed } from './fixtures.ts'

const database = useDatabase()
let pool: Pool
let connection: Notifications
let entries: string[] = []
let beatBack: (text: string) => void = () => {}
let lost: () => void = () => {}

beforeAll(() => { pool = database.pool })
beforeEach(async () => {
  entries = []
  connection = await openNotifications(database.url, { changed: entry => entries.push(entry), beat: text => beatBack(text), lost: () => lost() })
})
afterEach(() => connection.close())

/** What was heard of `change`: a beat that is sent after it comes back behind all of it. */
async function heard(change: () => Promise<unknown>): Promise<string[]> {
  await nextBeat()
  entries = []
  await change()
  await nextBeat()
  return entries
}

function nextBeat(): Promise<string> {
  return new Promise(resolve => {
    beatBack = resolve
    connection.beat('tick')
  })
}

test('each change of key, material, policy and tags names the key', async () => {
  const wanted = newKey(await newAccount(pool))
  const plan = planFor(wanted)
  const entry = [`key ${wanted.id}`]
  expect(await heard(() => insertKey(pool, wanted))).toEqual(entry)
  expect(await heard(() => insertMaterial(pool, plan))).toEqual(entry)
  expect(await heard(() => confirmMaterial(pool, sealed(plan), null))).toEqual(entry)
  expect(await heard(() => updateKeyState(pool, wanted.id, ['Creating'], 'Enabled', null))).toEqual(entry)
  expect(await heard(() => putKeyPolicy(pool, wanted.id, 'one'))).toEqual(entry)
  expect(await heard(() => putKeyPolicy(pool, wanted.id, 'two'))).toEqual(entry)
  expect(await heard(() => putTags(pool, wanted.id, new Map([['a', '1'], ['b', '2']])))).toEqual(entry)
  expect(await heard(() => deleteTags(pool, wanted.id, ['a']))).toEqual(entry)
  expect(await heard(() => pool.query('DELETE FROM materials WHERE key_id = $1', [wanted.id]))).toEqual(entry)
  expect(await heard(() => pool.query('DELETE FROM keys WHERE id = $1', [wanted.id]))).toEqual(entry)
})

test('a row that moves to another key names both', async () => {
  const accountId = await newAccount(pool)
  const [from, to] = [(await enabledKey(pool, accountId)).key.id, (await enabledKey(pool, accountId)).key.id]
  await putTags(pool, from, new Map([['a', '1']]))
  expect(await heard(() => pool.query('UPDATE tags SET key_id = $1 WHERE key_id = $2', [to, from]))).toEqual([`key ${from}`, `key ${to}`])
})

test('each change of an alias names account and alias', async () => {
  const accountId = await newAccount(pool)
  const alias = { accountId, name: 'alias/team/app', keyId: (await enabledKey(pool, accountId)).key.id }
  const entry = [`alias ${accountId} alias/team/app`]
  expect(await heard(() => insertAlias(pool, alias))).toEqual(entry)
  expect(await heard(() => updateAlias(pool, alias, alias.keyId))).toEqual(entry)
  expect(await heard(() => deleteAlias(pool, alias))).toEqual(entry)
})

test('access keys name themselves, users and their policies the user', async () => {
  const accountId = await newAccount(pool)
  const user = { id: 'AIDA' + 'A'.repeat(17), accountId, name: 'alice', path: '/' }
  const key = { id: 'AKIA' + 'B'.repeat(16), accountId, userId: user.id, status: 'Active' as const, sealedSecret: randomBytes(8), serviceKeyVersion: 1 }
  const [ofUser, ofKey] = [`user ${user.id}`, `access-key ${key.id}`]
  expect(await heard(() => insertUser(pool, user))).toEqual([ofUser])
  expect(await heard(() => insertAccessKey(pool, key))).toEqual([ofKey])
  expect(await heard(() => updateAccessKeyStatus(pool, key.id, 'Inactive'))).toEqual([ofKey])
  expect(await heard(() => putUserPolicy(pool, user.id, 'p', '{}'))).toEqual([ofUser])
  expect(await heard(() => deleteUserPolicy(pool, user.id, 'p'))).toEqual([ofUser])
  expect(new Set(await heard(() => deleteUser(pool, user.id)))).toEqual(new Set([ofUser, ofKey]))
  expect(await heard(() => deleteAccessKey(pool, key.id))).toEqual([])
})

test('nothing is heard of a transaction that was rolled back, and everything of a table that was emptied', async () => {
  const { key } = await enabledKey(pool, await newAccount(pool))
  expect(await heard(() => transaction(pool, async tx => {
    await putKeyPolicy(tx, key.id, 'never')
    throw new Error('changed my mind')
  }).catch(() => {}))).toEqual([])
  for (const table of ['tags', 'key_policies', 'aliases', 'user_policies', 'access_keys', 'keys, materials, key_policies, aliases, tags, intents, invocations']) {
    expect(new Set(await heard(() => pool.query(`TRUNCATE ${table}`))), table).toEqual(new Set(['everything']))
  }
})

test('a beat comes back to its sender alone', async () => {
  const others: string[] = []
  let heardOwn = (): void => {}
  const other = await openNotifications(database.url, {
    changed: entry => others.push(entry),
    beat: text => {
      others.push(text)
      heardOwn()
    },
    lost: () => {},
  })
  await nextBeat()
  // Its own beat comes behind whatever reached it of ours.
  const own = new Promise<void>(resolve => (heardOwn = resolve))
  other.beat('own')
  await own
  expect(others).toEqual(['own'])
  other.close()
})

test('the end of the connection is told once', async () => {
  let times = 0
  const end = new Promise<void>(resolve => {
    lost = () => {
      times++
      resolve()
    }
  })
  await pool.query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'trent listen' AND datname = current_database()")
  await end
  connection.close()
  expect(times).toBe(1)
})

test('where nobody listens there is no connection, and the error has no password', async () => {
  const url = new URL(database.url)
  url.port = '1'
  const error: unknown = await openNotifications(url.href, { changed: () => {}, beat: () => {}, lost: () => expect.fail('told of a connection that never was') })
    .then(() => expect.fail('it did not fail'), (reason: unknown) => reason)
  expect(error).toMatchObject({ name: 'DatabaseError', connectionLoss: true })
  expect(String(error)).not.toContain(url.password)
})
