// A gateway process of `trent serve`: forked by the primary, told by it where the agents of the tokens listen.
import type { Config } from '../config.ts'
import { StartError } from '../errors.ts'
import { openGateway, type Gateway } from '../gateway.ts'
import type { TokenStanding } from '../hsm/pool.ts'
import { createLog } from '../telemetry/log.ts'
import { logUnhandled } from './last-resort.ts'
import type { FromGateway, ToGateway } from './primary-messages.ts'
import { version } from './version.ts'

const tell = (message: FromGateway): void => { process.send?.(message) }

/** Runs until the primary drains it or is gone. */
export function serveGateway(config: Config): void {
  process.title = 'trent: gateway'
  // The primary decides: a Ctrl-C in the terminal reaches every process of the group.
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => undefined)
  const log = createLog({ level: config.log.level === 'trace' ? 'debug' : config.log.level, name: 'gateway' })
  // One request's fault must not end all others: whoever finds a way to cause it would have the whole service.
  logUnhandled(log)
  let opening: Promise<Gateway> | undefined

  process.on('message', (message: ToGateway) => {
    if (message.type === 'tokens') {
      if (opening === undefined) opening = open(config, log, message.tokens)
      else void opening.then(gateway => { gateway.setTokens(message.tokens) })
    } else if (message.type === 'report') void opening?.then(gateway => report(gateway, message.number))
    else void opening?.then(gateway => gateway.close()).then(() => process.exit(0), (err: unknown) => {
      log.error({ err }, 'the end was not orderly')
      process.exit(1)
    })
  })
  tell({ type: 'hello' })
}

/** Ends the process when the gateway cannot be opened, once the primary has been told why. */
async function open(config: Config, log: ReturnType<typeof createLog>, tokens: readonly TokenStanding[]): Promise<Gateway> {
  try {
    const gateway = await openGateway({ config, log, version, tokens })
    tell({ type: 'serving', port: gateway.port })
    return gateway
  } catch (err) {
    log.error({ err }, 'the gateway did not start')
    const message = err instanceof StartError ? err.message : `the gateway did not start: ${err instanceof Error ? err.message : String(err)}`
    return await new Promise<never>(() => {
      process.send?.({ type: 'failed', message } satisfies FromGateway, undefined, undefined, () => process.exit(1))
    })
  }
}

async function report(gateway: Gateway, number: number): Promise<void> {
  tell({ type: 'report', number, snapshot: await gateway.snapshot(), state: gateway.state() })
}
