import { mkdtempSync, rmSync } from 'node:fs'
import { createServer, type Server } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import { verbs, type Verb } from '../../src/hsm/agent/frames.ts'
import { Lane, laneOf, laneSizes, lanes, outstandingLimits, queueLimits, type LaneName } from '../../src/hsm/lane.ts'
import { until } from '../support/until.ts'

describe('laneOf', () => {
  const slowVerbs: readonly string[] = ['create', 'import']

  it.each(Object.keys(verbs) as Verb[])('%s of what is quick by its spec', verb => {
    for (const spec of ['SYMMETRIC_DEFAULT', 'HMAC_512', 'ECC_NIST_P521', 'RSA_2048']) expect(laneOf(verb, [spec])).toBe(slowVerbs.includes(verb) ? 'slow' : 'hot')
    expect(laneOf(verb, [])).toBe(slowVerbs.includes(verb) ? 'slow' : 'hot')
  })

  it.each(['RSA_3072', 'RSA_4096'])('everything with a key of %s is slow', spec => {
    for (const verb of ['sign', 'decrypt', 'derive', 'reencrypt'] as const) expect(laneOf(verb, ['SYMMETRIC_DEFAULT', spec])).toBe('slow')
  })
})

it('what is slow holds at most a quarter of the workers, and at least one', () => {
  for (let workers = 1; workers <= 64; workers++) {
    const { hot, slow } = laneSizes(workers)
    expect(hot).toBe(workers)
    expect(slow).toBeGreaterThanOrEqual(1)
    if (slow > 1) expect(slow / (hot + slow)).toBeLessThanOrEqual(1 / 4)
  }
})

describe('a queue before workers that do not come to it', () => {
  let directory: string
  let server: Server
  let lane: Lane
  afterEach(() => {
    lane.close()
    server.close()
    rmSync(directory, { recursive: true })
  })

  /** A lane whose one worker takes what it can and answers nothing, with one call more than that. */
  async function full(name: LaneName): Promise<{ readonly overdue: () => number; readonly waiting: { settled: boolean } }> {
    directory = mkdtempSync(join(tmpdir(), 'trent-lane-'))
    const path = join(directory, 'worker')
    server = createServer(socket => { socket.on('error', () => undefined).resume() }).listen(path)
    lane = new Lane(name)
    lane.use([path], 1)
    await until('a connection', () => lane.isOpen)
    let overdue = 0
    const waiter = { settled: false, left: () => undefined, overdue: () => { overdue++ } }
    const call = { verb: 'random' as const, fields: [], alone: false, answered: () => undefined }
    for (let i = 0; i <= outstandingLimits[name]; i++) expect(lane.send(call, waiter, 1_000)).toBe(true)
    return { overdue: () => overdue, waiting: waiter }
  }

  it.each(lanes)('of the %s lane gives a call up after a time of its own, and only one that waits', async name => {
    const { overdue } = await full(name)
    lane.sweep(1_000 + queueLimits[name] - 1)
    expect(overdue()).toBe(0)
    lane.sweep(1_000 + queueLimits[name])
    expect(overdue()).toBe(1)
  })

  it('does not count the time without a worker: that has an error of its own', async () => {
    const { overdue } = await full('hot')
    lane.use([], 2)
    lane.sweep(900_000)
    expect(overdue()).toBe(0)
    lane.use([join(directory, 'worker')], 3)
    await until('a connection', () => lane.isOpen)
    lane.sweep(900_001)
    expect(overdue()).toBe(0)
  })

  it('says nothing to a call that nobody waits for', async () => {
    const { overdue, waiting } = await full('hot')
    waiting.settled = true
    lane.sweep(900_000)
    expect(overdue()).toBe(0)
  })
})
