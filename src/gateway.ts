// One gateway process: every resource built and wired by hand, closed in reverse. It never loads a vendor library: the HSM is
// behind the sockets of an agent that the primary supervises.
import { randomUUID } from 'node:crypto'
import type { AddressInfo } from 'node:net'
import { openJournal } from './audit/journal.ts'
import { recover } from './audit/recover.ts'
import { startShipper } from './audit/ship.ts'
import { TransactionWriter } from './audit/transaction.ts'
import { Cache, type CacheState } from './cache/cache.ts'
import type { Config } from './config.ts'
import { Effects, type EffectStep } from './effects/apply.ts'
import type { AttestationTrust } from './attestation/document.ts'
import { readRoots } from './attestation/roots.ts'
import { countedHsm } from './effects/counted-hsm.ts'
import { Invocations, type InvocationLimits } from './effects/invocations.ts'
import { Reconciler } from './effects/reconcile.ts'
import { observeAnswer } from './hsm/observe.ts'
import { HsmPool, poolCanary, type PoolCanary, type TokenStanding } from './hsm/pool.ts'
import { makesEd25519ph } from './hsm/prehash.ts'
import { Quarantine } from './hsm/quarantine.ts'
import { createApp } from './http/app.ts'
import { Gate } from './identity/gate.ts'
import { SigningKeys } from './identity/signing-keys.ts'
import { KeyPairs } from './operations/key-pairs.ts'
import { operations } from './operations/table.ts'
import { stsOperations } from './sts/table.ts'
import { openPool, poolLimits, type Pool } from './store/database.ts'
import { listDomainVersions, listServiceKeys, sealPurpose } from './store/domain.ts'
import type { Log } from './telemetry/log.ts'
import { createMetrics, type Metrics } from './telemetry/metrics.ts'
import { snapshot, type MetricSnapshot } from './telemetry/snapshot.ts'

/** Keys, aliases and callers kept, each. */
const cacheLimit = 50_000
/** How long requests under way may take once the gateway is told to end, then how long the journal's tail may take to be shipped. */
const drainMilliseconds = 5_000
/** How long the canary that was read from the database is good for. */
const canaryMilliseconds = 60_000

export interface GatewayOptions {
  readonly config: Config
  readonly log: Log
  readonly version: string
  readonly tokens: readonly TokenStanding[]
  /** For the crash suite: called where a crash would hurt. */
  readonly step?: (name: EffectStep) => void
  /** For tests of the bound of AES-GCM: lower limits. */
  readonly limits?: Partial<InvocationLimits>
}

export interface Gateway {
  readonly port: number
  setTokens(tokens: readonly TokenStanding[]): void
  state(): CacheState
  snapshot(): Promise<MetricSnapshot>
  /** Answers what is under way, ships the journal, closes everything. */
  close(): Promise<void>
}

/** Resolves when requests are served. @throws StartError, DatabaseError */
export async function openGateway({ config, log, version, tokens, step, limits }: GatewayOptions): Promise<Gateway> {
  const attestation = trustOf(config)
  const metrics = createMetrics({ version, operations: [...operations.keys(), ...stsOperations.keys()], tokens: config.hsm.tokens.map(token => token.label) })
  const pool = openPool(config.database.url, { ...poolLimits, connections: config.database.poolSize }, err => { log.warn({ err }, 'an idle Postgres connection broke') })
  const hsm = openHsm({ config, log, pool, metrics })
  hsm.setTokens(tokens)
  const cache = openCache({ config, log, pool, metrics })
  const journal = await openJournal({
    directory: config.audit.directory, writer: randomUUID(), segmentBytes: config.audit.segmentBytes, segments: config.audit.segments, metrics: metrics.audit,
  })
  const shipper = startShipper({ db: pool, journal, metrics: metrics.audit, log })
  shipper.adopt(await recover(config.audit.directory, new Set()))
  const transactions = new TransactionWriter()
  const effects = new Effects({ pool, hsm, transactions, recorded: count => { metrics.audit.recorded(count) }, ...(step === undefined ? {} : { step }) })
  const invocations = openInvocations({ log, pool, metrics, effects, limits })
  const reconciler = new Reconciler({ pool, effects, log })
  const server = createApp({
    region: config.region,
    settings: {
      residency: config.keys.residency, tokens: config.hsm.tokens.length, ed25519Prehash: config.hsm.tokens.every(makesEd25519ph), cipherMode: config.keys.cipherMode, verifySignatures: config.keys.verifySignatures, keyQuota: config.keys.quota,
      attestation,
      get makes() { return hsm.makes },
    },
    pool, cache, hsm: countedHsm(hsm, invocations), pairs: new KeyPairs(), effects, journal, transactions,
    signingKeys: new SigningKeys({ hsm, serviceKey: version => serviceKeyOf(pool, version) }),
    gate: new Gate(), metrics, log, now: () => new Date(),
  }, { bodyBytes: config.http.bodyLimitBytes, connections: config.http.maxConnections })
  await cache.ready()
  reconciler.start()
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(config.listen.port, config.listen.host, resolve)
  })

  return {
    port: (server.address() as AddressInfo).port,
    setTokens: standings => { hsm.setTokens(standings) },
    state: () => cache.state(),
    snapshot: async () => {
      metrics.database.pool(pool.totalCount, pool.idleCount, pool.waitingCount)
      return await snapshot(metrics)
    },
    close: async () => {
      const closed = new Promise(resolve => server.close(resolve))
      server.closeIdleConnections()
      const cutOff = setTimeout(() => { server.closeAllConnections() }, drainMilliseconds)
      await closed
      clearTimeout(cutOff)
      await reconciler.close()
      await invocations.close()
      hsm.close()
      // Ships what it can of the journal, and closes it.
      await shipper.close(drainMilliseconds)
      cache.close()
      await pool.end()
      metrics.close()
    },
  }
}

