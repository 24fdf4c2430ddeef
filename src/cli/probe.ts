// `trent hsm probe`: what a token can do, tried out. Needs the database only for the login: it knows whether there may be one.
import type { Command } from 'commander'
import type { TokenConfig } from '../config.ts'
import { capabilityTitles, outcomeWords, summaryOf, type Capability } from '../hsm/agent/capability.ts'
import type { ProbeReport } from '../hsm/agent/control.ts'
import { chooseToken, tokenOption } from './choose-token.ts'
import { configured, readConfig, withDatabase } from './configured.ts'
import { runTokenJob } from './token-job.ts'

/** One for each worker, one for what is slow; see supervisor.ts. */
const sessionsOf = (token: TokenConfig): number => token.workers + 1

interface ProbeOptions {
  readonly config?: string
  readonly token?: string
  readonly json?: true
  readonly markdown?: true
}

export const probeCommand = (): Command =>
  configured('probe', 'Try out what a token can do, by known answers; leaves nothing on it')
    .addOption(tokenOption())
    .option('--json', 'as JSON')
    .option('--markdown', 'as the tables of hsm/capabilities/')
    .action(async (options: ProbeOptions) => {
      const config = readConfig(options)
      const token = chooseToken(config, options.token)
      const report = await withDatabase(config, pool => runTokenJob<ProbeReport>({ config, pool, token }, { type: 'probe', extent: 'whole', sessions: sessionsOf(token) }))
      process.stdout.write(options.json === true ? `${JSON.stringify(report, null, 2)}\n` : options.markdown === true ? probeMarkdown(report) : probeTable(token.label, report))
    })

const sizes = { free: 'free', total: 'in all' } as const

/** What the token tells of its memory, or that it does not. */
function memoryOf({ usage }: ProbeReport): string {
  const told = Object.entries({ public: usage?.publicMemory, private: usage?.privateMemory }).flatMap(([memory, figures]) =>
    Object.entries(sizes).map(([name, word]) => ({ memory, word, bytes: figures?.[name as keyof typeof sizes] ?? null })))
    .filter(({ bytes }) => bytes !== null).map(({ memory, word, bytes }) => `${memory} ${bytes ?? 0} bytes ${word}`)
  return told.length === 0 ? 'not told' : told.join(', ')
}

const rowOf = ({ name, outcome, detail, milliseconds }: Capability): string[] => [name, outcomeWords[outcome], milliseconds.toFixed(1), detail === '' ? capabilityTitles[name] : `${capabilityTitles[name]} (${detail})`]

/** For a terminal: columns, and below them what they come to. */
export function probeTable(label: string, report: ProbeReport): string {
  const rows = [['CAPABILITY', 'OUTCOME', 'MS', 'WHAT'], ...report.capabilities.map(rowOf)]
  const widths = [0, 1, 2].map(column => Math.max(...rows.map(row => row[column]?.length ?? 0)))
  const line = ([name = '', outcome = '', milliseconds = '', what = '']: string[]): string =>
    [name.padEnd(widths[0] ?? 0), outcome.padEnd(widths[1] ?? 0), milliseconds.padStart(widths[2] ?? 0), what].join('  ')
  return [
    `Token '${label}': ${report.manufacturer} ${report.model}, serial ${report.serial}, profile ${report.profile}, library ${report.library}, firmware ${report.firmware}`,
    `Memory: ${memoryOf(report)}`, '', ...rows.map(line), '', summaryOf(report.capabilities), ...keyLines(report), '',
  ].join('\n')
}

function keyLines({ makes }: ProbeReport): string[] {
  if (makes === null) return []
  const residentOnly = makes.resident.filter(key => !makes.wrapped.includes(key))
  return [`Keys, wrapped or resident: ${makes.wrapped.join(', ') || 'none'}`, ...(residentOnly.length === 0 ? [] : [`Keys, resident only: ${residentOnly.join(', ')}`])]
}

/** A page of hsm/capabilities/: without what differs from one run or machine to the next. */
export function probeMarkdown(report: ProbeReport): string {
  const cell = (text: string): string => text.replaceAll('|', '\\|')
  return [
    `# ${report.manufacturer} ${report.model}`, '', `Profile \`${report.profile}\`, library ${report.library}. Made by \`trent hsm probe --markdown\`; a test compares it with what the token of its run answers.`, '',
    '| Capability | Outcome | What | Found |', '| --- | --- | --- | --- |',
    ...report.capabilities.map(({ name, outcome, detail }) => `| \`${name}\` | ${outcomeWords[outcome]} | ${cell(capabilityTitles[name])} | ${cell(detail)} |`),
    '', summaryOf(report.capabilities), '', ...keyLines(report).flatMap(line => [line, '']),
  ].join('\n')
}
