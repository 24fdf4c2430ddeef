// The tables: for people (Markdown) and for the next comparison (JSON).
import type { Provenance } from '../machine.ts'
import { mean, spread } from '../statistics.ts'
import { cell, fixed, table, whole } from '../table.ts'
import type { Measured } from './rounds.ts'
import type { Start } from './starts.ts'

export interface Report {
  readonly provenance: Provenance
  readonly rounds: number
  readonly seconds: number
  readonly storage: string
  readonly measured: readonly Measured[]
  readonly starts: readonly Start[]
}

export function markdown({ provenance, rounds, seconds, storage, measured, starts }: Report): string {
  const { machine, node, date, commit, command } = provenance
  const direct = measured.filter(({ delay }) => delay === 0)
  const delayed = measured.filter(({ delay }) => delay > 0)
  return `# Client and agent, against raw pkcs11js

- ${machine}
- Node ${node}, commit ${commit}, ${date}
- SoftHSM; ${storage}
- \`${command}\`

Medians of ${rounds} rounds (least-greatest), ${seconds} s each; in every round raw, through client and agent, raw, for every row of a table.
${[
    section('## A token that answers at once', direct, ['objects']),
    comparison(direct),
    section(`## A token that takes ${delayed[0]?.delay} ms more for each PKCS#11 call`, delayed, []),
    startSection(starts),
  ].filter(text => text !== '').map(text => `\n${text}\n`).join('')}`
}

function section(title: string, measured: readonly Measured[], extra: readonly 'objects'[]): string {
  if (measured.length === 0) return ''
  const head = ['workload', ...extra.map(() => 'resident objects'), 'threads', 'in flight', 'raw, operations/s', 'through the agent, operations/s', 'ratio']
  const rows = groups(measured).map(group => [...places(group, extra), ...rates(group)])
  const cpuHead = ['workload', ...extra.map(() => 'resident objects'), 'threads', 'raw', 'agent', 'client', 'other cores busy', 'load when a run began']
  const cpuRows = groups(measured).map(group => [...places(group, extra, false), ...cpus(group)])
  return `${title}

${table(head, rows)}

CPU microseconds an operation, and what else ran on the machine:

${table(cpuHead, cpuRows)}`
}

/** One row's rounds. */
type Group = readonly Measured[]

/** In the order in which they were first measured, those of a workload together. */
function groups(measured: readonly Measured[]): Group[] {
  const name = ({ workload, objects, threads, inFlight }: Measured): string => [workload, objects, threads, inFlight].join('/')
  const rows = distinct(measured.map(name)).map(row => measured.filter(one => name(one) === row))
  return distinct(measured.map(({ workload }) => workload)).flatMap(workload => rows.filter(([first]) => first?.workload === workload))
}

const distinct = <Value>(values: readonly Value[]): Value[] => [...new Set(values)]

function places([first]: Group, extra: readonly 'objects'[], inFlight = true): string[] {
  if (first === undefined) return []
  const here = first.through === null ? '' : String(first.inFlight)
  return [first.workload, ...extra.map(name => whole(first[name])), String(first.threads), ...(inFlight ? [here] : [])]
}

function rates(group: Group): string[] {
  const through = group.flatMap(one => one.through ?? [])
  return [
    cell(group.map(one => mean(one.raw.map(run => run.perSecond))), whole),
    through.length === 0 ? 'no verb yet' : cell(through.map(one => one.perSecond), whole),
    through.length === 0 ? '' : cell(group.flatMap(one => one.ratio ?? []), fixed(2)),
  ]
}

function cpus(group: Group): string[] {
  const through = group.flatMap(one => one.through ?? [])
  return [
    cell(group.map(one => mean(one.raw.map(run => run.cpu))), fixed(1)),
    ...(['agentCpu', 'clientCpu'] as const).map(name => through.length === 0 ? '' : cell(through.map(one => one[name]), fixed(1))),
    cell(group.map(one => one.otherCores), fixed(2)),
    cell(group.map(one => one.load), fixed(1)),
  ]
}

/** Signs need another mark between the least and the greatest than cell() has. */
function changed(percents: readonly number[]): string {
  const { median, least, most } = spread(percents)
  const signed = (value: number): string => `${value < 0 ? '−' : '+'}${Math.abs(value).toFixed(1)} %`
  return `${signed(median)} (${signed(least)} to ${signed(most)})`
}

/** What many resident objects do to a call: each round's rate through the agent as a share of the one with the fewest objects. */
function comparison(measured: readonly Measured[]): string {
  const fewest = Math.min(...measured.map(({ objects }) => objects))
  const rows = groups(measured.filter(one => one.objects !== fewest)).map(group => {
    const least = measured.filter(one => one.objects === fewest && one.workload === group[0]?.workload)
    const share = (of: (one: Measured) => number | undefined): string => {
      const shares = group.flatMap(one => {
        const [now, then] = [of(one), least.filter(({ round }) => round === one.round).map(of)[0]]
        return now === undefined || then === undefined ? [] : [100 * (now / then - 1)]
      })
      return shares.length === 0 ? '' : changed(shares)
    }
    return [group[0]?.workload ?? '', whole(group[0]?.objects ?? 0), share(one => one.through?.perSecond), share(one => mean(one.raw.map(run => run.perSecond))), share(one => one.through?.agentCpu)]
  })
  if (rows.length === 0) return ''
  return `What more objects change, against ${whole(fewest)} of the same round:\n\n${table(['workload', 'resident objects', 'rate through the agent', 'rate of raw', 'agent\'s CPU an operation'], rows)}`
}

function startSection(starts: readonly Start[]): string {
  if (starts.length === 0) return ''
  const rows = distinct(starts.map(({ objects }) => objects)).map(objects => {
    const group = starts.filter(one => one.objects === objects)
    return [whole(objects), cell(group.map(one => one.initialize), fixed(1)), ...(['ready', 'recovery'] as const).map(name => cell(group.map(one => one[name]), whole))]
  })
  return `## Starts, milliseconds

${table(['resident objects', 'C_Initialize', 'agent, spawn to ready', 'SIGKILL of the agent to the first answer'], rows)}`
}
