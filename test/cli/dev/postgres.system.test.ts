import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { chownSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import pg from 'pg'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { removePostgres, startPostgres, stopPostgres, type Postgres } from '../../../src/cli/dev/postgres.ts'

const directory = mkdtempSync(join(tmpdir(), 'trent-postgres-'))
let postgres: Postgres
const start = async () => (postgres = await startPostgres({ directory }))
beforeAll(start)
afterAll(async () => {
  await removePostgres(directory)
  rmSync(directory, { recursive: true, force: true })
})

async function query(text: string, url = postgres.url): Promise<unknown[]> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  try {
    return (await client.query<Record<string, unknown>>(text)).rows
  } finally {
    await client.end()
  }
}

async function postmasterFile(): Promise<string> {
  const [row] = (await query('SHOW data_directory')) as { data_directory: string }[]
  return join(row?.data_directory ?? '', 'postmaster.pid')
}
const pidIn = (file: string) => Number(readFileSync(file, 'utf8').split('\n')[0])

it('listens on loopback alone and asks for a password', async () => {
  expect(await query('SHOW listen_addresses')).toEqual([{ listen_addresses: '127.0.0.1' }])
  const stranger = new URL(postgres.url)
  stranger.password = 'guessed'
  await expect(query('SELECT 1', stranger.href)).rejects.toThrow('password authentication failed for user "trent"')
})

it('keeps the password in a file that only its owner reads', () => {
  expect(statSync(postgres.urlFile).mode & 0o777).toBe(0o600)
  expect(readFileSync(postgres.urlFile, 'utf8')).toBe(postgres.url)
})

it('is found by a second start', async () => {
  const file = await postmasterFile()
  const pid = pidIn(file)
  const { url } = postgres
  expect((await start()).url).toBe(url)
  expect(pidIn(file)).toBe(pid)
})

it('keeps what was committed, over kill -9 and over a stop', async () => {
  await query('CREATE TABLE kept AS SELECT 7 AS n')
  process.kill(pidIn(await postmasterFile()), 'SIGKILL')
  await start()
  expect(await query('SELECT n FROM kept')).toEqual([{ n: 7 }])
  await stopPostgres(directory)
  await start()
  expect(await query('SELECT n FROM kept')).toEqual([{ n: 7 }])
})

it('starts where the pid that it left behind belongs to another process by now', async () => {
  const file = await postmasterFile()
  const before = readFileSync(file, 'utf8')
  const { uid, gid } = statSync(file)
  const other = spawn('sleep', ['60'], { uid, gid, cwd: '/' })
  await once(other, 'spawn')
  try {
    await stopPostgres(directory)
    writeFileSync(file, before.replace(/^\d+/, String(other.pid)), { mode: 0o600 })
    chownSync(file, uid, gid)
    await start()
    expect(pidIn(file)).not.toBe(other.pid)
    expect(await query('SELECT 1 AS one')).toEqual([{ one: 1 }])
    expect(other.exitCode).toBe(null)
  } finally {
    other.kill()
  }
})

it('ends when asked', async () => {
  await postgres.stop()
  await expect(query('SELECT 1')).rejects.toThrow('ECONNREFUSED')
})
