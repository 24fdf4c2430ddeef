// Every metric of Trent, with its help text, its labels and how it is summed over the processes of one host. Label values are
// closed sets: whatever a caller or a vendor library can choose is replaced by 'Unknown' or 'other', and no key id, principal
// or address is ever a label. Times are in seconds.
import { monitorEventLoopDelay, performance } from 'node:perf_hooks'
import { Counter, Gauge, Histogram, Registry } from 'prom-client'
import { errorStatus } from '../errors.ts'
import { returnValueLabel } from './return-value.ts'

/** How a gauge is put together from several processes: added, the largest, or shown for each process on its own. */
export type Across = 'sum' | 'max' | 'none'

/** 0.25 is the deadline of the external key store specification, so the share within it is exact. */
export const requestBuckets = [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10]
/** From 10 µs (a random number of a software token) to 10 s (the longest deadline, an RSA key pair). */
export const functionBuckets = [0.00001, 0.000025, 0.00005, ...requestBuckets]

const functions = [
  'C_Initialize', 'C_OpenSession', 'C_CloseSession', 'C_Login', 'C_CreateObject', 'C_CopyObject', 'C_DestroyObject', 'C_GetAttributeValue',
  'C_FindObjects', 'C_EncryptInit', 'C_Encrypt', 'C_DecryptInit', 'C_Decrypt', 'C_DigestInit', 'C_Digest', 'C_SignInit', 'C_Sign',
  'C_VerifyInit', 'C_Verify', 'C_GenerateKey', 'C_GenerateKeyPair', 'C_WrapKey', 'C_UnwrapKey', 'C_DeriveKey', 'C_GenerateRandom',
  'C_EncapsulateKey', 'C_DecapsulateKey',
]
const agentVerbs = [
  'canary', 'create', 'destroy', 'encrypt', 'decrypt', 'reencrypt', 'sign', 'mac', 'derive', 'encapsulate', 'decapsulate', 'import', 'seal', 'unseal', 'authenticate', 'verify',
]
const authnReasons = ['missing', 'incomplete', 'unknown-key', 'signature', 'skew', 'throttled'] as const
const startReasons = ['first', 'standby', 'exit', 'deadline', 'error', 'recycle'] as const
const cacheKinds = ['key', 'alias', 'access-key'] as const

export type AuthnReason = (typeof authnReasons)[number]
export type AgentStartReason = (typeof startReasons)[number]
export type CacheKind = (typeof cacheKinds)[number]

export interface MetricsOptions {
  readonly version: string
  /** Names of the operations that exist; all others count as 'Unknown'. */
  readonly operations: Iterable<string>
  /** Labels of the configured tokens; all others count as 'other'. */
  readonly tokens: Iterable<string>
}

/** What a token tells of itself; null for what it does not tell. Bytes. */
export interface TokenFigures {
  readonly publicMemory: { readonly free: number | null; readonly total: number | null }
  readonly privateMemory: { readonly free: number | null; readonly total: number | null }
  readonly sessions: { readonly all: number | null; readonly readWrite: number | null }
}

export type Metrics = ReturnType<typeof createMetrics>
export type RequestMetrics = Metrics['requests']
export type HsmMetrics = Metrics['hsm']
export type CacheMetrics = Metrics['cache']
export type AuditMetrics = Metrics['audit']
export type DatabaseMetrics = Metrics['database']

/** All metrics of one process, in a registry of their own. `close` stops the event loop monitor. */
export function createMetrics({ version, operations, tokens }: MetricsOptions) {
  const registry = new Registry()
  const declare = declareIn(registry)
  const build = declare.gauge('trent_build_info', 'Version of Trent and of Node.js; always 1.', 'max', ['version', 'node'])
  build.set({ version, node: process.versions.node }, 1)
  const nodejs = processMetrics(declare)
  return {
    registry,
    requests: requestMetrics(declare, oneOf(operations, 'Unknown')),
    hsm: hsmMetrics(declare, oneOf(tokens, 'other')),
    cache: cacheMetrics(declare),
    audit: auditMetrics(declare),
    invocations: invocationMetrics(declare),
    database: databaseMetrics(declare),
    /** Reads what is measured only when asked for: memory, CPU, event loop. */
    collect: () => nodejs.read(),
    close: () => nodejs.close(),
  }
}

