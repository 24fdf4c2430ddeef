// Tables in Markdown: a cell is a median with the least and the greatest beside it.
import { spread } from './statistics.ts'

export const whole = (value: number): string => Math.round(value).toLocaleString('en')
export const fixed = (digits: number) => (value: number): string => value.toFixed(digits)

export function cell(values: readonly number[], show: (value: number) => string): string {
  const { median, least, most } = spread(values)
  return `${show(median)} (${show(least)}-${show(most)})`
}

export const table = (head: readonly string[], rows: readonly (readonly string[])[]): string =>
  [head, head.map(() => '---'), ...rows].map(row => `| ${row.join(' | ')} |`).join('\n')
