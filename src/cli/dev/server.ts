// The `trent serve` of ./dev: a process group of its own, so that neither Ctrl-C in the terminal nor the end of ./dev reaches it unasked.
import { spawn } from 'node:child_process'
import { chmodSync, closeSync, existsSync, openSync, readFileSync, renameSync, statSync } from 'node:fs'
import { createServer } from 'node:net'
import { stringify } from 'yaml'
import { loadConfig, type Config } from '../../config.ts'
import { StartError } from '../../errors.ts'
import { readState, remember, writeSecret, type DataFolder } from './data-folder.ts'
import { runs, startTime, until } from './process.ts'
import { softhsmConfig, softhsmLibrary, tokenLabel } from './token.ts'
import { mainFile, trentEnvironment } from './trent-command.ts'

/** A longer log is put aside at the next start; one is kept. */
const logLimitBytes = 67_108_864
const loopback = /^(127\.\d{1,3}\.\d{1,3}\.\d{1,3}|::1|localhost)$/

/** The configuration of ./dev as `serve` will see it. @throws StartError where a variable would have it listen beyond loopback. */
export function devConfig(data: DataFolder): Config {
  const config = loadConfig({ file: data.config, env: trentEnvironment() })
  for (const [name, { host }] of Object.entries({ 'listen.host': config.listen, 'private.host': config.private })) {
    if (!loopback.test(host)) throw new StartError(`${name}: found ${host}; ./dev listens on loopback only`)
  }
  return config
}

/** Writes trent.yaml. `port` is the API's; metrics and health listen on the next one. */
export function writeConfig(data: DataFolder, port: number, databaseUrlFile: string): void {
  const settings = {
    dataDirectory: data.path,
    listen: { host: '127.0.0.1', port },
    private: { host: '127.0.0.1', port: port + 1 },
    database: { urlFile: databaseUrlFile },
    hsm: {
      tokens: [
        {
          label: tokenLabel,
          library: softhsmLibrary(),
          profile: 'softhsm',
          pinFile: data.pin,
          env: { SOFTHSM2_CONF: softhsmConfig(data) },
        },
      ],
    },
  }
  writeSecret(data.config, `# Written by ./dev at each start.\n${stringify(settings)}`)
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = createServer()
    probe.once('error', () => resolve(false))
    probe.listen(port, '127.0.0.1', () => probe.close(() => resolve(true)))
  })
}

async function isReady(config: Config): Promise<boolean> {
  try {
    const answer = await fetch(`http://${config.private.host}:${config.private.port}/readyz`, { signal: AbortSignal.timeout(2_000) })
    return answer.ok
  } catch {
    return false
  }
}

export const isServing = (data: DataFolder): boolean => runs(readState(data).server)

/** Whether the server that runs becomes ready within `milliseconds`. False at once when it ends. */
export async function becomesReady(data: DataFolder, config: Config, milliseconds: number): Promise<boolean> {
  let ready = false
  await until(async () => (ready = await isReady(config)) || !isServing(data), milliseconds)
  return ready
}

/** Why it ended: its last words on stderr, which stand in the log among lines of JSON. */
function lastWords(data: DataFolder, from: number): string {
  const lines = readFileSync(data.log).subarray(from).toString().trimEnd().split('\n')
  return lines.filter((line) => line !== '' && !line.startsWith('{')).at(-1) ?? lines.at(-1) ?? ''
}

/** Starts `trent serve` and waits until it is ready, at most a minute. @throws StartError with the reason, and ends what it started. */
export async function startServer(data: DataFolder, config: Config): Promise<void> {
  for (const port of [config.listen.port, config.private.port]) {
    const free = await until(() => isFree(port), 3_000)
    if (!free) throw new StartError(`Port ${port} on 127.0.0.1 is taken by another program: choose another with --port`)
  }
  if (existsSync(data.log) && statSync(data.log).size > logLimitBytes) renameSync(data.log, `${data.log}.1`)
  const log = openSync(data.log, 'a', 0o600)
  chmodSync(data.log, 0o600)
  const from = readFileSync(data.log).length
  const child = spawn(process.execPath, [mainFile, 'serve', '--config', data.config], {
    detached: true,
    cwd: '/',
    env: trentEnvironment(),
    stdio: ['ignore', log, log],
  })
  closeSync(log)
  child.on('error', () => undefined)
  child.unref()
  if (child.pid === undefined) throw new StartError(`trent serve cannot be started by ${process.execPath}`)
  remember(data, { server: { pid: child.pid, since: startTime(child.pid) }, port: config.listen.port })
  if (await becomesReady(data, config, 60_000)) return
  const ended = !isServing(data)
  await stopServer(data)
  throw new StartError(`trent serve ${ended ? 'ended' : 'is not ready after a minute'}: ${lastWords(data, from)} (log: ${data.log})`)
}

/** Asks the server to end, and ends its whole group after 20 seconds. Resolves to whether one ran. */
export async function stopServer(data: DataFolder): Promise<boolean> {
  const { server } = readState(data)
  if (!runs(server)) return false
  process.kill(server.pid, 'SIGTERM')
  if (!(await until(() => !runs(server), 20_000))) {
    process.kill(-server.pid, 'SIGKILL')
    await until(() => !runs(server), 5_000)
  }
  return true
}