type Declare = ReturnType<typeof declareIn>

function declareIn(registry: Registry) {
  const registers = [registry]
  const aggregators = { sum: 'sum', max: 'max', none: 'omit' } as const
  return {
    counter: (name: string, help: string, labelNames: string[] = []) => new Counter({ name, help, labelNames, registers }),
    histogram: (name: string, help: string, buckets: number[], labelNames: string[] = []) =>
      new Histogram({ name, help, labelNames, buckets, registers }),
    gauge: (name: string, help: string, across: Across, labelNames: string[] = []) =>
      new Gauge({ name, help, labelNames, aggregator: aggregators[across], registers }),
  }
}

/** A label value out of a closed set: the adversary who picks names at will meets `fallback`. */
function oneOf(values: Iterable<string>, fallback: string): (value: string) => string {
  const known = new Set(values)
  return value => (known.has(value) ? value : fallback)
}

/** Keeps the child of each label value, since prom-client's own look-up checks and hashes the labels at every call. */
function bound<T>(label: (value: string) => string, child: (value: string) => T): (value: string) => T {
  const children = new Map<string, T>()
  return value => {
    const known = label(value)
    let found = children.get(known)
    if (found === undefined) children.set(known, (found = child(known)))
    return found
  }
}

function requestMetrics(declare: Declare, operation: (name: string) => string) {
  const requests = declare.counter('kms_requests_total', 'Requests answered, by operation and error code (OK without one).', ['operation', 'code'])
  const duration = declare.histogram('kms_request_duration_seconds', 'Time from the whole request to its answer.', requestBuckets, ['operation'])
  const inFlight = declare.gauge('kms_requests_in_flight', 'Requests being worked on.', 'sum')
  const authnFailures = declare.counter('kms_authn_failures_total', 'Requests whose caller could not be established.', ['reason'])
  const denied = declare.counter('kms_authz_denied_total', 'Requests refused by policies and grants.', ['operation'])
  const throttled = declare.counter('kms_throttled_requests_total', 'Requests refused by a rate limit.', ['operation'])
  const code = oneOf(['OK', ...Object.keys(errorStatus)], 'other')
  const reason = oneOf(authnReasons, 'other')
  const count = bound(operation, name => bound(code, known => requests.labels(name, known)))
  const time = bound(operation, name => duration.labels(name))
  return {
    started: () => inFlight.inc(),
    /** Once for each `started`. `code` is 'OK' or the error's code. */
    finished(name: string, code: string, seconds: number) {
      inFlight.dec()
      count(name)(code).inc()
      time(name).observe(seconds)
    },
    unauthenticated: (why: AuthnReason) => authnFailures.inc({ reason: reason(why) }),
    denied: (name: string) => denied.inc({ operation: operation(name) }),
    throttled: (name: string) => throttled.inc({ operation: operation(name) }),
  }
}

const breakerValues = { 'closed': 0, 'half-open': 0.5, 'open': 1 } as const

