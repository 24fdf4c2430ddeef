// A database of its own for a test file, with a pool that writes straight into it.
import { afterAll, beforeAll } from 'vitest'
import { openPool, type Pool, type PoolLimits } from '../../src/store/database.ts'
import { freshDatabase, type TestDatabase } from './postgres.ts'

export interface UsedDatabase {
  readonly url: string
  readonly pool: Pool
}

/** For the top of a test file: migrated and empty, there from beforeAll to afterAll. */
export function useDatabase(limits?: PoolLimits): UsedDatabase {
  let database: TestDatabase | undefined
  let pool: Pool | undefined
  beforeAll(async () => {
    database = await freshDatabase()
    pool = openPool(database.url, limits)
  })
  afterAll(async () => {
    await pool?.end()
    await database?.drop()
  })
  const opened = <Value>(value: Value | undefined): Value => {
    if (value === undefined) throw new Error('the database is there from beforeAll on')
    return value
  }
  return {
    get url() { return opened(database).url },
    get pool() { return opened(pool) },
  }
}
