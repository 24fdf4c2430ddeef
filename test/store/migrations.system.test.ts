import { readFile, writeFile } from 'node:fs/promises'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { StartError } from '../../src/errors.ts'
import { openPool, type Pool } from '../../src/store/database.ts'
import { migrate, pendingMigrations, requireSchema } from '../../src/store/migrations.ts'
import { emptyDatabase, freshDatabase, type TestDatabase } from '../support/postgres.ts'
import { schemaDump } from '../support/schema.ts'

const databases: TestDatabase[] = []
const pools: Pool[] = []
const poolOn = (url: string): Pool => {
  const pool = openPool(url)
  pools.push(pool)
  return pool
}
const kept = async (database: Promise<TestDatabase>): Promise<TestDatabase> => {
  databases.push(await database)
  return database
}

let empty: TestDatabase
beforeAll(async () => {
  empty = await kept(emptyDatabase())
})
afterAll(async () => {
  await Promise.all(pools.map(pool => pool.end()))
  await Promise.all(databases.map(database => database.drop()))
})

/** All there are, in their order. */
const names = ['0001-first', '0002-invocations', '0003-pin-latches', '0004-token-drains']

test('an empty database is refused as older until it is migrated, which is done once', async () => {
  const pool = poolOn(empty.url)
  expect(await pendingMigrations(pool)).toEqual(names)
  await expect(requireSchema(pool)).rejects.toThrow(new StartError(
    'The database schema is older than this version of Trent: migration 0001-first, 0002-invocations, 0003-pin-latches, 0004-token-drains has not been run; run "trent migrate" first.',
  ))
  expect(await migrate(empty.url)).toEqual(names)
  expect(await pendingMigrations(pool)).toEqual([])
  await requireSchema(pool)
  expect(await migrate(empty.url)).toEqual([])
})

test('several processes that migrate at once wait for each other, and one does the work', async () => {
  const { url } = await kept(emptyDatabase())
  const done = await Promise.all([migrate(url), migrate(url), migrate(url)])
  expect(done.flat()).toEqual(names)
})

test('a database that a newer version has migrated is refused, by serve and by migrate', async () => {
  const { url } = await kept(freshDatabase())
  const pool = poolOn(url)
  await pool.query("INSERT INTO migrations (name, run_on) VALUES ('0999-later', now())")
  const refusal = new StartError(
    'The database schema is newer than this version of Trent: it has migration 0999-later, which this version does not know.',
  )
  await expect(requireSchema(pool)).rejects.toThrow(refusal)
  await expect(migrate(url)).rejects.toThrow(refusal)
})

test('the schema is the one checked in (UPDATE_SCHEMA=1 writes it anew, for the review to see)', async () => {
  const { url } = await kept(freshDatabase())
  const file = new URL('./schema.sql', import.meta.url)
  const dump = await schemaDump(url)
  if (process.env['UPDATE_SCHEMA'] === '1') await writeFile(file, dump)
  expect(dump).toBe(await readFile(file, 'utf8'))
})
