// A database of its own for each test file, cloned from the migrated template.
import { randomBytes } from 'node:crypto'
import pg from 'pg'
import { inject } from 'vitest'

declare module 'vitest' {
  export interface ProvidedContext {
    /** Server of this run, and the name of the migrated template database. */
    postgres: { url: string; template: string }
  }
}

export interface TestDatabase {
  readonly url: string
  /** Ends whoever is still connected. */
  drop(): Promise<void>
}

/** A migrated, empty database. */
export const freshDatabase = async (): Promise<TestDatabase> => cloned(inject('postgres').template)

/** A database without any table. */
export const emptyDatabase = async (): Promise<TestDatabase> => cloned('template0')

/** A copy of a database of this run. */
export const cloneDatabase = (template: string): Promise<TestDatabase> => cloned(template)

async function cloned(template: string): Promise<TestDatabase> {
  const { url: server } = inject('postgres')
  const { url, name } = await createDatabase(server, template)
  return { url, drop: () => dropDatabase(server, name) }
}

/** Resolves to the URL and the name of a new database on the server. */
export async function createDatabase(server: string, template = 'template0'): Promise<{ url: string; name: string }> {
  const name = `trent_test_${randomBytes(8).toString('hex')}`
  await onServer(server, `CREATE DATABASE ${name} TEMPLATE ${template}`)
  const url = new URL(server)
  url.pathname = `/${name}`
  return { url: url.href, name }
}

export const dropDatabase = (server: string, name: string): Promise<void> => onServer(server, `DROP DATABASE IF EXISTS ${name} WITH (FORCE)`)

async function onServer(url: string, statement: string): Promise<void> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  try {
    await client.query(statement)
  } finally {
    await client.end()
  }
}
