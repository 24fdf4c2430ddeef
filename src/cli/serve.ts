// `trent serve`: the primary. It supervises agent and gateways, holds the PIN and serves metrics and probes on the private port; it
// never serves requests.
import cluster from 'node:cluster'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Command } from 'commander'
import type { Config } from '../config.ts'
import { summaryOf, weaknesses } from '../hsm/agent/capability.ts'
import type { AgentReady } from '../hsm/agent/control.ts'
import { createExporter, type Readiness } from '../http/exporter.ts'
import { operations } from '../operations/table.ts'
import { openPool, poolLimits, type Pool } from '../store/database.ts'
import { requireSchema } from '../store/migrations.ts'
import { createLog, type Log } from '../telemetry/log.ts'
import { createMetrics, type AgentStartReason } from '../telemetry/metrics.ts'
import { Aggregate, snapshot } from '../telemetry/snapshot.ts'
import type { StartReason } from '../hsm/supervisor.ts'
import { configured, readConfig } from './configured.ts'
import { GatewayFleet } from './gateway-fleet.ts'
import { logUnhandled } from './last-resort.ts'
import { openDomain, type OpenDomain } from './open-domain.ts'
import { serveGateway } from './serve-gateway.ts'
import type { ServedToken } from './served-token.ts'
import { version } from './version.ts'

const startReasons: Readonly<Record<StartReason, AgentStartReason>> = {
  first: 'first', standby: 'standby', exit: 'exit', asked: 'exit', overrun: 'deadline', silent: 'deadline', sick: 'error', recycle: 'recycle',
}

/** Serves until a signal. The gateway processes are forks of the same command. */
export const serveCommand = (): Command =>
  configured('serve', 'Serve the API').action(async (options: { config?: string }) => {
    const config = readConfig(options)
    if (cluster.isWorker) serveGateway(config)
    else await servePrimary(config)
  })

async function servePrimary(config: Config): Promise<void> {
  process.title = 'trent: primary'
  process.umask(0o077)
  const log = createLog({ level: config.log.level === 'trace' ? 'debug' : config.log.level, name: 'primary' })
  // What this process was about to do for the others may be left undone for good; the service manager starts all of it again.
  logUnhandled(log, () => process.exit(1))
  const metrics = createMetrics({ version, operations: operations.keys(), tokens: config.hsm.tokens.map(({ label }) => label) })
  const pool = openPool(config.database.url, { ...poolLimits, connections: 2 }, err => { log.warn({ err }, 'an idle Postgres connection broke') })
  const aggregate = new Aggregate()
  const fleet = new GatewayFleet(log, id => { aggregate.retire(id) })
  let domain: OpenDomain | undefined
  try {
    await requireSchema(pool)
    domain = await openDomain(config, pool, {
      standby: true,
      extent: 'usual',
      log: (level, message, details = {}) => { log[level](details, message) },
      used: (token, usage) => { metrics.hsm.used(token, usage) },
      started: (token, reason) => { metrics.hsm.agentStarted(token, startReasons[reason]) },
      changed: standings => {
        for (const { token, address } of standings) metrics.hsm.up(token, address !== null)
        fleet.setTokens(standings)
      },
      latched: (token, isLatched) => { metrics.hsm.pinLatched(token, isLatched) },
    })
    for (const { label, ready } of domain.tokens) {
      if (ready === undefined) continue
      const { serial, model, library, fingerprint, templateEnforced, capabilities } = ready
      log.info({ token: label, serial, model, library, fingerprint, templateEnforced, capabilities: summaryOf(capabilities) }, 'the token holds the domain of this database')
      const weak = weaknesses(capabilities)
      if (weak.length > 0) log.warn({ token: label, weak }, 'the token does not keep keys from whoever has its PIN: PIN and database together can read wrapped keys')
    }
    const port = await fleet.start(config.gateway.processes)
    const exporter = await startExporter(config, { pool, fleet, domain, aggregate, metrics })
    log.info({ host: config.listen.host, port, privatePort: (exporter.address() as AddressInfo).port, processes: config.gateway.processes }, 'serving')
    endOnSignal(log, async () => {
      exporter.close()
      await fleet.drain()
      await domain?.close()
      await pool.end()
      metrics.close()
    })
  } catch (thrown) {
    await fleet.drain()
    await domain?.close()
    await pool.end()
    metrics.close()
    throw thrown
  }
}

interface Exported {
  readonly pool: Pool
  readonly fleet: GatewayFleet
  readonly domain: OpenDomain
  readonly aggregate: Aggregate
  readonly metrics: ReturnType<typeof createMetrics>
}

async function startExporter(config: Config, { pool, fleet, domain, aggregate, metrics }: Exported): Promise<Server> {
  const page = async (): Promise<string> => {
    for (const [id, measured] of await fleet.snapshots()) aggregate.update(id, measured)
    aggregate.update('primary', await snapshot(metrics))
    return aggregate.render()
  }
  const server = createServer(createExporter({ metrics: page, ready: () => readiness(config, pool, fleet, domain), live: () => true }))
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(config.private.port, config.private.host, resolve)
  })
  return server
}

async function readiness(config: Config, pool: Pool, fleet: GatewayFleet, domain: OpenDomain): Promise<Readiness> {
  // Asking also refreshes what each process says of its cache.
  await fleet.snapshots()
  const { serving, cache } = fleet.health
  const schema = await requireSchema(pool).then(() => true, () => false)
  const checks = {
    gateways: { ok: serving > 0, detail: `${serving} of ${config.gateway.processes} serve` },
    token: { ok: domain.tokens.some(({ address }) => address !== null), detail: domain.tokens.map(standing).join('; ') },
    database: { ok: schema, detail: schema ? 'reachable' : 'not reachable, or not at this version of the schema' },
    cache: { ok: true, detail: cache },
  }
  return { ok: Object.values(checks).every(check => check.ok), checks }
}

function standing({ label, address, ready, outside, isLatched }: ServedToken): string {
  if (outside !== undefined || ready === undefined) return `${label}: out, ${outside}`
  return `${label}: ${address === null ? `no hsm-agent serves${isLatched ? ': the PIN was refused and is latched' : ''}` : tokenDetail(ready)}`
}

function tokenDetail({ templateEnforced, capabilities }: AgentReady): string {
  const weak = weaknesses(capabilities).length === 0 ? '' : ': PIN and database together can read wrapped keys'
  return `${templateEnforced ? 'template enforced' : 'template NOT enforced'}${weak}; ${summaryOf(capabilities)}`
}

function endOnSignal(log: Log, close: () => Promise<void>): void {
  let ending = false
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.on(signal, () => {
      if (ending) return
      ending = true
      log.info({ signal }, 'ending: requests under way are answered first')
      void close().then(() => process.exit(0), (err: unknown) => {
        log.error({ err }, 'the end was not orderly')
        process.exit(1)
      })
    })
  }
}
