import { inspect } from 'node:util'
import pg from 'pg'
import { beforeAll, expect, test } from 'vitest'
import { changed, DatabaseError, isConnectionLoss, openPool, poolLimits, row, transaction, type Pool } from '../../src/store/database.ts'
import { insertAccount, findAccount } from '../../src/store/identities.ts'
import { useDatabase } from '../support/database.ts'
import { startProxy } from '../support/proxy.ts'

const database = useDatabase({ ...poolLimits, connections: 2, statementMs: 1_000, lockMs: 500 })
let pool: Pool
beforeAll(() => { pool = database.pool })

const account = (id: string) => ({ id, name: 'test' })
const failure = (promise: Promise<unknown>): Promise<unknown> => promise.then(() => expect.fail('it did not fail'), (error: unknown) => error)

test('a transaction that throws leaves nothing behind and hands its client back', async () => {
  for (let turn = 0; turn < 5; turn++) {
    const error = new Error('of the caller')
    expect(await failure(transaction(pool, async tx => {
      await insertAccount(tx, account('111111111111'))
      throw error
    }))).toBe(error)
  }
  expect(await findAccount(pool, '111111111111')).toBeUndefined()
  expect(pool.totalCount).toBe(pool.idleCount)
})

test('a transaction that returns is committed, with what it returns', async () => {
  expect(await transaction(pool, tx => insertAccount(tx, account('222222222222')))).toBe(true)
  expect(await findAccount(pool, '222222222222')).toMatchObject(account('222222222222'))
})

test('a transaction whose failed statement was swallowed is no success', async () => {
  await expect(transaction(pool, async tx => {
    await insertAccount(tx, account('333333333333'))
    await insertAccount(tx, account('not digits')).catch(() => {})
  })).rejects.toThrow('transaction was rolled back: a statement in it failed')
  expect(await findAccount(pool, '333333333333')).toBeUndefined()
})

test('the error of a refused row names statement, SQLSTATE and constraint, and nothing of the row', async () => {
  const secret = 'hunter2-hunter2'
  const error = await failure(insertAccount(pool, { id: secret, name: secret }))
  expect(error).toBeInstanceOf(DatabaseError)
  expect(error).toMatchObject({ message: 'accounts.insert: SQLSTATE 23514 on accounts_id_check', sqlState: '23514', constraint: 'accounts_id_check' })
  expect(inspect(error, { depth: 10, showHidden: true })).not.toContain(secret)
  expect(isConnectionLoss(error)).toBe(false)
})

test('a connection that the server ends inside a transaction is a connection loss, and the pool goes on', async () => {
  const error = await failure(transaction(pool, async tx => {
    const found = await row<{ pid: number }>(tx, { name: 'pid', text: 'SELECT pg_backend_pid() AS pid' })
    await pool.query('SELECT pg_terminate_backend($1)', [found?.pid])
    await insertAccount(tx, account('444444444444'))
  }))
  expect(isConnectionLoss(error)).toBe(true)
  expect(await findAccount(pool, '444444444444')).toBeUndefined()
})

test('a connection that breaks while its transaction waits for something else does not end the process', async () => {
  const error = await failure(transaction(pool, async tx => {
    const found = await row<{ pid: number }>(tx, { name: 'pid', text: 'SELECT pg_backend_pid() AS pid' })
    const broken = new Promise<void>(resolve => tx.once('end', resolve))
    await pool.query('SELECT pg_terminate_backend($1)', [found?.pid])
    await broken
  }))
  expect(isConnectionLoss(error)).toBe(true)
})

test('an idle connection that breaks is reported to whoever opened the pool', async () => {
  const heard = new Promise<Error>(resolve => {
    const watched = openPool(database.url, poolLimits, resolve)
    void watched.query('SELECT pg_backend_pid() AS pid').then(async ({ rows }) => {
      await pool.query('SELECT pg_terminate_backend($1)', [(rows as [{ pid: number }])[0].pid])
    })
  })
  expect(isConnectionLoss(await heard)).toBe(true)
})

test('a statement that runs too long is ended by the server and is no connection loss', async () => {
  const error = await failure(changed(pool, { name: 'slow', text: 'SELECT pg_sleep(30)' }))
  expect(error).toMatchObject({ message: 'slow: SQLSTATE 57014', sqlState: '57014', connectionLoss: false })
})

test('a frozen network is a connection loss after the time given, and no second transaction is sent behind the first', async () => {
  const proxy = await startProxy(database.url)
  const behind = openPool(proxy.url, { connections: 1, connectMs: 300, statementMs: 1_000, lockMs: 500 })
  await insertAccount(behind, account('555555555555'))
  proxy.freeze()
  const lookUp = await failure(row(behind, { name: 'look-up', text: 'SELECT 1', withinMs: 200 }))
  expect(lookUp).toMatchObject({ message: 'look-up: Query read timeout', connectionLoss: true })
  const connecting = await failure(transaction(behind, () => Promise.resolve()))
  expect(connecting).toMatchObject({ name: 'DatabaseError', connectionLoss: true })
  proxy.thaw()
  expect(await transaction(behind, tx => findAccount(tx, '555555555555'))).toMatchObject(account('555555555555'))
  await behind.end()
  await proxy.close()
})

test('a server that is not there, or going away, is a connection loss; a fault of ours is not', async () => {
  const nowhere = openPool('postgres://nobody@127.0.0.1:1/none')
  expect(isConnectionLoss(await failure(findAccount(nowhere, '111111111111')))).toBe(true)
  await nowhere.end()
  const answer = (code: string): pg.DatabaseError => Object.assign(new pg.DatabaseError('', 0, 'error'), { code })
  for (const code of ['08006', '57P01', '57P02', '57P03', '53300', '25006']) expect(isConnectionLoss(answer(code)), code).toBe(true)
  for (const code of ['23505', '40001', '40P01', '57014', '42P01']) expect(isConnectionLoss(answer(code)), code).toBe(false)
  for (const ours of [new TypeError('undefined is not a function'), new Error('the bound is reached')]) expect(isConnectionLoss(ours)).toBe(false)
})
