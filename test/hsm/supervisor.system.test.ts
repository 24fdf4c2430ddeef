import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readdirSync, readFileSync, renameSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import type { SupervisorLimits, SupervisorOptions } from '../../src/hsm/supervisor.ts'
import { encodeContext } from '../../src/keys/context.ts'
import { pin } from '../support/installation.ts'
import { agentOf, agentsOf, newPlan, openToken, poke, residentPlan, until, type TestToken } from '../support/token.ts'

const open: TestToken[] = []
afterEach(async () => {
  for (const token of open.splice(0)) await token.remove()
})

async function opened(changes: Partial<SupervisorOptions> = {}): Promise<TestToken> {
  const token = await openToken(changes)
  open.push(token)
  return token
}

const kill = (token: TestToken, signal: NodeJS.Signals = 'SIGKILL'): number => {
  const pid = agentOf(token.directory)
  process.kill(pid, signal)
  return pid
}

/** Pulls the token out of its slot. Gives what puts it back. */
function takeAway({ directory }: TestToken): () => void {
  const [name = ''] = readdirSync(join(directory, 'tokens'))
  renameSync(join(directory, 'tokens', name), join(directory, 'away'))
  return () => { renameSync(join(directory, 'away'), join(directory, 'tokens', name)) }
}

const withLimits = (limits: Partial<SupervisorLimits>): Partial<SupervisorOptions> => ({ limits })

describe('an agent that dies', () => {
  it('is replaced at once, and no call under load sees it', async () => {
    const token = await opened()
    const material = await token.client.create(newPlan(), false)
    const context = encodeContext(undefined)
    let ending = false
    let served = 0
    const caller = async (): Promise<void> => {
      while (!ending) {
        const blob = await token.client.encrypt(material, context, Buffer.from('under load'))
        expect((await token.client.decrypt(material, context, blob)).toString()).toBe('under load')
        served++
      }
    }
    const callers = Array.from({ length: 40 }, caller)
    const all = Promise.all(callers)
    await until(() => served > 200, 'some load')
    for (const generation of [2, 3]) {
      const former = kill(token)
      const killed = performance.now()
      const before = served
      await until(() => token.supervisor.address?.generation === generation, 'another agent', 15_000)
      await until(() => served > before + 100, 'load served by the other agent', 15_000)
      // A tenth of a second where nothing else runs.
      expect(performance.now() - killed).toBeLessThan(15_000)
      expect(agentOf(token.directory)).not.toBe(former)
    }
    ending = true
    await all
    expect(token.starts).toEqual(['first', 'exit', 'exit'])
  })

  it('leaves its keys to the next one: wrapped and resident ones open what was encrypted before', async () => {
    const token = await opened()
    const context = encodeContext(undefined)
    const materials = [await token.client.create(newPlan(), false), await token.client.create(residentPlan(), false)]
    const blobs = await Promise.all(materials.map(material => token.client.encrypt(material, context, Buffer.from('before'))))
    kill(token)
    await until(() => token.supervisor.address?.generation === 2, 'another agent')
    for (const [i, material] of materials.entries()) expect((await token.client.decrypt(material, context, blobs[i] ?? Buffer.alloc(0))).toString()).toBe('before')
  })

  it('is started again at growing intervals while the token is away, and serves when it is back', async () => {
    const times: number[] = []
    const token = await opened({ ...withLimits({ backOffFirst: 100, backOffMost: 800 }), started: () => { times.push(performance.now()) } })
    const back = takeAway(token)
    kill(token)
    await until(() => times.length >= 6, 'six starts', 30_000)
    expect(token.supervisor.address).toBeNull()
    // The first replacement comes at once; each that follows a failed one waits 200, 400, 800, 800 ms, besides the attempt itself.
    const gaps = times.slice(2).map((time, i) => time - (times[i + 1] ?? 0))
    for (const [i, least] of [200, 400, 800, 800].entries()) expect(gaps[i]).toBeGreaterThan(least)
    expect(token.logged[0]).toBe(`hsm.tokens.label: ${token.config.library} has no token with label 'trent-test'`)
    back()
    await until(() => token.supervisor.address !== null, 'an agent that serves', 30_000)
    expect(await token.client.random(8)).toHaveLength(8)
  })

  it('is not started again when the token has refused the PIN: another attempt may lock it', async () => {
    const token = await opened(withLimits({ backOffFirst: 10, backOffMost: 10 }))
    expect(await poke(token.directory, 'setPin', { to: '11112222' })).toBe(0)
    kill(token)
    await until(() => token.logged.length > 0 && agentsOf(token.directory).length === 0, 'the end of the agent')
    expect(token.logged).toEqual(['the PIN is refused (CKR_PIN_INCORRECT)'])
    // An agent that ends later, of a token that takes the PIN, is replaced and serves: had this one been started again, it would have been before.
    const marker = await opened(withLimits({ backOffFirst: 10, backOffMost: 10 }))
    kill(marker)
    await until(() => marker.supervisor.address?.generation === 2, 'another agent of the other token')
    expect(token.starts).toEqual(['first', 'exit'])
    expect(token.supervisor.address).toBeNull()
  })

  it('is replaced when it falls silent', async () => {
    const token = await opened(withLimits({ silence: 1_000 }))
    const former = kill(token, 'SIGSTOP')
    await until(() => token.supervisor.address?.generation === 2, 'another agent', 20_000)
    expect(token.starts).toEqual(['first', 'silent'])
    expect(agentOf(token.directory)).not.toBe(former)
    expect(await token.client.random(8)).toHaveLength(8)
  })
})

