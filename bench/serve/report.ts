// The tables: for people (Markdown) and for the next comparison (JSON).
import type { Provenance } from '../machine.ts'
import { mean } from '../statistics.ts'
import { cell, fixed, table, whole } from '../table.ts'
import type { Measured, RawMeasured } from './rounds.ts'

export interface Report {
  readonly provenance: Provenance
  readonly processes: number
  readonly rounds: number
  readonly seconds: number
  readonly storage: string
  readonly measured: readonly Measured[]
  readonly raw: readonly RawMeasured[]
}

export function markdown(report: Report): string {
  const { measured, raw } = report
  const groups = [...new Set(measured.map(one => one.connections))].map(connections => measured.filter(one => one.connections === connections))
  const failures = measured.reduce((sum, one) => sum + one.trent.failures + one.bare[0].failures + one.bare[1].failures, 0)
  return `# Encrypt through Trent, against bare node:http

${about(report)}

Medians of ${report.rounds} rounds (least-greatest), ${report.seconds} s each; in every round bare, Trent, bare. Answers other than 2xx, and broken connections, in all runs: ${failures}.

${table(['connections', 'Trent, requests/s', 'bare, requests/s', 'ratio', 'Trent p50, ms', 'Trent p99, ms', 'bare p50, ms'], groups.map(rateRow))}

At 1 connection only the p50 says something: the rate is that of the machine's wake-ups.

CPU microseconds a request, and what else ran on the machine:

${table(['connections', 'gateway', 'of it main thread', 'agent', 'Postgres', 'wrk', 'other cores busy', 'load when a round began'], groups.map(cpuRow))}

Raw PKCS#11 on the same token, one thread: ${cell(raw.map(one => one.perSecond), whole)} operations/s at ${cell(raw.map(one => one.cpuMicroseconds), fixed(1))} µs of CPU.
`
}

export function about({ provenance, processes, storage }: Pick<Report, 'provenance' | 'processes' | 'storage'>): string {
  const { machine, node, date, commit, command } = provenance
  return [
    `- ${machine}`, `- Node ${node}, commit ${commit}, ${date}`, `- ${processes} gateway process${processes === 1 ? '' : 'es'}, 1 hsm-agent; ${storage}`, `- \`${command}\``,
  ].join('\n')
}

function rateRow(group: readonly Measured[]): string[] {
  const of = (value: (one: Measured) => number): number[] => group.map(value)
  return [
    String(group[0]?.connections),
    cell(of(one => one.trent.perSecond), whole),
    cell(of(one => mean(one.bare.map(run => run.perSecond))), whole),
    cell(of(one => one.ratio), fixed(2)),
    cell(of(one => one.trent.p50), fixed(2)),
    cell(of(one => one.trent.p99), fixed(2)),
    cell(of(one => mean(one.bare.map(run => run.p50))), fixed(2)),
  ]
}

function cpuRow(group: readonly Measured[]): string[] {
  const of = (value: (one: Measured) => number): number[] => group.map(value)
  return [
    String(group[0]?.connections),
    ...(['gateway', 'gatewayMainThread', 'agent', 'postgres', 'wrk'] as const).map(name => cell(of(one => one.cpu[name]), fixed(name === 'postgres' ? 1 : 0))),
    cell(of(one => one.otherCores), fixed(2)),
    cell(of(one => one.load), fixed(1)),
  ]
}