function hsmMetrics(declare: Declare, token: (label: string) => string) {
  const name = oneOf(functions, 'other')
  const reason = oneOf(startReasons, 'other')
  const duration = declare.histogram('hsm_function_duration_seconds', 'Time inside the PKCS#11 library.', functionBuckets, ['token', 'function'])
  const errors = declare.counter('hsm_function_errors_total', 'PKCS#11 calls that did not return CKR_OK.', ['token', 'function', 'ckr'])
  const queue = declare.histogram('hsm_queue_seconds', 'Time that a frame waits in the agent for a session.', functionBuckets, ['token'])
  const up = declare.gauge('hsm_up', 'Whether the token answers (1) or not (0).', 'max', ['token'])
  const latched = declare.gauge('hsm_pin_latched', 'Whether the token is latched after a refused PIN (1): no hsm-agent logs in to it before trent hsm unlatch.', 'max', ['token'])
  const starts = declare.counter('hsm_agent_starts_total', 'Starts of an hsm-agent, by why one was needed.', ['token', 'reason'])
  const breaker = declare.gauge('hsm_breaker_open', 'Whether a gateway process sends no calls to the token (1: open, 0.5: half-open, 0: closed), worst process.', 'max', ['token'])
  const failedOver = declare.counter('hsm_failovers_total', 'Calls that failed on this token and went to another.', ['token'])
  const tell = tokenMetrics(declare)
  const refused = declare.counter('hsm_material_refused_total', 'Material rows whose HMAC the HSM refused: a damaged or edited database.')
  const quarantined = declare.counter('hsm_quarantined_total', 'Calls refused for a minute because two agents died under them, by verb of the agent.', ['verb'])
  const verb = oneOf(agentVerbs, 'other')
  const time = bound(token, label => bound(name, known => duration.labels(label, known)))
  const wait = bound(token, label => queue.labels(label))
  return {
    called: (label: string, fn: string, seconds: number) => time(label)(fn).observe(seconds),
    failed: (label: string, fn: string, ckr: number) =>
      errors.inc({ token: token(label), function: name(fn), ckr: returnValueLabel(ckr) }),
    queued: (label: string, seconds: number) => wait(label).observe(seconds),
    up: (label: string, isUp: boolean) => up.set({ token: token(label) }, isUp ? 1 : 0),
    pinLatched: (label: string, isLatched: boolean) => latched.set({ token: token(label) }, isLatched ? 1 : 0),
    agentStarted: (label: string, why: AgentStartReason) => starts.inc({ token: token(label), reason: reason(why) }),
    breaker: (label: string, state: keyof typeof breakerValues) => breaker.set({ token: token(label) }, breakerValues[state]),
    failedOver: (label: string) => failedOver.inc({ token: token(label) }),
    materialRefused: () => refused.inc(),
    quarantined: (name: string) => quarantined.inc({ verb: verb(name) }),
    used: (label: string, figures: TokenFigures) => { tell(token(label), figures) },
  }
}

function tokenMetrics(declare: Declare) {
  const free = declare.gauge('hsm_token_memory_free_bytes', 'Free memory of the token, where it tells.', 'max', ['token', 'memory'])
  const total = declare.gauge('hsm_token_memory_total_bytes', 'Memory of the token, where it tells.', 'max', ['token', 'memory'])
  const open = declare.gauge('hsm_token_sessions', 'Sessions that the hsm-agent has open, where the token tells.', 'max', ['token', 'kind'])
  return (label: string, { publicMemory, privateMemory, sessions }: TokenFigures) => {
    for (const [memory, figures] of [['public', publicMemory], ['private', privateMemory]] as const) {
      if (figures.free !== null) free.set({ token: label, memory }, figures.free)
      if (figures.total !== null) total.set({ token: label, memory }, figures.total)
    }
    if (sessions.all !== null) open.set({ token: label, kind: 'all' }, sessions.all)
    if (sessions.readWrite !== null) open.set({ token: label, kind: 'read-write' }, sessions.readWrite)
  }
}

function cacheMetrics(declare: Declare) {
  const label = oneOf(cacheKinds, 'other')
  const hits = declare.counter('cache_hits_total', 'Look-ups answered from the cache.', ['kind'])
  const misses = declare.counter('cache_misses_total', 'Look-ups that went to Postgres.', ['kind'])
  const stale = declare.counter('cache_stale_total', 'Look-ups answered from the cache while Postgres was away.', ['kind'])
  const bypassed = declare.gauge('cache_bypassed', 'Whether a process bypasses its cache because its LISTEN connection is not alive.', 'max')
  const hit = bound(label, kind => hits.labels(kind))
  const miss = bound(label, kind => misses.labels(kind))
  return {
    hit: (kind: CacheKind) => hit(kind).inc(),
    miss: (kind: CacheKind) => miss(kind).inc(),
    stale: (kind: CacheKind) => stale.inc({ kind: label(kind) }),
    bypassed: (is: boolean) => bypassed.set(is ? 1 : 0),
  }
}