describe('an agent', () => {
  it('does not end by the signals of a terminal: its parent decides', async () => {
    const token = await opened()
    const pid = agentOf(token.directory)
    for (const signal of ['SIGINT', 'SIGHUP'] as const) process.kill(pid, signal)
    for (let i = 0; i < 20; i++) await token.client.random(8)
    expect(agentOf(token.directory)).toBe(pid)
    expect(token.starts).toEqual(['first'])
  })

  it('has neither PIN nor database URL in its environment and arguments, and nothing else of its parent\'s', async () => {
    process.env.TRENT_DATABASE_URL = 'postgres://someone@example/trent'
    try {
      const token = await opened()
      const pid = agentOf(token.directory)
      const environment = readFileSync(`/proc/${pid}/environ`, 'utf8').split('\0').filter(line => line !== '')
      expect(environment.sort()).toEqual(['PATH=/usr/local/bin:/usr/bin:/bin', `SOFTHSM2_CONF=${join(token.directory, 'softhsm2.conf')}`])
      const words = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0').filter(word => word !== '')
      expect(words[0]).toBe('trent: hsm-agent trent-test')
      expect(words.slice(1)).toEqual([expect.stringMatching(/\/dist\/hsm\/agent\/main\.js$/)])
      expect([...environment, ...words].join('\n')).not.toContain(pin)
    } finally {
      delete process.env.TRENT_DATABASE_URL
    }
  })

  it('listens in a folder that nobody else may enter', async () => {
    const token = await opened()
    expect(statSync(join(token.directory, 'run')).mode & 0o777).toBe(0o700)
    const sockets = Object.values(token.supervisor.address?.sockets ?? {}).flat()
    // One for each worker of the setting and one for what is slow.
    expect(sockets).toHaveLength(3)
    for (const socket of sockets) {
      expect(statSync(socket).isSocket()).toBe(true)
      expect(statSync(socket).mode & 0o077).toBe(0)
    }
  })

  it('is gone when its parent is killed', async () => {
    const token = await opened()
    const { config, domain, directory } = token
    await token.supervisor.stop()
    const options = { token: config, pin, domain: { id: domain.id, version: domain.version }, directory: join(directory, 'other') }
    const parent = spawn(process.execPath, [join(import.meta.dirname, 'supervise.js'), JSON.stringify(options)], { stdio: ['ignore', 'pipe', 'inherit'] })
    await once(parent.stdout, 'data')
    expect(agentsOf(directory)).toHaveLength(1)
    parent.kill('SIGKILL')
    await once(parent, 'exit')
    await until(() => agentsOf(directory).length === 0, 'the end of the agent', 5_000)
  })
})

describe('stop', () => {
  it('leaves no process and no socket', async () => {
    const token = await opened()
    const sockets = Object.values(token.supervisor.address?.sockets ?? {}).flat()
    const pid = agentOf(token.directory)
    await token.supervisor.stop()
    expect(existsSync(`/proc/${pid}`)).toBe(false)
    expect(agentsOf(token.directory)).toEqual([])
    expect(sockets.filter(existsSync)).toEqual([])
    expect(token.supervisor.address).toBeNull()
    expect(token.starts).toEqual(['first'])
  })

  it('ends an agent that does not move any more', async () => {
    const token = await opened()
    kill(token, 'SIGSTOP')
    await token.supervisor.stop()
    expect(agentsOf(token.directory)).toEqual([])
  })

  it('starts none again that was about to be', async () => {
    const token = await opened(withLimits({ backOffFirst: 200, backOffMost: 200 }))
    takeAway(token)
    kill(token)
    await until(() => token.starts.length === 2 && token.logged.length === 1 && agentsOf(token.directory).length === 0, 'a failed start')
    await token.supervisor.stop()
    await new Promise(resolve => setTimeout(resolve, 1_000))
    expect(token.starts).toHaveLength(2)
  })
})
