// Aliases, identities, domain, intents and audit batches.
import { randomBytes, randomUUID } from 'node:crypto'
import { beforeAll, expect, test } from 'vitest'
import {
  deleteAccessKey, insertAccessKey, listAccessKeys, loadAccessKey, updateAccessKeyStatus, type AccessKey,
} from '../../src/store/access-keys.ts'
import { countAliases, deleteAlias, findAlias, insertAlias, listAliases, listAliasesOfKey, updateAlias } from '../../src/store/aliases.ts'
import { insertAuditBatch, lastShipped, listAuditBatches, type AuditBatch } from '../../src/store/audit-batches.ts'
import { transaction, type Pool } from '../../src/store/database.ts'
import {
  confirmDomain, deleteUnfinishedDomain, findDomain, insertDomain, insertDomainVersion, insertServiceKey, listDomainVersions, listServiceKeys,
} from '../../src/store/domain.ts'
import {
  deleteUser, deleteUserPolicy, findAccount, findUser, insertAccount, insertUser, listAccounts, listUserPolicies, listUsers, putUserPolicy,
} from '../../src/store/identities.ts'
import { claimIntents, countIntents, deleteIntent, extendIntent, insertIntent, releaseIntent, type NewIntent } from '../../src/store/intents.ts'
import { useDatabase } from '../support/database.ts'
import { enabledKey, newAccount } from './fixtures.ts'

const database = useDatabase()
let pool: Pool
beforeAll(() => { pool = database.pool })

const base32 = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567'
const id = (prefix: string, length: number): string => prefix + [...randomBytes(length)].map(byte => base32[byte % 32]).join('')
const accessKey = (accountId: string, userId: string | null): Omit<AccessKey, 'createdAt'> => ({
  id: id('AKIA', 16), accountId, userId, status: 'Active', sealedSecret: randomBytes(68), serviceKeyVersion: 1,
})
const newUser = (accountId: string, name: string) => ({ id: id('AIDA', 17), accountId, name, path: '/team/' })

test('an alias is made, found, moved and deleted, once each', async () => {
  const accountId = await newAccount(pool)
  const [first, second] = [(await enabledKey(pool, accountId)).key.id, (await enabledKey(pool, accountId)).key.id]
  const alias = { accountId, name: 'alias/app', keyId: first }
  expect(await updateAlias(pool, alias, first)).toBe(false)
  expect(await insertAlias(pool, alias)).toBe(true)
  expect(await insertAlias(pool, { ...alias, keyId: second })).toBe(false)
  const made = await findAlias(pool, accountId, 'alias/app')
  expect(made).toMatchObject(alias)
  expect(await updateAlias(pool, { ...alias, keyId: second }, second)).toBe(false)
  expect(await updateAlias(pool, { ...alias, keyId: second }, first)).toBe(true)
  const moved = await findAlias(pool, accountId, 'alias/app')
  expect(moved).toMatchObject({ keyId: second, createdAt: made?.createdAt })
  expect(moved?.updatedAt.getTime()).toBeGreaterThanOrEqual(made?.updatedAt.getTime() ?? Infinity)
  expect(await findAlias(pool, await newAccount(pool), 'alias/app')).toBeUndefined()
  expect(await deleteAlias(pool, alias)).toBe(false)
  expect(await deleteAlias(pool, { ...alias, keyId: second })).toBe(true)
  expect(await deleteAlias(pool, { ...alias, keyId: second })).toBe(false)
})

test('aliases are listed in pages by bytes of the name, of an account or of a key', async () => {
  const accountId = await newAccount(pool)
  const keys = [(await enabledKey(pool, accountId)).key.id, (await enabledKey(pool, accountId)).key.id]
  const names = ['alias/B', 'alias/_', 'alias/a', 'alias/a-b', 'alias/a/b', 'alias/aB', 'alias/ab']
  for (const [place, name] of names.entries()) await insertAlias(pool, { accountId, name, keyId: keys[place % 2] ?? '' })
  const sorted = names.toSorted((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)))
  const first = await listAliases(pool, accountId, undefined, 4)
  const second = await listAliases(pool, accountId, first.at(-1)?.name, 4)
  expect([...first, ...second].map(({ name }) => name)).toEqual(sorted)
  expect((await listAliasesOfKey(pool, keys[0] ?? '', 'alias/_', 10)).map(({ name }) => name)).toEqual(['alias/a', 'alias/a/b', 'alias/ab'])
  expect(await countAliases(pool, keys[1] ?? '')).toBe(3)
})

test('accounts are made once and listed in pages', async () => {
  const accountId = await newAccount(pool)
  expect(await insertAccount(pool, { id: accountId, name: 'again' })).toBe(false)
  expect(await findAccount(pool, accountId)).toMatchObject({ id: accountId, name: 'test' })
  const all = await listAccounts(pool, undefined, 1_000)
  expect(all.map(({ id: one }) => one)).toContain(accountId)
  expect(await listAccounts(pool, all.at(-2)?.id, 1_000)).toEqual(all.slice(-1))
})

