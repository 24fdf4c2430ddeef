// The metrics page of a running Trent.
import type { Trent } from './gateway.ts'

/** The sum of a counter over its labels, those that match. */
export async function counter({ privateUrl }: Trent, name: string, labels = /./): Promise<number> {
  const text = await (await fetch(`${privateUrl}/metrics`)).text()
  const lines = text.split('\n').filter(line => line.startsWith(`${name}{`) || line.startsWith(`${name} `)).filter(line => labels.test(line))
  return lines.reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' ') + 1)), 0)
}
