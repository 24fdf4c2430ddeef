// Requests by the thousand against a running Trent. A sample runs with all tests; `npm run fuzz -- --cases 1000000` runs as many as
// asked (build/fuzz.js). Every case follows from the seed and its index, see cases.ts.
import { randomInt } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { openPool } from '../../src/store/database.ts'
import { startTrent, type Trent } from '../support/gateway.ts'
import { counter } from '../support/metrics.ts'
import { memoryOf, watched, type Memory, type Watched } from './processes.ts'
import { strikeRecorded } from './records.ts'
import { run, type Report } from './run.ts'
import { canaryTags, makeWorld, type World } from './world.ts'

const { TRENT_TEST_FUZZ_CASES, TRENT_TEST_FUZZ_SEED, TRENT_TEST_FUZZ_CASE } = process.env
const alone = TRENT_TEST_FUZZ_CASE !== undefined
const cases = alone ? 1 : Number(TRENT_TEST_FUZZ_CASES ?? 6_000)
const seed = Number(TRENT_TEST_FUZZ_SEED ?? randomInt(2 ** 32))
const deadlineMs = 120_000 + cases * 3

let trent: Trent
let world: World
let processes: Watched
let report: Report
const memory: Memory[] = []

beforeAll(async () => {
  console.log(`fuzz: ${cases} cases of seed ${seed}${alone ? `, the one with index ${TRENT_TEST_FUZZ_CASE}` : ''}`)
  trent = await startTrent({ audit: {}, keys: { quota: 10_000_000 } })
  world = await makeWorld(trent.url, seed)
  processes = watched(trent)
  let said = performance.now()
  report = await run(world, {
    seed, first: Number(TRENT_TEST_FUZZ_CASE ?? 0), cases, connections: 32, verbose: alone,
    progress: done => {
      const now = memoryOf(processes)
      memory.push(now)
      if (performance.now() - said < 10_000) return
      said = performance.now()
      void Promise.all(['nodejs_heap_size_used_bytes', 'nodejs_external_memory_bytes'].map(name => counter(trent, name))).then(([heap = 0, external = 0]) => {
        console.log(`fuzz: ${done} cases; gateway ${megabytes(now.gateway)}, agent ${megabytes(now.agent)}; of all gateways and the primary heap ${megabytes(heap / 1024)}, outside it ${megabytes(external / 1024)}`)
      })
    },
  })
  const { requests, seconds, kinds, failures } = report
  console.log(`fuzz: seed ${seed}: ${report.cases} cases, ${requests} requests in ${seconds.toFixed(1)} s (${Math.round(report.cases / seconds)} cases/s), ${failures.length} failures`)
  if (cases > 10_000) console.log([...kinds].sort(([a], [b]) => a < b ? -1 : 1).map(([kind, count]) => `  ${count} × ${kind}`).join('\n'))
}, deadlineMs)

afterAll(() => trent.remove())

describe(`${cases} cases of seed ${seed}`, () => {
  it('are answered as they may be: no 5xx, no closed connection, no result for what is wrong', async () => {
    const log = (await trent.log()).split('\n')
    const said = (id: string | undefined): string => log.filter(line => id !== undefined && line.includes(id)).map(line => `--- log\n${line}\n`).join('')
    expect(report.failures.map(({ text, requestId }) => text + said(requestId)).join('\n')).toBe('')
    expect(report.cases).toBe(cases)
  })

  it('carry out nothing whose signature is wrong', async () => {
    expect(await canaryTags(world)).toEqual([])
  })

  it('leave every process as it was', async () => {
    expect(watched(trent)).toEqual(processes)
    expect(await counter(trent, 'hsm_agent_starts_total')).toBe(1)
    expect(await counter(trent, 'hsm_material_refused_total')).toBe(0)
    expect(await trent.log()).not.toMatch(/"level":(50|60)|uncaught|unhandled/i)
  })

  it('do not make memory grow', async () => {
    // The first tenth warms up: compiled code, caches, buffers of connections, unwrapped keys.
    const [warm, late] = [memory.slice(Math.ceil(memory.length / 10), Math.ceil(memory.length / 4)), memory.slice(Math.floor(memory.length * 0.9))]
    if (warm.length === 0 || late.length === 0) return
    const unwraps = await counter(trent, 'hsm_function_duration_seconds_count', /C_UnwrapKey/)
    const [gateway, agent] = (['gateway', 'agent'] as const).map(name => ({ from: median(warm.map(one => one[name])), to: median(late.map(one => one[name])) }))
    if (gateway === undefined || agent === undefined) throw new Error('nothing was measured')
    console.log(`fuzz: gateway ${megabytes(gateway.from)} → ${megabytes(gateway.to)}, agent ${megabytes(agent.from)} → ${megabytes(agent.to)}, ${unwraps} unwraps`)
    // V8 takes what it is allowed before it collects: a leak shows beyond that, in a run that is long enough.
    expect(gateway.to - gateway.from).toBeLessThan(96 * 1024)
    // SoftHSM loses 260 bytes with each session object.
    expect(agent.to - agent.from).toBeLessThan(16 * 1024 + unwraps * 0.26)
  })

  it('leave a record each', async () => {
    const pool = openPool(trent.databaseUrl)
    const missing = new Set(report.answered)
    const deadline = performance.now() + 20_000
    let others = await strikeRecorded(pool, missing)
    while (missing.size > 0 && performance.now() < deadline) {
      const wanted = new Set(report.answered)
      others = await strikeRecorded(pool, wanted)
      missing.clear()
      for (const id of wanted) missing.add(id)
    }
    await pool.end()
    expect([...missing].slice(0, 10)).toEqual([])
    console.log(`fuzz: ${report.answered.size} answers, all recorded; ${others} other records`)
    // Those that made the world, that asked the canary, and that nobody waited for.
    expect(others).toBeLessThanOrEqual(report.unseen + 200)
  }, 120_000)
})

const median = (values: readonly number[]): number => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0
const megabytes = (kilobytes: number): string => `${(kilobytes / 1024).toFixed(0)} MB`
