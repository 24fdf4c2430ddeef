// A whole Trent for measuring: what ./dev makes (Postgres with fsync, a SoftHSM token, a domain, an administrator, a key) in a folder of its
// own on disk, served by `trent serve` with the options of this run.
import { spawn, type ChildProcess } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type * as DataFolders from '../../src/cli/dev/data-folder.ts'
import type * as FirstUse from '../../src/cli/dev/first-use.ts'
import type * as Postgres from '../../src/cli/dev/postgres.ts'
import type * as Server from '../../src/cli/dev/server.ts'
import type * as Start from '../../src/cli/dev/start.ts'
import type * as Token from '../../src/cli/dev/token.ts'
import { freePorts } from '../../test/support/ports.ts'
import { built } from '../built.ts'
import { childrenOf, commandLineOf } from '../cpu.ts'
import { fileSystemOf } from '../machine.ts'
import type { Signer } from './requests.ts'

const mainFile = fileURLToPath(new URL('../../dist/main.js', import.meta.url))

export interface Installation {
  readonly directory: string
  readonly config: string
  readonly port: number
  readonly keyArn: string
  readonly signer: Signer
  readonly token: { readonly library: string; readonly label: string; readonly pinFile: string; readonly softhsmConfig: string }
  /** The pid of Postgres's first process, whose children are all others. */
  readonly postgres: number
  readonly fileSystem: string
  remove(): Promise<void>
}

/** Installs below `parent`, which should be on the kind of disk that the journal will have. */
export async function install(parent: string): Promise<Installation> {
  const { openData, readState } = await built<typeof DataFolders>('cli/dev/data-folder')
  const { start } = await built<typeof Start>('cli/dev/start')
  const { stopServer, devConfig } = await built<typeof Server>('cli/dev/server')
  const { removePostgres } = await built<typeof Postgres>('cli/dev/postgres')
  const { readCredentials } = await built<typeof FirstUse>('cli/dev/first-use')
  const { softhsmConfig, softhsmLibrary, tokenLabel } = await built<typeof Token>('cli/dev/token')
  mkdirSync(parent, { recursive: true })
  const directory = mkdtempSync(join(parent, 'trent-bench-'))
  const port = await freePorts()
  const remove = async (): Promise<void> => {
    await removePostgres(directory)
    rmSync(directory, { recursive: true, force: true })
  }
  const { data } = await start({ data: directory, port, reset: false }).catch(async (thrown: unknown) => {
    await remove()
    throw thrown
  })
  await stopServer(data)
  const config = devConfig(openData(directory))
  return {
    directory, port, config: data.config, keyArn: readState(data).demoKey ?? '',
    signer: { host: `127.0.0.1:${port}`, region: config.region, credentials: readCredentials(data) },
    token: { library: softhsmLibrary(), label: tokenLabel, pinFile: data.pin, softhsmConfig: softhsmConfig(data) },
    postgres: postmasterOf(config.database.url),
    fileSystem: fileSystemOf(directory),
    remove,
  }
}

export interface RunningTrent {
  readonly gateways: readonly number[]
  readonly agent: number
  readonly primary: number
  stop(): Promise<void>
}

export interface ServeOptions {
  readonly processes: number
  /** Options of node for the primary and the gateway processes, such as --cpu-prof. */
  readonly nodeOptions?: readonly string[]
}

export async function serve({ config }: Installation, { processes, nodeOptions = [] }: ServeOptions): Promise<RunningTrent> {
  const primary = spawn(process.execPath, [...nodeOptions, mainFile, 'serve', '--config', config], {
    env: { PATH: process.env.PATH, TRENT_GATEWAY_PROCESSES: String(processes), TRENT_LOG_LEVEL: 'info' }, stdio: ['ignore', 'pipe', 'inherit'],
  })
  const exited = new Promise<void>(resolve => primary.once('exit', () => { resolve() }))
  await serving(primary)
  const pid = primary.pid ?? 0
  const children = childrenOf(pid).map(child => ({ child, called: commandLineOf(child) }))
  const agent = children.find(({ called }) => called.startsWith('trent: hsm-agent'))
  return {
    primary: pid,
    gateways: children.filter(({ called }) => called.startsWith('trent: gateway')).map(({ child }) => child),
    agent: agent?.child ?? 0,
    stop: async () => {
      primary.kill('SIGTERM')
      await exited
    },
  }
}

function serving(primary: ChildProcess): Promise<void> {
  let log = ''
  return new Promise((resolve, reject) => {
    primary.stdout?.on('data', (chunk: Buffer) => {
      log = (log + chunk.toString()).slice(-10_000)
      if (log.includes('"msg":"serving"')) resolve()
    })
    primary.once('exit', () => { reject(new Error(`trent serve ended:\n${log}`)) })
  })
}

/** The server's first process is the one with this port on its command line. */
function postmasterOf(url: string): number {
  const { port } = new URL(url)
  const found = childrenOf(1).find(pid => commandLineOf(pid).includes(`port=${port}`))
  if (found === undefined) throw new Error(`no Postgres on port ${port} was found among the processes`)
  return found
}
