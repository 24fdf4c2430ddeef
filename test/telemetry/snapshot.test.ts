import { afterEach, expect, test } from 'vitest'
import { createMetrics } from '../../src/telemetry/metrics.ts'
import type { Metrics } from '../../src/telemetry/metrics.ts'
import { Aggregate, collect, merge, snapshot } from '../../src/telemetry/snapshot.ts'
import type { Family, MetricSnapshot } from '../../src/telemetry/snapshot.ts'
import { samplesOf } from './exposition.ts'

const made: Metrics[] = []
function create(): Metrics {
  const metrics = createMetrics({ version: '1', operations: ['Encrypt'], tokens: ['alpha'] })
  made.push(metrics)
  return metrics
}
afterEach(() => {
  for (const metrics of made.splice(0)) metrics.close()
})

const family = (name: string, type: Family['type'], across: Family['across'], value: number, labels = {}): Family =>
  ({ name, help: 'text', type, across, samples: [{ name, labels, value }] })

test('a snapshot survives structured clone and JSON unchanged', async () => {
  const metrics = create()
  metrics.requests.started()
  metrics.requests.finished('Encrypt', 'OK', 0.1)
  const taken = await snapshot(metrics)
  expect(structuredClone(taken)).toEqual(taken)
  expect(JSON.parse(JSON.stringify(taken))).toEqual(taken)
})

test('counters and histograms of all processes are added, and the page is valid', async () => {
  const [one, two] = [create(), create()]
  for (const metrics of [one, two]) {
    metrics.requests.started()
    metrics.requests.finished('Encrypt', 'OK', 0.0002)
  }
  two.requests.started()
  two.requests.finished('Encrypt', 'ThrottlingException', 20)
  const samples = samplesOf(merge(new Map([['1', await snapshot(one)], ['2', await snapshot(two)]])))
  expect(samples.get('kms_requests_total{operation="Encrypt",code="OK"}')).toBe(2)
  expect(samples.get('kms_requests_total{operation="Encrypt",code="ThrottlingException"}')).toBe(1)
  expect(samples.get('kms_request_duration_seconds_bucket{le="0.00025",operation="Encrypt"}')).toBe(2)
  expect(samples.get('kms_request_duration_seconds_bucket{le="+Inf",operation="Encrypt"}')).toBe(3)
  expect(samples.get('kms_request_duration_seconds_count{operation="Encrypt"}')).toBe(3)
  expect(samples.get('kms_request_duration_seconds_sum{operation="Encrypt"}')).toBeCloseTo(20.0004)
})

test('buckets stand in ascending order, the infinite one last', async () => {
  const metrics = create()
  metrics.requests.started()
  metrics.requests.finished('Encrypt', 'OK', 0.0002)
  const page = merge(new Map([['1', await snapshot(metrics)]]))
  const bounds = [...page.matchAll(/kms_request_duration_seconds_bucket\{le="([^"]+)"/g)].map(([, bound]) => (bound === '+Inf' ? Infinity : Number(bound)))
  expect(bounds).toHaveLength(17)
  expect(bounds).toEqual([...bounds].sort((a, b) => a - b))
})

test('each gauge is put together as it declares: added, the largest, or one for each process', () => {
  const of = (value: number): MetricSnapshot =>
    [family('summed', 'gauge', 'sum', value), family('largest', 'gauge', 'max', value), family('each', 'gauge', 'none', value)]
  const samples = samplesOf(merge(new Map([['1', of(2)], ['2', of(5)]])))
  expect(Object.fromEntries(samples)).toEqual({ 'summed': 7, 'largest': 5, 'each{process="1"}': 2, 'each{process="2"}': 5 })
})

test('the gauges of Trent carry their declaration into the snapshot', async () => {
  const across = new Map((await snapshot(create())).map(one => [one.name, one.across]))
  expect(across.get('kms_requests_in_flight')).toBe('sum')
  expect(across.get('hsm_up')).toBe('max')
  expect(across.get('cache_bypassed')).toBe('max')
  expect(across.get('process_resident_memory_bytes')).toBe('none')
})

test('the counters of a dead process stay, its gauges go', () => {
  const aggregate = new Aggregate()
  aggregate.update('1', [family('made_total', 'counter', 'sum', 10), family('held', 'gauge', 'sum', 4)])
  aggregate.update('2', [family('made_total', 'counter', 'sum', 1), family('held', 'gauge', 'sum', 1)])
  aggregate.retire('1')
  expect(Object.fromEntries(samplesOf(aggregate.render()))).toEqual({ made_total: 11, held: 1 })
  aggregate.retire('2')
  expect(samplesOf(aggregate.render()).get('made_total')).toBe(11)
})

test('an answer that comes after its process was retired is not counted twice', () => {
  const aggregate = new Aggregate()
  aggregate.update('1', [family('made_total', 'counter', 'sum', 10)])
  aggregate.retire('1')
  aggregate.update('1', [family('made_total', 'counter', 'sum', 12)])
  expect(samplesOf(aggregate.render()).get('made_total')).toBe(10)
})

test('a process that begins again under its old name adds to what it had counted', () => {
  const aggregate = new Aggregate()
  aggregate.update('1', [family('made_total', 'counter', 'sum', 10)])
  aggregate.update('1', [family('made_total', 'counter', 'sum', 3)])
  aggregate.update('1', [family('made_total', 'counter', 'sum', 4)])
  expect(samplesOf(aggregate.render()).get('made_total')).toBe(14)
})

test('label values are escaped', () => {
  const page = merge(new Map([['1', [family('made_total', 'counter', 'sum', 1, { token: 'a"b\\c\nd' })]]]))
  expect(page).toContain('made_total{token="a\\"b\\\\c\\nd"} 1')
  expect([...samplesOf(page).values()]).toEqual([1])
})

test('a process that hangs or fails is left out within the limit, and the others are there', async () => {
  const answer = [family('made_total', 'counter', 'sum', 1)]
  const began = performance.now()
  const answers = await collect(new Map([
    ['good', () => Promise.resolve(answer)],
    ['hung', () => new Promise<MetricSnapshot>(() => undefined)],
    ['failed', () => Promise.reject(new Error('channel closed'))],
  ]), 50)
  expect([...answers]).toEqual([['good', answer]])
  expect(performance.now() - began).toBeLessThan(5000)
})

test('the limit is not waited for when all have answered', async () => {
  const timers = () => process.getActiveResourcesInfo().filter(resource => resource === 'Timeout').length
  const before = timers()
  const answers = await collect(new Map([['good', () => Promise.resolve([])]]), 2 ** 30)
  expect([...answers.keys()]).toEqual(['good'])
  expect(timers()).toBe(before)
})

test('a late answer does not appear in the answer already given', async () => {
  let answerLate: (answer: MetricSnapshot) => void = () => undefined
  const late = new Promise<MetricSnapshot>(resolve => {
    answerLate = resolve
  })
  const answers = await collect(new Map([['late', () => late]]), 1)
  answerLate([])
  await late
  await Promise.resolve()
  expect(answers.size).toBe(0)
})
