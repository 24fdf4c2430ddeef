// A token that fails in every way of fault-class.ts, under a steady load of an unmodified SDK at its default retries: no call fails, and
// whatever was encrypted opens to what it was.
import { rm } from 'node:fs/promises'
import { afterAll, afterEach, beforeAll, describe, expect, inject, it } from 'vitest'
import { ckr } from '../../src/hsm/agent/ckr.ts'
import { encodeContext } from '../../src/keys/context.ts'
import type { MaterialPlan } from '../../src/hsm/hsm.ts'
import { chaosToken, type ChaosToken, type Faults } from '../support/chaos.ts'
import { startTrent, type Trent } from '../support/gateway.ts'
import { newFolder, writeTokenFiles } from '../support/installation.ts'
import { steadyLoad } from '../support/load.ts'
import { agentOf, agentsOf, byAge, newPlan, openToken, poke, residentPlan, until, type TestToken } from '../support/token.ts'

let directory: string
let chaos: ChaosToken

beforeAll(async () => {
  directory = await newFolder('faults')
  await writeTokenFiles(directory, inject('installation').directory)
  chaos = await chaosToken(directory)
})
afterAll(() => rm(directory, { recursive: true, force: true }))
afterEach(() => { chaos.clear() })

describe('a steady load of Encrypt, GenerateDataKey and Decrypt', () => {
  let trent: Trent

  beforeAll(async () => {
    // A journal that takes the whole load, should the database be slow: it is not what is tried here.
    trent = await startTrent({ hsm: { tokens: [{ ...chaos.token, standby: true }] }, audit: { segmentBytes: 16_777_216, segments: 4 } })
  })
  afterAll(async () => { await trent.remove() })

  const pause = (milliseconds: number): Promise<void> => new Promise(resolve => setTimeout(resolve, milliseconds))

  /** Asks for the metrics all the while. */
  function scraping(): { stop(): Promise<{ readonly statuses: Set<number>; readonly slowest: number }> } {
    let running = true
    let slowest = 0
    const statuses = new Set<number>()
    const all = (async () => {
      while (running) {
        const begun = performance.now()
        const page = await fetch(`${trent.privateUrl}/metrics`)
        statuses.add(page.status)
        await page.text()
        slowest = Math.max(slowest, performance.now() - begun)
        await pause(50)
      }
    })()
    return {
      stop: async () => {
        running = false
        await all
        return { statuses, slowest }
      },
    }
  }

  /** The load before, under and after faults. Resolves to the milliseconds from the faults' end to the next answer. */
  async function loadUnder(disturb: () => Promise<void>): Promise<{ firstSuccess: number }> {
    const load = await steadyLoad(trent.url)
    const scrapes = scraping()
    const begun = (async () => {
      await until(() => load.roundTrips > 2 * load.lanes, 'round trips before the fault', 30_000)
      await disturb()
      chaos.clear()
      const cleared = performance.now()
      const { roundTrips } = load
      // One of each lane was under way at most: the next ones are whole.
      await until(() => load.roundTrips > roundTrips + 2 * load.lanes || load.failures.size > 0, 'round trips after the fault', 30_000)
      return cleared
    })()
    const cleared = await begun.finally(() => Promise.all([load.stop(), scrapes.stop()]))
    const { statuses, slowest } = await scrapes.stop()
    expect({ failures: [...load.failures], wrong: load.wrong, statuses: [...statuses] }).toEqual({ failures: [], wrong: 0, statuses: [200] })
    expect(slowest).toBeLessThan(3_000)
    return { firstSuccess: (load.answers.find(time => time > cleared) ?? Infinity) - cleared }
  }

  /** Less than a second to the first answer is the aim; a busy machine may take three for anything. */
  async function expectQuick(what: string, disturb: () => Promise<void>): Promise<void> {
    const times: number[] = []
    for (let i = 0; i < 3; i++) {
      await until(() => agentsOf(directory).length === 2, 'an agent that serves and one that stands by', 30_000)
      times.push((await loadUnder(disturb)).firstSuccess)
    }
    const [least = Infinity, median = Infinity] = times.sort((one, other) => one - other)
    console.log(`${what}: first answer after ${median.toFixed(0)} ms (median of three)`)
    expect(least).toBeLessThan(3_000)
  }

  /** The same faults again and again: each setting counts its `times` anew. */
  async function again(rounds: number, faults: () => Faults): Promise<void> {
    for (let round = 0; round < rounds; round++) {
      chaos.control(faults())
      await pause(100)
    }
  }

  const some = (value: number, times: number, ...calls: string[]): Faults =>
    ({ fail: Object.fromEntries(calls.map(call => [call, { ckr: value, probability: 0.5, times }])) })

  it('while a tenth of all calls fail with CKR_DEVICE_ERROR', async () => {
    const failing = ['C_GenerateRandom', 'C_EncryptInit', 'C_Encrypt', 'C_DecryptInit', 'C_Decrypt']
    await loadUnder(async () => {
      chaos.control({ fail: Object.fromEntries(failing.map(call => [call, { ckr: ckr.DEVICE_ERROR, probability: 0.1 }])) })
      await pause(4_000)
    })
  })

  it.each<[string, () => Faults]>([
    ['sessions are invalidated', () => some(ckr.SESSION_HANDLE_INVALID, 1, 'C_EncryptInit', 'C_DecryptInit', 'C_GenerateRandom')],
    ['operations are left active', () => some(ckr.OPERATION_ACTIVE, 2, 'C_EncryptInit', 'C_DecryptInit')],
    ['key handles go stale', () => some(ckr.KEY_HANDLE_INVALID, 2, 'C_EncryptInit', 'C_DecryptInit')],
    ['objects go away', () => some(ckr.OBJECT_HANDLE_INVALID, 2, 'C_EncryptInit', 'C_DecryptInit')],
    ['the device has no memory now and then', () => some(ckr.DEVICE_MEMORY, 6, 'C_Encrypt', 'C_Decrypt', 'C_GenerateRandom')],
    ['good ciphertexts meet CKR_GENERAL_ERROR', () => some(ckr.GENERAL_ERROR, 2, 'C_Decrypt')],
    ['good ciphertexts meet CKR_FUNCTION_FAILED', () => some(ckr.FUNCTION_FAILED, 2, 'C_Decrypt')],
    ['unwrapping meets CKR_GENERAL_ERROR', () => ({ fail: { C_UnwrapKey: { ckr: ckr.GENERAL_ERROR, times: 1 }, C_DecryptInit: { ckr: ckr.KEY_HANDLE_INVALID, times: 1 } } })],
  ])('while %s', async (_what, faults) => {
    const agents = byAge(directory)
    await loadUnder(() => again(8, faults))
    // None of these is a reason to replace the agent.
    expect(byAge(directory)).toEqual(agents)
  })

  const serving = (): number => byAge(directory)[0] ?? 0
  const end = (agent: number): Promise<void> => until(() => !agentsOf(directory).includes(agent), 'the end of the agent', 20_000)

  it.each(['C_EncryptInit', 'C_GenerateRandom'])('while the login is lost, as %s tells', async call => {
    await expectQuick(`the login is lost (${call})`, async () => {
      const agent = serving()
      chaos.control({ process: agent, fail: { [call]: { ckr: ckr.USER_NOT_LOGGED_IN } } })
      await end(agent)
    })
  })

  it('while the token is dead for whoever has it open, the agent that stands by too', async () => {
    await expectQuick('the token is dead until it is initialised anew', async () => {
      const agents = byAge(directory)
      chaos.control({ dead: ckr.DEVICE_REMOVED })
      for (const agent of agents) await end(agent)
    })
  })

  it('while the token is gone for a second', async () => {
    await expectQuick('the token is gone for a second', async () => {
      chaos.control({ fail: { '*': { ckr: ckr.DEVICE_ERROR } } })
      await pause(1_000)
    })
  })

  it('while the agent is killed', async () => {
    await expectQuick('the agent is killed', async () => {
      const agent = serving()
      process.kill(agent, 'SIGKILL')
      await end(agent)
    })
  })

  it('while the agent is recycled', async () => {
    await expectQuick('the agent is replaced in peace', async () => {
      const agent = serving()
      process.kill(agent, 'SIGTERM')
      await end(agent)
    })
  })

  it('and no call was put into quarantine by all this', async () => {
    const page = await (await fetch(`${trent.privateUrl}/metrics`)).text()
    expect(page).not.toMatch(/^hsm_quarantined_total\{.*\} [1-9]/m)
    expect(page).toMatch(/^hsm_agent_starts_total\{[^}]*reason="standby"[^}]*\} /m)
    expect(await trent.log()).not.toContain('ALARM')
  })
})