test('a user name is taken in any case, and only in its account', async () => {
  const accountId = await newAccount(pool)
  const alice = newUser(accountId, 'Alice')
  expect(await insertUser(pool, alice)).toBe(true)
  expect(await insertUser(pool, newUser(accountId, 'aLICE'))).toBe(false)
  expect(await insertUser(pool, newUser(await newAccount(pool), 'alice'))).toBe(true)
  expect(await findUser(pool, accountId, 'ALICE')).toMatchObject(alice)
  expect((await listUsers(pool, accountId, undefined, 10)).map(({ name }) => name)).toEqual(['Alice'])
})

test('an access key comes with its user and all policies, and goes with its user', async () => {
  const accountId = await newAccount(pool)
  const alice = newUser(accountId, 'alice')
  await insertUser(pool, alice)
  await putUserPolicy(pool, alice.id, 'b', 'second')
  await putUserPolicy(pool, alice.id, 'a', 'old')
  await putUserPolicy(pool, alice.id, 'a', 'first')
  expect([...await listUserPolicies(pool, alice.id)]).toEqual([['a', 'first'], ['b', 'second']])
  const key = accessKey(accountId, alice.id)
  expect(await insertAccessKey(pool, key)).toBe(true)
  expect(await insertAccessKey(pool, key)).toBe(false)
  const user = { id: alice.id, name: 'alice', path: '/team/' }
  expect(await loadAccessKey(pool, key.id)).toMatchObject({ ...key, user, policyDocuments: ['first', 'second'] })
  expect(await updateAccessKeyStatus(pool, key.id, 'Inactive')).toBe(true)
  expect(await deleteUserPolicy(pool, alice.id, 'b')).toBe(true)
  expect(await deleteUserPolicy(pool, alice.id, 'b')).toBe(false)
  expect(await loadAccessKey(pool, key.id)).toMatchObject({ status: 'Inactive', policyDocuments: ['first'] })
  expect(await listAccessKeys(pool, accountId, alice.id)).toMatchObject([{ ...key, status: 'Inactive' }])
  expect(await deleteUser(pool, alice.id)).toBe(true)
  expect(await loadAccessKey(pool, key.id)).toBeUndefined()
  expect(await updateAccessKeyStatus(pool, key.id, 'Active')).toBe(false)
})

test('an access key of the root user has no user, and no user of another account', async () => {
  const accountId = await newAccount(pool)
  const root = accessKey(accountId, null)
  expect(await insertAccessKey(pool, root)).toBe(true)
  expect(await loadAccessKey(pool, root.id)).toMatchObject({ ...root, user: null, policyDocuments: [] })
  expect(await listAccessKeys(pool, accountId, null)).toMatchObject([root])
  const stranger = newUser(await newAccount(pool), 'stranger')
  await insertUser(pool, stranger)
  expect(await insertAccessKey(pool, accessKey(accountId, stranger.id))).toBe(false)
  expect(await deleteAccessKey(pool, root.id)).toBe(true)
  expect(await deleteAccessKey(pool, root.id)).toBe(false)
})

test('there is one domain, noted before it is made and ready only under its own id', async () => {
  const [first, second] = [randomBytes(16), randomBytes(16)]
  const fingerprint = randomBytes(32).toString('hex')
  expect(await findDomain(pool)).toBeUndefined()
  expect(await insertDomain(pool, first)).toBe(true)
  expect(await insertDomain(pool, second)).toBe(false)
  expect(await findDomain(pool)).toMatchObject({ id: first, state: 'creating', fingerprint: null })
  expect(await deleteUnfinishedDomain(pool)).toBe(true)
  expect(await insertDomain(pool, second)).toBe(true)
  expect(await confirmDomain(pool, first, fingerprint)).toBe(false)
  expect(await confirmDomain(pool, second, fingerprint)).toBe(true)
  expect(await confirmDomain(pool, second, fingerprint)).toBe(false)
  expect(await deleteUnfinishedDomain(pool)).toBe(false)
  expect(await findDomain(pool)).toMatchObject({ id: second, state: 'ready', fingerprint })
})

test('domain versions and service keys come back byte for byte, the newest last', async () => {
  const version = (number: number, recovery: boolean) => ({
    version: number,
    recovery: recovery ? { fingerprint: randomBytes(32).toString('hex'), domainKey: randomBytes(384), integrityKey: randomBytes(384) } : null,
    canary: { row: randomBytes(200), mac: randomBytes(32), ciphertext: randomBytes(90) },
  })
  const versions = [version(1, true), version(2, false)]
  for (const one of versions.toReversed()) await insertDomainVersion(pool, one)
  expect(await listDomainVersions(pool)).toMatchObject(versions)
  const serviceKey = { purpose: 'credentials', version: 1, sealed: { row: randomBytes(200), mac: randomBytes(32) } }
  expect(await insertServiceKey(pool, serviceKey)).toBe(true)
  expect(await insertServiceKey(pool, { ...serviceKey, sealed: { row: randomBytes(1), mac: randomBytes(32) } })).toBe(false)
  expect(await insertServiceKey(pool, { ...serviceKey, version: 2 })).toBe(true)
  expect(await listServiceKeys(pool, 'credentials')).toMatchObject([serviceKey, { ...serviceKey, version: 2 }])
  expect(await listServiceKeys(pool, 'sessions')).toEqual([])
})

