// The Postgres of a run: the one of DATABASE_URL, or one that is started for it, with the migrated template that every test file clones.
import { existsSync, mkdirSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestProject } from 'vitest/node'
import { removePostgres, startPostgres } from '../../src/cli/dev/postgres.ts'
import { isAlive } from '../../src/cli/dev/process.ts'
import { migrate } from '../../src/store/migrations.ts'
import { createDatabase, dropDatabase } from './postgres.ts'

/** Provides `postgres` to the test files. Resolves to it, and to what ends it. */
export async function provideServer(project: TestProject): Promise<{ server: { url: string; template: string }; stop: () => Promise<void> }> {
  const server = await postgres()
  const template = await createDatabase(server.url)
  await migrate(template.url)
  const provided = { url: server.url, template: template.name }
  project.provide('postgres', provided)
  const stop = async (): Promise<void> => {
    await dropDatabase(server.url, template.name)
    await server.stop()
  }
  return { server: provided, stop }
}

async function postgres(): Promise<{ url: string; stop(): Promise<void> }> {
  const { DATABASE_URL: url } = process.env
  if (url !== undefined && url !== '') return { url, stop: async () => {} }
  const parent = existsSync('/dev/shm') ? '/dev/shm' : tmpdir()
  await removeDeadServers(parent)
  const directory = join(parent, `${directoryPrefix}${process.pid}`)
  mkdirSync(directory, { mode: 0o700 })
  const server = await startPostgres({ directory, durable: false })
  return { url: server.url, stop: () => removeServer(directory) }
}

const directoryPrefix = 'trent-test-postgres-'

/** A run that was killed leaves its server behind; the folder's name says whose it was. */
async function removeDeadServers(parent: string): Promise<void> {
  for (const name of readdirSync(parent).filter(entry => entry.startsWith(directoryPrefix))) {
    // Two runs may find the same dead server: what the other has removed is not there to remove.
    if (!isAlive(Number(name.slice(directoryPrefix.length)))) await removeServer(join(parent, name)).catch(() => undefined)
  }
}

async function removeServer(directory: string): Promise<void> {
  await removePostgres(directory)
  rmSync(directory, { recursive: true, force: true })
}