describe('without an SDK that tries again', () => {
  const context = encodeContext(undefined)
  let token: TestToken

  beforeAll(async () => {
    token = await openToken({ token: { serial: undefined, libraryParameters: undefined, ...chaos.token } })
  })
  afterAll(() => token.remove())

  async function objects(): Promise<number> {
    return (await poke<unknown[]>(directory, 'objects')).length
  }

  async function expectOneKey(plan: MaterialPlan, make: () => Promise<void>): Promise<void> {
    const before = await objects()
    await make()
    expect(await objects()).toBe(before + (plan.residency === 'resident' ? 1 : 0))
    if (plan.residency === 'resident') expect(await poke(directory, 'count', { id: plan.ckaId.toString('hex') })).toBe(1)
  }

  it('a key whose handle goes stale twice under one call is opened anew each time', async () => {
    const key = await token.client.create(newPlan(), false)
    chaos.control({ fail: { C_EncryptInit: { ckr: ckr.KEY_HANDLE_INVALID, times: 2 } } })
    const blob = await token.client.encrypt(key, context, Buffer.from('hello'))
    expect((await token.client.decrypt(key, context, blob)).toString()).toBe('hello')
  })

  it('a key whose handle is always stale is an error in the end', async () => {
    const key = await token.client.create(newPlan(), false)
    chaos.control({ fail: { C_EncryptInit: { ckr: ckr.KEY_HANDLE_INVALID } } })
    await expect(token.client.encrypt(key, context, Buffer.from('hello'))).rejects.toMatchObject({ name: 'HsmUnavailable', reason: 'unavailable', message: 'the hsm-agent answered needRow' })
  })

  // One fault; as many as one worker tries; one more, so that another worker goes on with what the first has begun.
  const counts = [1, 3, 4]
  const cases = (['wrapped', 'resident'] as const).flatMap(residency =>
    ['C_GenerateKey', 'C_Sign', ...(residency === 'wrapped' ? ['C_WrapKey'] : [])].flatMap(call => counts.map(count => [residency, call, count] as const)))

  it.each(cases)('a key that is made is one, %s, behind %s that fails (%i times)', async (residency, call, times) => {
    const plan = residency === 'wrapped' ? newPlan() : residentPlan()
    await expectOneKey(plan, async () => {
      chaos.control({ fail: { [call]: { ckr: ckr.DEVICE_ERROR, times } } })
      const key = await token.client.create(plan, false)
      chaos.clear()
      const blob = await token.client.encrypt(key, context, Buffer.from('hello'))
      expect((await token.client.decrypt(key, context, blob)).toString()).toBe('hello')
    })
    expect(token.starts).toEqual(['first'])
  })

  it('a key that is made is one, resident, when the agent is lost after the object was made', async () => {
    const plan = residentPlan()
    await expectOneKey(plan, async () => {
      chaos.control({ process: agentOf(directory), fail: { C_Sign: { ckr: ckr.USER_NOT_LOGGED_IN } } })
      const key = await token.client.create(plan, false)
      const blob = await token.client.encrypt(key, context, Buffer.from('hello'))
      expect((await token.client.decrypt(key, context, blob)).toString()).toBe('hello')
    })
    expect(token.starts).toEqual(['first', 'sick'])
  })
})