interface CacheParts {
  readonly config: Config
  readonly log: Log
  readonly pool: Pool
  readonly metrics: Metrics
}

/** @throws StartError */
function trustOf({ attestation: { rootsFile, maxAgeSeconds } }: Config): AttestationTrust | null {
  return rootsFile === undefined ? null : { roots: readRoots(rootsFile), maxAgeSeconds }
}

/** One HSM out of the tokens. */
function openHsm({ config, log, pool, metrics }: CacheParts): HsmPool {
  let canary: PoolCanary | undefined
  let read = -Infinity
  return new HsmPool({
    tokens: config.hsm.tokens.map(({ label }) => label),
    observe: observeAnswer(metrics.hsm),
    quarantine: new Quarantine({
      alarm: verb => {
        metrics.hsm.quarantined(verb)
        log.error({ verb }, 'ALARM: two hsm-agents died under one call: this use of its key is refused for a minute')
      },
    }),
    // Postgres may be away: the last one known then goes on.
    canary: async () => {
      if (canary !== undefined && performance.now() - read < canaryMilliseconds) return canary
      const newest = (await listDomainVersions(pool).catch(() => [])).at(-1)
      if (newest !== undefined) canary = poolCanary(newest.canary)
      if (canary === undefined) throw new Error('the database has no canary, or is away')
      read = performance.now()
      return canary
    },
    breaker: (token, state) => {
      metrics.hsm.breaker(token, state)
      log.warn({ token, state }, 'the breaker of a token changed its state')
    },
    failedOver: token => { metrics.hsm.failedOver(token) },
  })
}

function openCache({ config, log, pool, metrics }: CacheParts): Cache {
  return new Cache({
    pool, url: config.database.url, maxStaleMs: config.cache.maxStaleSeconds * 1000, limit: cacheLimit,
    on: {
      hit: kind => { metrics.cache.hit(kind) },
      miss: kind => { metrics.cache.miss(kind) },
      stale: kind => { metrics.cache.stale(kind) },
      state: state => {
        metrics.cache.bypassed(state !== 'live')
        log.info({ state }, 'the cache changed its state')
      },
      fault: err => { log.warn({ err }, 'LISTEN has no connection') },
    },
  })
}

interface InvocationParts extends Omit<CacheParts, 'config'> {
  readonly effects: Effects
  readonly limits: Partial<InvocationLimits> | undefined
}

function openInvocations({ log, pool, metrics, effects, limits }: InvocationParts): Invocations {
  return new Invocations({
    ...(limits === undefined ? {} : { limits }), pool, succeed: backing => effects.addBacking(backing),
    on: {
      leased: (count, share) => { metrics.invocations.leased(count, share) },
      unleased: () => { metrics.invocations.unleased() },
      succeeded: () => { metrics.invocations.succeeded() },
      fault: err => { log.warn({ err }, 'invocations could not be booked, or a backing key not be made') },
    },
  })
}

async function serviceKeyOf(pool: Pool, version: number) {
  return (await listServiceKeys(pool, sealPurpose)).find(key => key.version === version)?.sealed
}
