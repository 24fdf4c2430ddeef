// npm run bench:serve -- [--rounds N] [--seconds N] [--bare-seconds N] [--connections 1,16,64] [--processes N] [--profile] [--data FOLDER] [--results FOLDER]
// How to read the results: bench/README.md.
import { mkdirSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { provenance } from '../machine.ts'
import { profile, profileMarkdown } from './profile.ts'
import { markdown, type Report } from './report.ts'
import { firstAnswer, measure, measureRaw, measureTrent, startBare, writeScript, type Measured, type Plan, type RawMeasured } from './rounds.ts'
import { install, serve, type Installation } from './trent.ts'
import { requireWrk } from './wrk.ts'

const { values } = parseArgs({
  options: {
    'rounds': { type: 'string', default: '5' },
    'seconds': { type: 'string', default: '5' },
    'bare-seconds': { type: 'string', default: '3' },
    'connections': { type: 'string' },
    'processes': { type: 'string', default: '1' },
    'profile': { type: 'boolean', default: false },
    'data': { type: 'string', default: tmpdir() },
    'results': { type: 'string', default: join(import.meta.dirname, '../results') },
  },
})
const command = ['npm run bench:serve', ...(process.argv.length > 2 ? ['--', ...process.argv.slice(2)] : [])].join(' ')
const beside = 'load generator on the same cores, loopback, no TLS'
const connections = (values.connections ?? (values.profile ? '16,64' : '1,16,64')).split(',').map(Number)
const processes = Number(values.processes)
const plan: Plan = { connections, rounds: Number(values.rounds), seconds: Number(values.seconds), bareSeconds: Number(values['bare-seconds']) }

const say = (text: string): void => { process.stderr.write(`${text}\n`) }

async function rounds(installation: Installation): Promise<Report> {
  const trent = await serve(installation, { processes })
  const bare = await startBare(await firstAnswer(installation))
  const measured: Measured[] = []
  const raw: RawMeasured[] = []
  try {
    // The just-in-time compiler's warm-up is nobody's steady state.
    await measureTrent({ installation, trent }, writeScript(installation), 16, 3)
    for (let round = 1; round <= plan.rounds; round++) {
      raw.push(await measureRaw(installation, round, plan.bareSeconds))
      for (const count of plan.connections) {
        const one = await measure({ installation, trent, bare }, count, round, plan)
        measured.push(one)
        say(`round ${round}, ${count} connections: ${Math.round(one.trent.perSecond)}/s, ratio ${one.ratio.toFixed(3)}, gateway ${one.cpu.gateway.toFixed(0)} µs, agent ${one.cpu.agent.toFixed(0)} µs, load ${one.load.toFixed(1)}, other ${one.otherCores.toFixed(2)}, failures ${one.trent.failures}`)
      }
    }
  } finally {
    bare.stop()
    await trent.stop()
  }
  return { provenance: provenance(command, beside), processes, rounds: plan.rounds, seconds: plan.seconds, storage: storageOf(installation), measured, raw }
}

const storageOf = ({ fileSystem }: Installation): string => `journal, Postgres and SoftHSM token on ${fileSystem}`

function write(name: string, text: string): void {
  mkdirSync(values.results, { recursive: true })
  writeFileSync(join(values.results, name), text)
  process.stdout.write(`${text}\n`)
}

requireWrk()
// The SDK of the first use has a notice about Node versions that is for who writes software.
process.env.AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED = 'true'
const installation = await install(values.data)
try {
  if (values.profile) {
    const profiled = await profile(installation, connections, plan.seconds)
    write('serve-profile.md', profileMarkdown(profiled, { provenance: provenance(command, beside), storage: storageOf(installation) }))
  } else {
    const report = await rounds(installation)
    writeResults(report)
    if (report.measured.some(one => one.trent.failures + one.bare[0].failures + one.bare[1].failures > 0)) process.exitCode = 1
  }
} finally {
  await installation.remove()
}

function writeResults(report: Report): void {
  write('serve.md', markdown(report))
  writeFileSync(join(values.results, 'serve.json'), `${JSON.stringify(report, undefined, 1)}\n`)
}
