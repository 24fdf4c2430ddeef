// The schema: forward-only SQL files in migrations/, run by node-pg-migrate under its advisory lock.
import { readdir } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { runner } from 'node-pg-migrate'
import { StartError } from '../errors.ts'
import { openPool, rows, type Db } from './database.ts'

/** Beside this file both in src/ and in dist/, see build/copy-migrations.js. */
const directory = fileURLToPath(new URL('./migrations', import.meta.url))
const table = 'migrations'

/**
 * Brings the schema up to date, all files in one transaction. Several at once wait for each other. Resolves to the names of the
 * files that were run, without `.sql`.
 * @throws StartError when the database has migrations that this version does not know.
 */
export async function migrate(databaseUrl: string): Promise<string[]> {
  const pool = openPool(databaseUrl)
  try {
    // The runner takes a newer database for one with nothing to do.
    await pendingMigrations(pool)
  } finally {
    await pool.end()
  }
  const quiet = { info: () => {}, warn: () => {}, error: () => {} }
  const done = await runner({
    databaseUrl: { connectionString: databaseUrl, application_name: 'trent migrate', connectionTimeoutMillis: 5_000 },
    dir: directory,
    // Only numbered files: what an editor leaves behind is not a migration.
    ignorePattern: '(?!\\d{4}-[a-z0-9-]+\\.sql$).*',
    migrationsTable: table,
    direction: 'up',
    advisoryLockMode: 'wait',
    logger: quiet,
  })
  return done.map(({ name }) => name)
}

/**
 * Names of the migrations that this version has and the database has not, in their order.
 * @throws StartError when the database has migrations that this version does not know.
 */
export async function pendingMigrations(db: Db): Promise<string[]> {
  const known = (await readdir(directory)).filter(name => name.endsWith('.sql')).map(name => name.slice(0, -'.sql'.length)).sort()
  const run = await migrationsRun(db)
  const unknown = run.filter(name => !known.includes(name))
  if (unknown.length > 0) {
    throw new StartError(`The database schema is newer than this version of Trent: it has migration ${unknown.join(', ')}, which this version does not know.`)
  }
  return known.filter(name => !run.includes(name))
}

/** @throws StartError unless the database has exactly the schema of this version. */
export async function requireSchema(db: Db): Promise<void> {
  const pending = await pendingMigrations(db)
  if (pending.length > 0) {
    throw new StartError(`The database schema is older than this version of Trent: migration ${pending.join(', ')} has not been run; run "trent migrate" first.`)
  }
}

async function migrationsRun(db: Db): Promise<string[]> {
  const [answer] = await rows<{ present: boolean }>(db, { name: 'migrations.present', text: `SELECT to_regclass('public.${table}') IS NOT NULL AS present` })
  if (answer?.present !== true) return []
  const found = await rows<{ name: string }>(db, { name: 'migrations.run', text: `SELECT name FROM public.${table} ORDER BY id` })
  return found.map(({ name }) => name)
}