function auditMetrics(declare: Declare) {
  const records = declare.counter('audit_records_total', 'Audit records made durable.')
  const refused = declare.counter('audit_records_refused_total', 'Audit records that could not be made durable; their requests were not answered.')
  const commit = declare.histogram('audit_journal_commit_seconds', 'Time of one write of the journal to disk.', requestBuckets)
  const bytes = declare.gauge('audit_journal_unshipped_bytes', 'Bytes of the journal that are not yet in Postgres.', 'sum')
  const batches = declare.gauge('audit_journal_unshipped_batches', 'Batches of the journal that are not yet in Postgres.', 'sum')
  const age = declare.gauge('audit_journal_oldest_unshipped_seconds', 'Age of the oldest record that is not yet in Postgres.', 'max')
  const failing = declare.gauge('audit_journal_failing', 'Whether a journal refuses records after a disk error.', 'max')
  const shipFailures = declare.counter('audit_ship_failures_total', 'Attempts to write audit batches to Postgres that failed.')
  return {
    committed(count: number, seconds: number) {
      records.inc(count)
      commit.observe(seconds)
    },
    /** Written by the transaction of a change, not through the journal. */
    recorded: (count: number) => records.inc(count),
    refused: (count: number) => refused.inc(count),
    unshipped(lag: { readonly bytes: number; readonly batches: number; readonly seconds: number }) {
      bytes.set(lag.bytes)
      batches.set(lag.batches)
      age.set(lag.seconds)
    },
    failing: (is: boolean) => failing.set(is ? 1 : 0),
    shipFailed: () => shipFailures.inc(),
  }
}

function invocationMetrics(declare: Declare) {
  const leased = declare.counter('kms_invocations_leased_total', 'AES-GCM invocations booked in Postgres for keys in direct mode.')
  const unleased = declare.counter('kms_invocations_unleased_total', 'Encryptions without a booked invocation, while Postgres was away.')
  const succeeded = declare.counter('kms_backing_keys_total', 'Backing keys made because their predecessor neared the bound of AES-GCM.')
  const share = declare.gauge('kms_backing_key_use_ratio', 'Most that any backing key has gone on the way to its succession (1).', 'max')
  let most = 0
  return {
    leased(count: number, ofSuccession: number) {
      leased.inc(count)
      most = Math.max(most, ofSuccession)
      share.set(most)
    },
    unleased: () => unleased.inc(),
    succeeded() {
      succeeded.inc()
      most = 0
      share.set(0)
    },
  }
}

function databaseMetrics(declare: Declare) {
  const connections = declare.gauge('db_pool_connections', 'Postgres connections of the pool.', 'sum', ['state'])
  const waiting = declare.gauge('db_pool_waiting', 'Callers that wait for a Postgres connection.', 'sum')
  return {
    pool(total: number, idle: number, callers: number) {
      connections.set({ state: 'busy' }, total - idle)
      connections.set({ state: 'idle' }, idle)
      waiting.set(callers)
    },
  }
}

function processMetrics(declare: Declare) {
  const delay = monitorEventLoopDelay({ resolution: 20 })
  delay.enable()
  const cpu = declare.counter('process_cpu_seconds_total', 'User and system CPU time.')
  const memory = declare.gauge('process_resident_memory_bytes', 'Resident memory of each process.', 'none')
  const started = declare.gauge('process_start_time_seconds', 'Start of each process, seconds since 1970.', 'none')
  const heap = declare.gauge('nodejs_heap_size_used_bytes', 'V8 heap in use.', 'sum')
  const external = declare.gauge('nodejs_external_memory_bytes', 'Memory of Buffers and other objects outside the V8 heap.', 'sum')
  const lag = declare.gauge('nodejs_eventloop_lag_p99_seconds', '99th percentile of the event loop delay since the last scrape, worst process.', 'max')
  started.set(performance.timeOrigin / 1000)
  let counted = 0
  return {
    close: () => delay.disable(),
    read() {
      const { user, system } = process.cpuUsage()
      cpu.inc((user + system) / 1e6 - counted)
      counted = (user + system) / 1e6
      const usage = process.memoryUsage()
      memory.set(usage.rss)
      heap.set(usage.heapUsed)
      external.set(usage.external)
      lag.set(delay.count === 0 ? 0 : Math.max(0, delay.percentile(99) / 1e9 - 0.02))
      delay.reset()
    },
  }
}
