// Two tokens of one domain under a steady load: whatever becomes of the first, no call fails, and it serves again once it is well.
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { ckr } from '../../src/hsm/agent/ckr.ts'
import { chaosToken, type ChaosToken } from '../support/chaos.ts'
import { startTrentOn, type Trent } from '../support/gateway.ts'
import { pin } from '../support/installation.ts'
import { wrongPin } from '../support/latch-site.ts'
import { steadyLoad, type Load } from '../support/load.ts'
import { agentsOf, poke, until } from '../support/token.ts'
import { command, refusal } from '../support/command.ts'
import { ran, secondLabel, twoTokens, type TwoTokens } from '../support/two-tokens.ts'

let site: TwoTokens
let first: ChaosToken
let second: ChaosToken

beforeAll(async () => {
  site = await twoTokens()
  first = await chaosToken(site.directory)
  second = await chaosToken(site.secondDirectory)
})
afterEach(() => {
  first.clear()
  second.clear()
})
afterAll(async () => { await site.remove() })

const tokens = () => [first.token, { ...second.token, label: secondLabel }]
/** Its files are this test's, so its database too: only the processes are ended. */
const serve = (changed: object = {}): Promise<Trent> => startTrentOn(site.directory, { ...site.database, drop: () => Promise.resolve() }, {
  hsm: { tokens: tokens().map((token, index) => (index === 0 ? { ...token, ...changed } : token)) }, audit: { segmentBytes: 16_777_216, segments: 4 },
})

/** The sum of all samples of a metric with these labels. */
async function metric(trent: Trent, name: string, ...labels: string[]): Promise<number> {
  const page = await (await fetch(`${trent.privateUrl}/metrics`)).text()
  const samples = page.split('\n').filter(line => line.startsWith(`${name}{`) && labels.every(label => line.includes(label)))
  return samples.reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' ') + 1)), 0)
}
const calls = (trent: Trent, token: string): Promise<number> => metric(trent, 'hsm_function_duration_seconds_count', `token="${token}"`, 'function="C_Encrypt"')
const breaker = (trent: Trent): Promise<number> => metric(trent, 'hsm_breaker_open', 'token="trent-test"')

async function eventually(what: string, isSo: () => Promise<boolean>, milliseconds = 20_000): Promise<void> {
  const deadline = performance.now() + milliseconds
  while (!(await isSo())) {
    if (performance.now() > deadline) throw new Error(`not within ${milliseconds} ms: ${what}`)
    await new Promise(resolve => setTimeout(resolve, 50))
  }
}

describe('a first token that', () => {
  let trent: Trent
  let load: Load
  beforeAll(async () => {
    trent = await serve()
    load = await steadyLoad(trent.url)
    await until(() => load.roundTrips > 50, 'round trips before any fault')
    expect(await calls(trent, secondLabel), 'the second token only stands by').toBe(0)
  })
  afterAll(async () => {
    await load.stop()
    expect({ failures: [...load.failures], wrong: load.wrong }).toEqual({ failures: [], wrong: 0 })
    await trent.stop()
  })

  /** No call failed; the second token has served meanwhile; the first one serves again once it may. */
  async function holdsThrough(disturb: () => Promise<void>): Promise<void> {
    const secondBefore = await calls(trent, secondLabel)
    await disturb()
    expect(await calls(trent, secondLabel)).toBeGreaterThan(secondBefore)
    first.clear()
    const firstBefore = await calls(trent, 'trent-test')
    await eventually('the first token to serve again', async () => await calls(trent, 'trent-test') > firstBefore + 20)
    const { roundTrips } = load
    await until(() => load.roundTrips > roundTrips + 50, 'round trips after the fault')
    expect({ failures: [...load.failures], wrong: load.wrong }).toEqual({ failures: [], wrong: 0 })
  }

  it('hangs for 30 seconds: the second serves, and metrics are answered throughout', async () => {
    await holdsThrough(async () => {
      first.control({ hang: ['*'] })
      const end = performance.now() + 30_000
      while (performance.now() < end) {
        const before = load.answers.length
        await until(() => load.answers.length > before + 10, 'answers while the first token hangs')
        expect((await fetch(`${trent.privateUrl}/metrics`)).status).toBe(200)
      }
      expect((await fetch(`${trent.privateUrl}/readyz`)).status).toBe(200)
      expect(load.slowest, 'no call waited for the first token longer than its deadline and a start elsewhere').toBeLessThan(8_000)
    })
  }, 90_000)

  const roundTripsUnder = async (fail: Record<string, { ckr: number }>): Promise<void> => {
    first.control({ fail })
    const { roundTrips } = load
    await until(() => load.roundTrips > roundTrips + 100, 'round trips on the second token', 30_000)
  }

  it('answers every call with CKR_DEVICE_ERROR', async () => {
    await holdsThrough(() => roundTripsUnder({ '*': { ckr: ckr.DEVICE_ERROR } }))
  }, 60_000)

  it('refuses every use of a key while its agent is well: its breaker opens, and closes once a canary passes', async () => {
    await holdsThrough(async () => {
      await roundTripsUnder({ C_EncryptInit: { ckr: ckr.MECHANISM_INVALID }, C_DecryptInit: { ckr: ckr.MECHANISM_INVALID } })
      await eventually('the breaker to open', async () => await breaker(trent) > 0)
    })
    expect(await metric(trent, 'hsm_failovers_total', 'token="trent-test"')).toBeGreaterThan(0)
    await eventually('the breaker to close', async () => await breaker(trent) === 0)
  }, 60_000)

  it('loses its process again and again', async () => {
    await holdsThrough(async () => {
      for (let kill = 0; kill < 5; kill++) {
        for (const pid of agentsOf(site.directory)) process.kill(pid, 'SIGKILL')
        const { roundTrips } = load
        await until(() => load.roundTrips > roundTrips + 20, 'round trips between two deaths')
      }
    })
  }, 60_000)
})

