// Whether two kinds of input take the same time: Welch's t-test over interleaved measurements, as in "Dude, is my code constant time?"
// (Reparaz, Balasch, Verbauwhede, 2017), on what lies below a percentile too, since interruptions hide small differences.

/** Beyond it the means differ; the usual bound of leakage assessment. */
export const bound = 4.5
const percentiles = [0.5, 0.75, 0.9, 0.95, 1]

export interface Comparison {
  readonly kind: string
  readonly count: number
  /** Microseconds. */
  readonly median: number
  /** Of all that were tried, the one of the greatest absolute value. */
  readonly t: number
}

/** Each kind against all others together. Microseconds. */
export function compare(times: ReadonlyMap<string, readonly number[]>): Comparison[] {
  const all = [...times.values()].flat().sort((a, b) => a - b)
  const limits = percentiles.map(part => all[Math.ceil(part * all.length) - 1] ?? Infinity)
  return [...times].map(([kind, own]) => {
    const others = [...times].flatMap(([name, values]) => (name === kind ? [] : values))
    const tests = limits.map(limit => welch(own.filter(time => time <= limit), others.filter(time => time <= limit)))
    return { kind, count: own.length, median: middle(own), t: tests.reduce((most, t) => (Math.abs(t) > Math.abs(most) ? t : most), 0) }
  })
}

function welch(one: readonly number[], other: readonly number[]): number {
  const [a, b] = [moments(one), moments(other)]
  const t = (a.mean - b.mean) / Math.sqrt(a.variance / one.length + b.variance / other.length)
  if (Number.isNaN(t)) throw new Error('too few measurements to compare')
  return t
}

function moments(values: readonly number[]): { mean: number; variance: number } {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length
  return { mean, variance: values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (values.length - 1) }
}

function middle(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[values.length >> 1] ?? NaN
}
