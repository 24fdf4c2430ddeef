// npm run bench:hsm -- [--rounds N] [--seconds N] [--objects 1,1000,20000] [--workers N] [--in-flight N] [--delay MS] [--delayed 1x1,8x8,16x64,32x64,64x64] [--token FOLDER] [--results FOLDER]
// How to read the results: bench/README.md.
import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { fileSystemOf, provenance } from '../machine.ts'
import { makeKeys, startAgent, type BenchKeys } from './agent.ts'
import { markdown, type Report } from './report.ts'
import { measureGroup, openSubject, type Measured, type Plan, type Setting, type Subject } from './rounds.ts'
import { measureStart, type Start } from './starts.ts'
import { delayedCopy, filledCopy, makeToken, removeToken, type BenchToken } from './token.ts'

const { values } = parseArgs({
  options: {
    'rounds': { type: 'string', default: '5' },
    'seconds': { type: 'string', default: '2' },
    'objects': { type: 'string', default: '1,1000,20000' },
    'workers': { type: 'string', default: '2' },
    'in-flight': { type: 'string', default: '64' },
    'delay': { type: 'string', default: '2' },
    'delayed': { type: 'string', default: '1x1,8x8,16x64,32x64,64x64' },
    'token': { type: 'string', default: existsSync('/dev/shm') ? '/dev/shm' : tmpdir() },
    'results': { type: 'string', default: join(import.meta.dirname, '../results') },
  },
})
const command = ['npm run bench:hsm', ...(process.argv.length > 2 ? ['--', ...process.argv.slice(2)] : [])].join(' ')
const numbers = (text: string): number[] => text.split(',').filter(word => word !== '').map(Number)
const plan: Plan = { rounds: Number(values.rounds), seconds: Number(values.seconds) }
const workers = Number(values.workers)

const say = (text: string): void => { process.stderr.write(`${text}\n`) }

interface Filled {
  readonly objects: number
  readonly token: BenchToken
}

/** The resident key of the run is the first of the objects. */
const ownObjects = 1

async function run(tokens: BenchToken[]): Promise<Report> {
  const keep = (token: BenchToken): BenchToken => {
    tokens.push(token)
    return token
  }
  const first = keep(await makeToken(values.token))
  const keys = await keysOn(first)
  const filled: Filled[] = []
  for (const objects of numbers(values.objects)) {
    filled.push({ objects, token: keep(await filledCopy(first, ownObjects, objects)) })
    say(`a token with ${objects} resident objects`)
  }
  const measured = await measureAll(filled.map(({ objects, token }) => ({ token, setting: { objects, delay: 0, threads: workers, inFlight: Number(values['in-flight']) } })), keys)
  const slow = keep(await delayedCopy(first))
  for (const [threads = 1, inFlight = threads] of values.delayed.split(',').filter(word => word !== '').map(pair => pair.split('x').map(Number))) {
    // One after the other: the delay is the token's, and an idle agent of 64 threads is not idle.
    measured.push(...await measureAll([{ token: slow, setting: { objects: ownObjects, delay: Number(values.delay), threads, inFlight } }], keys))
  }
  const starts: Start[] = []
  for (let round = 1; round <= plan.rounds; round++) {
    for (const { objects, token } of filled) starts.push(await measureStart(token, keys, { objects, round, workers }))
  }
  return { provenance: provenance(command, 'raw process, agent and client on the same cores'), ...plan, storage: `tokens on ${fileSystemOf(values.token)}`, measured, starts }
}

async function keysOn(token: BenchToken): Promise<BenchKeys> {
  const agent = await startAgent(token, 1)
  try {
    return await makeKeys(agent)
  } finally {
    await agent.stop()
  }
}

async function measureAll(given: readonly { token: BenchToken; setting: Setting }[], keys: BenchKeys): Promise<Measured[]> {
  const subjects: Subject[] = []
  try {
    for (const { token, setting } of given) subjects.push(await openSubject(token, setting, keys))
    return await measureGroup(subjects, keys, plan, say)
  } finally {
    for (const subject of subjects) await subject.stop()
  }
}

const tokens: BenchToken[] = []
try {
  const report = await run(tokens)
  mkdirSync(values.results, { recursive: true })
  writeFileSync(join(values.results, 'hsm.json'), `${JSON.stringify(report, undefined, 1)}\n`)
  writeFileSync(join(values.results, 'hsm.md'), markdown(report))
  process.stdout.write(`${markdown(report)}\n`)
} finally {
  tokens.forEach(removeToken)
}
