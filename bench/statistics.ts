// Numbers of several rounds as one: the median, and the least and the greatest beside it.

export interface Spread {
  readonly median: number
  readonly least: number
  readonly most: number
}

/** @throws RangeError for no values */
export function spread(values: readonly number[]): Spread {
  const sorted = [...values].sort((a, b) => a - b)
  const [least] = sorted
  const most = sorted.at(-1)
  const middle = sorted.length / 2
  const [low, high] = [sorted[Math.ceil(middle) - 1], sorted[Math.floor(middle)]]
  if (least === undefined || most === undefined || low === undefined || high === undefined) throw new RangeError('no values')
  return { median: (low + high) / 2, least, most }
}

export const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length
