// `trent dev`, which ./dev runs: a whole Trent on this machine, to try out and to develop against.
import { Command, InvalidArgumentError } from 'commander'
import { StartError } from '../../errors.ts'
import { exportLines } from './announce.ts'
import { findData, type DataFolder } from './data-folder.ts'
import { until } from './process.ts'
import { devConfig, isServing } from './server.ts'
import { start, stop } from './start.ts'

interface DevOptions {
  readonly detach?: true
  readonly env?: true
  readonly stop?: true
  readonly reset?: true
  readonly port?: number
  readonly data?: string
}

function portNumber(text: string): number {
  const port = /^\d{1,5}$/.test(text) ? Number(text) : 0
  if (port < 1 || port > 65_534) throw new InvalidArgumentError('allowed is a whole number from 1 to 65534.')
  return port
}

function printEnvironment(data: DataFolder | undefined): void {
  if (!data || !isServing(data)) throw new StartError('Nothing runs here: start it with ./dev')
  console.log(exportLines(data, devConfig(data)).join('\n'))
}

async function end(data: DataFolder | undefined): Promise<void> {
  const ran = data !== undefined && (await stop(data))
  console.log(ran ? 'Trent has ended; its data stays.' : 'Nothing ran here.')
}

/** Stays until `asked`, then ends what runs; or until the server ends by itself. */
async function stay(data: DataFolder, asked: () => boolean): Promise<void> {
  console.log('Ctrl-C ends it.')
  await until(() => asked() || !isServing(data), Infinity, 250)
  if (asked()) return end(data)
  throw new StartError(`trent serve has ended; its log is ${data.log}`)
}

async function dev(options: DevOptions): Promise<void> {
  if (options.env) return printEnvironment(findData(options.data))
  if (options.stop) return end(findData(options.data))
  let asked = false
  // From the first step on: Ctrl-C between two steps must not leave half of it running.
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, () => (asked = true))
  const { data, anew, announcement } = await start({ data: options.data, port: options.port, reset: options.reset ?? false })
  console.log(announcement)
  if (anew && !options.detach) await stay(data, () => asked)
}

/** @throws StartError from its action, with one sentence, where anything fails. */
export function devCommand(): Command {
  return new Command('dev')
    .description('Run a whole Trent on this machine: Postgres, a SoftHSM token, the gateway, a first key')
    .option('--detach', 'return once the first Encrypt has worked')
    .option('--env', 'print the export lines of what runs, nothing else')
    .option('--stop', 'end what runs; the data stays')
    .option('--reset', 'remove the data and start anew')
    .option('--port <number>', 'port of the API; the next one serves metrics and health', portNumber)
    .option('--data <folder>', 'data folder (default: .trent in the clone)')
    .action((options: DevOptions) => dev(options))
}
