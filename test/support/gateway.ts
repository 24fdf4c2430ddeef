// A whole Trent for a test file: `trent serve` as an operator starts it, on a copy of the run's installation.
import { spawn, type ChildProcess } from 'node:child_process'
import { closeSync, openSync } from 'node:fs'
import { readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { inject } from 'vitest'
import { cloneDatabase, type TestDatabase } from './postgres.ts'
import { mainFile, newFolder, tokenConfig, writeConfig, writeTokenFiles, type ConfigChanges } from './installation.ts'

export interface Trent {
  readonly url: string
  readonly privateUrl: string
  readonly directory: string
  readonly config: string
  readonly databaseUrl: string
  readonly primary: ChildProcess
  /** Everything that all processes of this start have printed. */
  log(): Promise<string>
  /** SIGTERM, and waits for the orderly end. Resolves to the exit code. */
  stop(): Promise<number | null>
  /** The same files and database again, after a stop or a kill. */
  again(changes?: ConfigChanges): Promise<Trent>
  /** Ends what runs and removes files and database. */
  remove(): Promise<void>
}

/** Starts Trent on fresh copies. `changes` replace top-level settings of the configuration. */
export async function startTrent(changes: ConfigChanges = {}): Promise<Trent> {
  const installation = inject('installation')
  const directory = await newFolder('gateway')
  await writeTokenFiles(directory, installation.directory)
  const database = await cloneDatabase(installation.template)
  return await startTrentOn(directory, database, changes)
}

/** Starts Trent on files and a database that are there already. remove() drops them all the same. */
export async function startTrentOn(directory: string, database: TestDatabase, changes: ConfigChanges = {}, env: NodeJS.ProcessEnv = {}): Promise<Trent> {
  const config = await writeConfig(directory, database.url, changes)
  const logFile = join(directory, 'trent.log')
  const output = openSync(logFile, 'a')
  const before = (await readFile(logFile, 'utf8')).length
  const primary = spawn(process.execPath, [mainFile, 'serve', '--config', config], { env: { PATH: process.env.PATH, ...env }, stdio: ['ignore', output, output] })
  closeSync(output)
  const exited = new Promise<number | null>(resolve => primary.once('exit', resolve))
  const log = async (): Promise<string> => (await readFile(logFile, 'utf8')).slice(before)
  const serving = await untilServing(log, exited)
  const stop = async (): Promise<number | null> => {
    primary.kill('SIGTERM')
    return await exited
  }
  return {
    url: `http://127.0.0.1:${serving.port}`, privateUrl: `http://127.0.0.1:${serving.privatePort}`, directory, config, databaseUrl: database.url, primary, log, stop,
    again: async (others = changes) => {
      await stop()
      return await startTrentOn(directory, database, others)
    },
    remove: async () => {
      await stop()
      await database.drop()
      await rm(directory, { recursive: true, force: true })
    },
  }
}

/** A second Trent on the database and token of the first, with files of its own, as on a second host. The first one's remove() is the last. */
export async function beside({ databaseUrl, directory }: Trent): Promise<Trent> {
  return await startTrentOn(await newFolder('beside'), { url: databaseUrl, drop: () => Promise.resolve() }, { hsm: { tokens: [tokenConfig(directory)] } })
}

/** @throws Error with the log when the process ends first */
async function untilServing(log: () => Promise<string>, exited: Promise<unknown>): Promise<{ port: number; privatePort: number }> {
  let ended = false
  void exited.then(() => { ended = true })
  for (;;) {
    const text = await log()
    const line = text.split('\n').find(one => one.includes('"msg":"serving"'))
    if (line !== undefined) return JSON.parse(line) as { port: number; privatePort: number }
    if (ended) throw new Error(`trent serve ended:\n${text}`)
    await new Promise(resolve => setTimeout(resolve, 20))
  }
}