const newIntent = async (): Promise<NewIntent> => ({
  id: randomUUID(), kind: 'create-material', keyId: (await enabledKey(pool, await newAccount(pool))).key.id, payload: { materialId: 'ab', backing: 1 },
})

test('an intent is left alone while it is claimed, and taken over when the claim has run out', async () => {
  const intent = await newIntent()
  const mine = await insertIntent(pool, intent, 60_000)
  expect(mine).toMatchObject(intent)
  expect(await claimIntents(pool, 10, 60_000)).toEqual([])
  const longer = await extendIntent(pool, mine, -1)
  expect(longer).toMatchObject(intent)
  const [theirs] = await claimIntents(pool, 10, 60_000)
  expect(theirs).toMatchObject(intent)
  expect(await extendIntent(pool, mine, 60_000)).toBeUndefined()
  expect(await releaseIntent(pool, mine)).toBe(false)
  expect(await releaseIntent(pool, theirs ?? mine)).toBe(true)
  expect(await claimIntents(pool, 10, 60_000)).toMatchObject([intent])
  expect(await countIntents(pool)).toBe(1)
  expect(await deleteIntent(pool, intent.id)).toBe(true)
  expect(await deleteIntent(pool, intent.id)).toBe(false)
})

test('two that claim at once get different intents and do not wait for each other', async () => {
  const intents = [await newIntent(), await newIntent(), await newIntent()]
  for (const intent of intents) await insertIntent(pool, intent, -1)
  await transaction(pool, async tx => {
    const mine = await claimIntents(tx, 2, 60_000)
    const theirs = await claimIntents(pool, 10, 60_000)
    expect(mine.map(one => one.id).toSorted()).toEqual(intents.slice(0, 2).map(one => one.id).toSorted())
    expect(theirs.map(one => one.id)).toEqual([intents[2]?.id])
  })
  for (const intent of intents) await deleteIntent(pool, intent.id)
})

test('an audit batch is stored once, however often it is sent', async () => {
  const writer = randomUUID()
  const batch: AuditBatch = {
    writer, first: 1, last: 2 ** 40, firstTime: new Date(1_000), lastTime: new Date(2_000), records: randomBytes(99),
    accounts: ['111111111111'], eventNames: ['Encrypt', 'Decrypt'], keyIds: ['k1'], principals: ['p1', 'p,"{}2'], requestIds: ['r1'],
  }
  expect(await lastShipped(pool, writer)).toBeUndefined()
  expect(await insertAuditBatch(pool, batch)).toBe(true)
  expect(await insertAuditBatch(pool, batch)).toBe(false)
  expect(await lastShipped(pool, writer)).toBe(2 ** 40)
  expect(await listAuditBatches(pool, { from: new Date(0), to: new Date(5_000), requestId: 'r1', limit: 10 })).toEqual([batch])
})

test('audit batches are found by what stands in them and by time, newest first, in pages', async () => {
  const writer = randomUUID()
  const at = (second: number): Date => new Date(Date.UTC(2030, 0, 1) + second * 1_000)
  for (let place = 0; place < 5; place++) {
    await insertAuditBatch(pool, {
      writer, first: place * 10 + 1, last: place * 10 + 10, firstTime: at(place * 10), lastTime: at(Math.min(place, 3) * 10 + 9), records: Buffer.alloc(1),
      accounts: ['222222222222'], eventNames: [place % 2 === 0 ? 'Encrypt' : 'Sign'], keyIds: [`key ${place}`], principals: ['p'], requestIds: [`r${place}`],
    })
  }
  const all = { from: at(0), to: at(60), limit: 10 }
  const firsts = async (query: object): Promise<number[]> => (await listAuditBatches(pool, { ...all, ...query })).map(({ first }) => first)
  expect(await firsts({})).toEqual([41, 31, 21, 11, 1])
  expect(await firsts({ eventName: 'Sign' })).toEqual([31, 11])
  expect(await firsts({ keyId: 'key 2', accountId: '222222222222', principal: 'p', requestId: 'r2' })).toEqual([21])
  expect(await firsts({ accountId: '333333333333' })).toEqual([])
  expect(await firsts({ from: at(15), to: at(25) })).toEqual([21, 11])
  const [, second] = await listAuditBatches(pool, { ...all, limit: 2 })
  expect(await firsts({ after: second })).toEqual([21, 11, 1])
  const [first] = await listAuditBatches(pool, { ...all, limit: 1 })
  expect(await firsts({ after: first, limit: 1 })).toEqual([31])
})