describe('a token that is taken out', () => {
  it('gets no calls, is left by its agents, and serves again once it is given back; the last one stays', async () => {
    const trent = await serve()
    try {
      const load = await steadyLoad(trent.url)
      await until(() => load.roundTrips > 20, 'round trips on the first token')
      await ran('hsm', 'drain', 'trent-test', '--config', trent.config)
      expect(await command('hsm', 'drain', 'trent-test', '--config', trent.config)).toMatchObject(refusal('token \'trent-test\' is out already', 3))
      expect(await command('hsm', 'drain', secondLabel, '--config', trent.config)).toMatchObject({ code: 1, stderr: expect.stringContaining('is the last token that is in') as string })
      await eventually('the second token to serve', async () => await calls(trent, secondLabel) > 20)
      const before = await calls(trent, 'trent-test')
      await until(() => agentsOf(site.directory).length === 0, 'the agents to leave the token', 60_000)
      expect(await calls(trent, 'trent-test')).toBe(before)
      expect(await ran('hsm', 'status', '--config', trent.config)).toMatch(/token trent-test: out since .*\ntoken trent-second: in\n/)
      await ran('hsm', 'undrain', 'trent-test', '--config', trent.config)
      await eventually('the first token to serve again', async () => await calls(trent, 'trent-test') > before + 20)
      await load.stop()
      expect({ failures: [...load.failures], wrong: load.wrong }).toEqual({ failures: [], wrong: 0 })
    } finally {
      await trent.stop()
    }
  }, 120_000)
})

describe('a start', () => {
  it('serves on the second token while the first is not there, and takes it in once it is', async () => {
    first.control({ fail: { C_Login: { ckr: ckr.DEVICE_ERROR } } })
    const trent = await serve()
    try {
      expect(await (await fetch(`${trent.privateUrl}/readyz?verbose`)).json()).toMatchObject({
        ok: true, checks: { token: { ok: true, detail: expect.stringMatching(/^trent-test: out, the token 'trent-test' refuses the login \(CKR_DEVICE_ERROR\); trent-second: template enforced/) as string } },
      })
      const load = await steadyLoad(trent.url)
      await until(() => load.roundTrips > 20, 'round trips on the second token')
      first.clear()
      await eventually('the first token to serve', async () => await calls(trent, 'trent-test') > 0)
      await load.stop()
      expect({ failures: [...load.failures], wrong: load.wrong }).toEqual({ failures: [], wrong: 0 })
      expect(await trent.log()).toContain('"msg":"the token serves now"')
    } finally {
      await trent.stop()
    }
  }, 60_000)

  it('leaves the first token alone while it is latched, and takes it in once it is not', async () => {
    const pinFile = join(site.directory, 'another-pin')
    writeFileSync(pinFile, wrongPin, { mode: 0o600 })
    const trent = await serve({ pinFile })
    try {
      writeFileSync(pinFile, pin)
      await ran('hsm', 'unlatch', '--token', 'trent-test', '--serial', await poke<string>(site.directory, 'serial'), '--config', trent.config)
      const load = await steadyLoad(trent.url)
      await eventually('the first token to serve', async () => await calls(trent, 'trent-test') > 0)
      await load.stop()
      expect([...load.failures]).toEqual([])
      expect((await trent.log()).match(/"msg":"the token stays out"/g)).toHaveLength(1)
    } finally {
      await trent.stop()
    }
  }, 60_000)

  it('gives the first token up when it is taken out before it has opened', async () => {
    first.control({ hang: ['C_Login'] })
    const trent = await serve()
    try {
      await ran('hsm', 'drain', 'trent-test', '--config', trent.config)
      await eventually('the first token to be given up', async () => (await trent.log()).includes('"msg":"the token stays out"'))
      first.clear()
      // Longer than until the second try.
      await new Promise(resolve => setTimeout(resolve, 3_000))
      expect(agentsOf(site.directory)).toEqual([])
      await ran('hsm', 'undrain', 'trent-test', '--config', trent.config)
      await eventually('the first token to serve', async () => (await trent.log()).includes('"msg":"the token serves now"'))
    } finally {
      await trent.stop()
    }
  }, 60_000)
})
