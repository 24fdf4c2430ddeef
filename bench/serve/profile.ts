// Where the gateway's CPU goes: one gateway process under node's sampling profiler, its samples folded by the steps of serve.ts.
import { mkdirSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fold, foreign, steps, type CpuProfile, type Folded } from './fold.ts'
import { firstAnswer, measureTrent, writeScript, type CpuShares } from './rounds.ts'
import type { Provenance } from '../machine.ts'
import { table } from '../table.ts'
import { about } from './report.ts'
import { serve, type Installation } from './trent.ts'

export interface Profiled {
  readonly connections: number
  readonly perSecond: number
  /** Microseconds a request, measured with the profiler on: only shares are taken from it. */
  readonly cpu: CpuShares
  /** Cores used meanwhile by what is neither Trent nor wrk. */
  readonly otherCores: number
  readonly folded: Folded
}

const samplingMicroseconds = 250
/** What the just-in-time compiler needs before the figures stand still. */
const warmSeconds = 3

export async function profile(installation: Installation, connections: readonly number[], seconds: number): Promise<Profiled[]> {
  const directory = join(installation.directory, 'profiles')
  mkdirSync(directory)
  const trent = await serve(installation, {
    processes: 1, nodeOptions: ['--cpu-prof', '--cpu-prof-dir', directory, '--cpu-prof-interval', String(samplingMicroseconds)],
  })
  const windows: { connections: number; from: number; to: number; perSecond: number; cpu: CpuShares; otherCores: number }[] = []
  try {
    await firstAnswer(installation)
    await measureTrent({ installation, trent }, writeScript(installation), 16, warmSeconds)
    for (const count of connections) {
      const from = monotonic()
      const { result, cpu, otherCores } = await measureTrent({ installation, trent }, writeScript(installation), count, seconds)
      if (result.failures > 0) throw new Error(`${result.failures} answers at ${count} connections were no answers`)
      windows.push({ connections: count, from, to: monotonic(), perSecond: result.perSecond, cpu, otherCores })
    }
  } finally {
    await trent.stop()
  }
  const file = readdirSync(directory).find(name => name.includes(`.${trent.gateways[0]}.`))
  if (file === undefined) throw new Error('the gateway left no profile')
  const taken = JSON.parse(readFileSync(join(directory, file), 'utf8')) as CpuProfile
  return windows.map(({ from, to, ...window }) => ({ ...window, folded: fold(taken, from, to) }))
}

const monotonic = (): number => Number(process.hrtime.bigint() / 1000n)

export function profileMarkdown(profiled: readonly Profiled[], from: { provenance: Provenance; storage: string }): string {
  return `# Where the gateway's CPU goes

${about({ ...from, processes: 1 })}

Microseconds of CPU a request, and the share of the whole gateway process. Sampled every ${samplingMicroseconds} µs with node's profiler running, which makes everything
somewhat slower than in serve.md. Each sample belongs to the innermost frame of Trent's own code.

${table(['step', ...profiled.flatMap(one => [`${one.connections} connections, µs`, 'share'])], rowsOf(profiled))}

${profiled.map(functionsOf).join('\n\n')}
`
}

function rowsOf(profiled: readonly Profiled[]): string[][] {
  const row = (name: string, value: (one: Profiled) => number): string[] =>
    [name, ...profiled.flatMap(one => [value(one).toFixed(1), `${(100 * value(one) / one.cpu.gateway).toFixed(1)} %`])]
  const present = steps.filter(step => profiled.some(one => (one.folded.bySteps.get(step) ?? 0) > 0))
  return [
    ...present.filter(step => !foreign.has(step)).map(step => row(step, one => each(one, one.folded.bySteps.get(step)))),
    ...present.filter(step => foreign.has(step)).map(step => row(`*${step}*`, one => each(one, one.folded.bySteps.get(step)))),
    row('*other threads: libuv pool (journal writes, gzip), V8 helpers*', one => one.cpu.gateway - one.cpu.gatewayMainThread),
    row('**the gateway**', one => one.cpu.gateway),
  ]
}

const each = ({ folded, cpu }: Profiled, microseconds = 0): number => microseconds / folded.busy * cpu.gatewayMainThread

const functionsShown = 40

function functionsOf(one: Profiled): string {
  const ranked = [...one.folded.byFunctions].sort(([, a], [, b]) => b - a).slice(0, functionsShown)
  return `At ${one.connections} connections (${Math.round(one.perSecond).toLocaleString('en')} requests/s under the profiler, ${one.otherCores.toFixed(2)} cores busy with other things), by function:

${table(['function', 'µs'], ranked.map(([name, microseconds]) => [name.replaceAll('|', '\\|'), each(one, microseconds).toFixed(2)]))}`
}
