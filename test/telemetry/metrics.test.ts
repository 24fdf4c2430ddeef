import { afterEach, expect, test } from 'vitest'
import { createMetrics } from '../../src/telemetry/metrics.ts'
import type { AuthnReason, Metrics } from '../../src/telemetry/metrics.ts'
import { snapshot } from '../../src/telemetry/snapshot.ts'
import { samplesOf } from './exposition.ts'

const made: Metrics[] = []
function create(): Metrics {
  const metrics = createMetrics({ version: '1.2.3', operations: ['Encrypt', 'Sign'], tokens: ['alpha'] })
  made.push(metrics)
  return metrics
}
afterEach(() => {
  for (const metrics of made.splice(0)) metrics.close()
})

test('a request is counted under its operation and code and leaves the number in flight as it was', async () => {
  const metrics = create()
  metrics.requests.started()
  metrics.requests.started()
  metrics.requests.finished('Encrypt', 'OK', 0.0004)
  const samples = samplesOf(await metrics.registry.metrics())
  expect(samples.get('kms_requests_total{operation="Encrypt",code="OK"}')).toBe(1)
  expect(samples.get('kms_requests_in_flight')).toBe(1)
  expect(samples.get('kms_request_duration_seconds_bucket{le="0.00025",operation="Encrypt"}')).toBe(0)
  expect(samples.get('kms_request_duration_seconds_bucket{le="0.0005",operation="Encrypt"}')).toBe(1)
})

test('names that a caller or a vendor can choose never become label values', async () => {
  const metrics = create()
  metrics.requests.finished('arn:aws:kms:x:111122223333:key/1', 'Anything', 1)
  metrics.requests.finished('__proto__', 'constructor', 1)
  metrics.requests.denied('evil')
  metrics.requests.throttled('evil')
  metrics.requests.unauthenticated('evil' as AuthnReason)
  metrics.hsm.called('evil', 'C_Evil', 1)
  metrics.hsm.failed('evil', 'C_Evil', 0x80000042)
  metrics.hsm.quarantined('evil')
  metrics.hsm.quarantined('decrypt')
  const page = await metrics.registry.metrics()
  const samples = samplesOf(page)
  expect(page).not.toMatch(/arn:|evil|__proto__|constructor|C_Evil/)
  expect(samples.get('kms_requests_total{operation="Unknown",code="other"}')).toBe(2)
  expect(samples.get('kms_authz_denied_total{operation="Unknown"}')).toBe(1)
  expect(samples.get('kms_authn_failures_total{reason="other"}')).toBe(1)
  expect([samples.get('hsm_quarantined_total{verb="other"}'), samples.get('hsm_quarantined_total{verb="decrypt"}')]).toEqual([1, 1])
  expect(samples.get('hsm_function_errors_total{token="other",function="other",ckr="other"}')).toBe(1)
})

test('a known return value is shown by its PKCS#11 name', async () => {
  const metrics = create()
  metrics.hsm.failed('alpha', 'C_Sign', 0x30)
  metrics.hsm.failed('alpha', 'C_Sign', 0x101)
  const samples = samplesOf(await metrics.registry.metrics())
  expect(samples.get('hsm_function_errors_total{token="alpha",function="C_Sign",ckr="CKR_DEVICE_ERROR"}')).toBe(1)
  expect(samples.get('hsm_function_errors_total{token="alpha",function="C_Sign",ckr="CKR_USER_NOT_LOGGED_IN"}')).toBe(1)
})

test('the time of a PKCS#11 function has a bucket at ten microseconds', async () => {
  const metrics = create()
  metrics.hsm.called('alpha', 'C_GenerateRandom', 0.000009)
  const samples = samplesOf(await metrics.registry.metrics())
  expect(samples.get('hsm_function_duration_seconds_bucket{le="0.00001",token="alpha",function="C_GenerateRandom"}')).toBe(1)
})

test('what a token tells of memory and sessions is a gauge, and what it does not tell is none', async () => {
  const metrics = create()
  metrics.hsm.used('alpha', { publicMemory: { free: 512, total: 1_024 }, privateMemory: { free: null, total: null }, sessions: { all: 4, readWrite: null } })
  const samples = samplesOf(await metrics.registry.metrics())
  expect([...samples].filter(([name]) => name.startsWith('hsm_token_'))).toEqual([
    ['hsm_token_memory_free_bytes{token="alpha",memory="public"}', 512], ['hsm_token_memory_total_bytes{token="alpha",memory="public"}', 1_024],
    ['hsm_token_sessions{token="alpha",kind="all"}', 4],
  ])
})

test('every metric that the exporter promises is declared, and no label is named after a key or a principal', async () => {
  const metrics = create()
  const families = await snapshot(metrics)
  const names = families.map(family => family.name)
  expect(names).toEqual(expect.arrayContaining([
    'trent_build_info', 'kms_requests_total', 'kms_request_duration_seconds', 'kms_requests_in_flight', 'kms_authn_failures_total',
    'kms_authz_denied_total', 'hsm_function_duration_seconds', 'hsm_function_errors_total', 'hsm_queue_seconds', 'hsm_up', 'hsm_pin_latched', 'hsm_agent_starts_total', 'hsm_token_memory_free_bytes', 'hsm_token_memory_total_bytes', 'hsm_token_sessions', 'hsm_material_refused_total', 'cache_hits_total', 'cache_misses_total', 'cache_bypassed', 'hsm_quarantined_total',
    'audit_records_total', 'audit_journal_commit_seconds', 'audit_journal_unshipped_bytes', 'audit_journal_unshipped_batches',
    'audit_ship_failures_total', 'db_pool_connections', 'nodejs_eventloop_lag_p99_seconds', 'nodejs_heap_size_used_bytes',
    'process_cpu_seconds_total',
  ]))
  expect(families.filter(family => family.type === 'counter' && !family.name.endsWith('_total'))).toEqual([])
  const labels = new Set(families.flatMap(family => family.samples.flatMap(sample => Object.keys(sample.labels))))
  for (const label of labels) expect(['version', 'node', 'le', 'operation', 'code', 'reason', 'token', 'function', 'ckr', 'kind', 'state', 'memory', 'verb']).toContain(label)
})

test('the CPU counter grows by what was used since the last reading, not by the whole again', async () => {
  const metrics = create()
  const cpu = async () => (await snapshot(metrics)).find(family => family.name === 'process_cpu_seconds_total')?.samples[0]?.value ?? 0
  const first = await cpu()
  const second = await cpu()
  expect(first).toBeGreaterThan(0)
  expect(second - first).toBeGreaterThanOrEqual(0)
  expect(second).toBeLessThan(first * 1.9)
})
