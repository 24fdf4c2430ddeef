// The metrics of several processes as one page: each process answers a snapshot, the primary adds them up. A process that died
// leaves its counters behind, so that no counter ever goes down; one that hangs costs the page 250 ms, not the scrape.
import type { Metrics } from './metrics.ts'

/** One sample line: the metric's name with _bucket, _sum or _count where it has one. */
export interface Sample {
  readonly name: string
  readonly labels: Readonly<Record<string, string>>
  readonly value: number
}

export interface Family {
  readonly name: string
  readonly help: string
  readonly type: 'counter' | 'gauge' | 'histogram'
  readonly across: 'sum' | 'max' | 'none'
  readonly samples: readonly Sample[]
}

/** Survives JSON and structured clone, see node:cluster's IPC. */
export type MetricSnapshot = readonly Family[]

/** What this process has measured so far. */
export async function snapshot(metrics: Pick<Metrics, 'registry' | 'collect'>): Promise<MetricSnapshot> {
  metrics.collect()
  const families = await metrics.registry.getMetricsAsJSON()
  return families.map(({ name, help, type, aggregator, values }) => ({
    name,
    help,
    // prom-client types this as its enum of numbers, but the values are these words.
    type: String(type) as Family['type'],
    across: aggregator === 'max' ? 'max' : aggregator === 'omit' ? 'none' : 'sum',
    samples: values.map(sample => ({
      name: 'metricName' in sample && typeof sample.metricName === 'string' ? sample.metricName : name,
      labels: Object.fromEntries(Object.entries(sample.labels).map(([label, value]) => [label, String(value)])),
      value: sample.value,
    })),
  }))
}

/**
 * Asks all processes at once and takes what came within `timeoutMs`. Who is late or fails is left out of the answer: its last
 * snapshot stands in the aggregate.
 */
export async function collect(
  processes: ReadonlyMap<string, () => Promise<MetricSnapshot>>,
  timeoutMs = 250,
): Promise<Map<string, MetricSnapshot>> {
  const answers = new Map<string, MetricSnapshot>()
  let timer: NodeJS.Timeout | undefined
  const timeout = new Promise<void>(resolve => {
    timer = setTimeout(resolve, timeoutMs)
  })
  const asked = [...processes].map(async ([id, ask]) => {
    const answer = await ask()
    answers.set(id, answer)
  })
  await Promise.race([Promise.allSettled(asked), timeout])
  clearTimeout(timer)
  // A copy: a late answer must not appear in a map that the caller already reads.
  return new Map(answers)
}

const retiredKept = 1000

/** The sum of all processes of a host, living and dead. */
export class Aggregate {
  readonly #living = new Map<string, MetricSnapshot>()
  readonly #dead = new Set<string>()
  #past: MetricSnapshot = []

  /** The newest snapshot of a process. An answer of a process that has been retired is ignored: it has been counted. */
  update(processId: string, snapshot: MetricSnapshot): void {
    if (this.#dead.has(processId)) return
    const before = this.#living.get(processId)
    // A process of the same name that counts from zero is a new one: what the old one had counted stays.
    if (before !== undefined && restarted(before, snapshot)) this.#past = add([this.#past, counted(before)])
    this.#living.set(processId, snapshot)
  }

  /** A process is gone: its counters and histograms stay, its gauges go. Its id must not be used again. */
  retire(processId: string): void {
    const last = this.#living.get(processId)
    if (last !== undefined) this.#past = add([this.#past, counted(last)])
    this.#living.delete(processId)
    this.#dead.add(processId)
    for (const oldest of this.#dead) {
      if (this.#dead.size <= retiredKept) break
      this.#dead.delete(oldest)
    }
  }

  /** Prometheus text format 0.0.4. */
  render(): string {
    const living = [...this.#living].map(([id, families]) => families.map(family => named(family, id)))
    return print(add([...living, this.#past]))
  }
}

/** The exposition text of some snapshots, each of a living process; gauges that are not summed get the label `process`. */
export function merge(snapshots: ReadonlyMap<string, MetricSnapshot>): string {
  const aggregate = new Aggregate()
  for (const [id, families] of snapshots) aggregate.update(id, families)
  return aggregate.render()
}

const counted = (families: MetricSnapshot): MetricSnapshot => families.filter(family => family.type !== 'gauge')

const sampleKey = (sample: Sample): string =>
  JSON.stringify([sample.name, ...Object.entries(sample.labels).sort(([a], [b]) => (a < b ? -1 : 1))])

function named(family: Family, processId: string): Family {
  if (family.across !== 'none') return family
  return { ...family, samples: family.samples.map(sample => ({ ...sample, labels: { ...sample.labels, process: processId } })) }
}

function restarted(before: MetricSnapshot, after: MetricSnapshot): boolean {
  const values = new Map(counted(after).flatMap(family => family.samples.map(sample => [sampleKey(sample), sample.value])))
  return counted(before).some(family => family.samples.some(sample => (values.get(sampleKey(sample)) ?? 0) < sample.value))
}

/** Families and samples in the order of first sight, so that buckets stay ascending. */
function add(snapshots: readonly MetricSnapshot[]): MetricSnapshot {
  const families = new Map<string, { family: Family; samples: Map<string, Sample> }>()
  for (const family of snapshots.flat()) {
    const sums = families.get(family.name) ?? { family, samples: new Map<string, Sample>() }
    families.set(family.name, sums)
    for (const sample of family.samples) {
      const key = sampleKey(sample)
      const sum = sums.samples.get(key)
      const value = sum === undefined ? sample.value : family.across === 'max' ? Math.max(sum.value, sample.value) : sum.value + sample.value
      sums.samples.set(key, { ...sample, value })
    }
  }
  return [...families.values()].map(({ family, samples }) => ({ ...family, samples: [...samples.values()] }))
}

function print(families: MetricSnapshot): string {
  return families.map(({ name, help, type, samples }) =>
    [`# HELP ${name} ${escape(help)}`, `# TYPE ${name} ${type}`, ...samples.map(line), ''].join('\n')).join('')
}

function line({ name, labels, value }: Sample): string {
  const pairs = Object.entries(labels).map(([label, text]) => `${label}="${escape(text).replaceAll('"', '\\"')}"`)
  return `${name}${pairs.length === 0 ? '' : `{${pairs.join(',')}}`} ${number(value)}`
}

const escape = (text: string): string => text.replaceAll('\\', '\\\\').replaceAll('\n', '\\n')

const number = (value: number): string => (value === Infinity ? '+Inf' : value === -Infinity ? '-Inf' : String(value))
