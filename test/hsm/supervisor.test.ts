import { ChildProcess } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import type { AgentProcess } from '../../src/hsm/agent-process.ts'
import type { AgentReady, FatalCode, FromAgent, ToAgent } from '../../src/hsm/agent/control.ts'
import { callLimit } from '../../src/hsm/calls.ts'
import * as login from '../../src/hsm/login.ts'
import { AgentSupervisor, usualLimits, type StartReason, type SupervisorOptions } from '../../src/hsm/supervisor.ts'
import { freeLogins } from '../support/logins.ts'

/** Milliseconds for the end of an agent, the start of another and the call itself, on a busy machine. */
const replacement = 2_000
const { silence, deadlines } = usualLimits

it.each([
  { what: 'a hot call that hangs in a worker', limit: deadlines.hot, verb: 'encrypt' },
  { what: 'a key that hangs while it is made', limit: deadlines.unhurried, verb: 'create' },
  { what: 'an unwrap that hangs in the main thread', limit: silence, verb: 'encrypt' },
] as const)('$what ends its agent early enough for the replacement to serve the call', ({ limit, verb }) => {
  expect(limit + replacement).toBeLessThanOrEqual(callLimit(verb))
})

describe('an agent that is replaced', () => {
  const ready: AgentReady = { type: 'ready', serial: '1', model: 'm', library: 'l', fingerprint: 'f', templateEnforced: true, workers: { hot: 2, slow: 1 }, capabilities: [], makes: null }
  const token = { label: 'fake', serial: undefined, library: '/l.so', libraryParameters: undefined, profile: 'softhsm', pinFile: '/pin', env: {}, workers: 2, standby: false, pinVersion: 1 }

  /** An agent that is played by the test: it has a process id once it runs. */
  class PlayedAgent {
    readonly child = new ChildProcess()
    readonly told: ToAgent[] = []
    readonly signals: string[] = []
    readonly process: AgentProcess = { child: this.child, send: message => { this.told.push(message) } }
    readonly say: (message: FromAgent) => void

    constructor(hear: (message: FromAgent) => void) {
      this.say = hear
      // A ChildProcess that was not spawned signals process 0, which is the whole group of the test run.
      this.child.kill = signal => {
        this.signals.push(this.child.pid === undefined ? 'to nobody' : String(signal))
        return true
      }
    }

    run(): this {
      Object.assign(this.child, { pid: 4711 })
      return this
    }

    /** Whether it was told to leave in peace. */
    get drains(): boolean {
      return this.told.some(({ type }) => type === 'drain')
    }

    die(): void {
      this.child.emit('exit', null, 'SIGKILL')
    }
  }

  let directory: string
  let agents: PlayedAgent[]
  let addresses: (number | null)[]
  let logged: string[]
  /** What stands in the way of the next starts: undefined for nothing. */
  let causes: (Error | undefined)[]
  let started: StartReason[]
  let supervisor: AgentSupervisor

  beforeEach(() => { supervise({}) })
  afterEach(() => {
    vi.useRealTimers()
    rmSync(directory, { recursive: true })
  })

  function supervise(changes: Partial<SupervisorOptions>): void {
    vi.useFakeTimers()
    directory = mkdtempSync(join(tmpdir(), 'trent-supervisor-'))
    agents = []
    addresses = []
    logged = []
    causes = []
    started = []
    supervisor = new AgentSupervisor({
      token, logins: freeLogins('1234', login), domain: { id: '00', version: 1 }, directory, started: reason => { started.push(reason) },
      changed: address => { addresses.push(address?.generation ?? null) },
      log: (_level, message) => { logged.push(message) },
      spawn: (_token, hear) => {
        const cause = causes.shift()
        if (cause !== undefined) throw cause
        const agent = new PlayedAgent(hear)
        agents.push(agent)
        return agent.process
      },
      ...changes,
    })
  }

  const last = (): PlayedAgent => {
    const agent = agents.at(-1)
    if (agent === undefined) throw new Error('no agent was started')
    return agent
  }

  async function serving(): Promise<PlayedAgent> {
    const started = supervisor.start()
    last().run().say(ready)
    await started
    return last()
  }

  it('is tried again when the system cannot start another, until it can', async () => {
    const first = await serving()
    causes = [Object.assign(new Error('spawn ENOMEM'), { code: 'ENOMEM' })]
    first.die()
    await vi.advanceTimersByTimeAsync(usualLimits.backOffMost)
    // The second attempt failed in spawn() itself; the third has no process either, which Node tells by an event.
    expect(agents).toHaveLength(2)
    last().child.emit('error', new Error('spawn node EAGAIN'))
    await vi.advanceTimersByTimeAsync(usualLimits.backOffMost)
    expect(agents).toHaveLength(3)
    last().run().say(ready)
    expect(addresses).toEqual([1, null, 4])
    expect(logged).toEqual(['the hsm-agent cannot be started', 'the hsm-agent cannot be started'])
  })

  it('is not replaced for an error about a process that runs', async () => {
    const agent = await serving()
    agent.child.emit('error', new Error('kill EPERM'))
    await vi.advanceTimersByTimeAsync(usualLimits.backOffMost)
    expect(agents).toHaveLength(1)
    expect(addresses).toEqual([1])
  })

  it('ends the first start when it cannot be started', async () => {
    const started = supervisor.start()
    last().child.emit('error', new Error('spawn node ENOENT'))
    await expect(started).rejects.toThrow('the hsm-agent for token \'fake\' ended before it served (spawn node ENOENT)')
    await vi.advanceTimersByTimeAsync(usualLimits.backOffMost)
    expect(agents).toHaveLength(1)
  })

  it('holds up no stop when it is just failing to start', async () => {
    (await serving()).die()
    await vi.advanceTimersByTimeAsync(0)
    const stopped = supervisor.stop()
    last().child.emit('error', new Error('spawn node EAGAIN'))
    await stopped
    await vi.advanceTimersByTimeAsync(usualLimits.backOffMost)
    expect(agents).toHaveLength(2)
  })

  async function endAgainBecause(code: FatalCode, order: 'said, then ended' | 'ended, then said'): Promise<void> {
    (await serving()).die()
    await vi.advanceTimersByTimeAsync(0)
    const second = last().run()
    const steps = [() => { second.say({ type: 'fatal', code, message: 'why' }) }, () => { second.die() }]
    for (const step of order === 'said, then ended' ? steps : steps.reverse()) step()
    await vi.advanceTimersByTimeAsync(2 * usualLimits.backOffMost)
  }

  it.each(['said, then ended', 'ended, then said'] as const)('is tried again when its token does not show the domain: it may be syncing (%s)', async order => {
    await endAgainBecause('domain', order)
    expect(agents).toHaveLength(3)
  })

  it.each(['said, then ended', 'ended, then said'] as const)('is not tried again when its token refuses the PIN (%s)', async order => {
    await endAgainBecause('pin', order)
    expect(agents).toHaveLength(2)
  })

  it('has no address after its end, though it said just before that it serves', async () => {
    const first = await serving()
    first.die()
    await vi.advanceTimersByTimeAsync(0)
    const second = last().run()
    second.die()
    second.say(ready)
    expect(addresses).toEqual([1, null])
    expect(supervisor.address).toBeNull()
    // The next start, and no watch over the one that ended.
    expect(vi.getTimerCount()).toBe(1)
  })

  describe('that has another standing by', () => {
    const soon = (): Promise<unknown> => vi.advanceTimersByTimeAsync(0)

    async function withStandby(): Promise<{ readonly first: PlayedAgent; readonly second: PlayedAgent }> {
      rmSync(directory, { recursive: true })
      supervise({ standby: true })
      const first = await serving()
      await soon()
      const second = last().run()
      second.say(ready)
      await soon()
      expect({ addresses, started, agents: agents.length }).toEqual({ addresses: [1], started: ['first', 'standby'], agents: 2 })
      return { first, second }
    }

    it('hands over at its end, with no moment between, and a third stands by', async () => {
      const { first } = await withStandby()
      first.die()
      expect(addresses).toEqual([1, 2])
      await soon()
      expect(started).toEqual(['first', 'standby', 'exit'])
      expect(supervisor.standsBy).toBe(false)
      last().run().say(ready)
      expect(supervisor.standsBy).toBe(true)
      expect(addresses).toEqual([1, 2])
    })

    it.each<[FromAgent, StartReason]>([
      [{ type: 'overrun', worker: 0, deadlineClass: 'hot' }, 'overrun'],
      [{ type: 'sick', reason: 'why' }, 'sick'],
      [{ type: 'asked' }, 'asked'],
      [{ type: 'alive', rssBytes: 2 ** 40, unwraps: 0 }, 'recycle'],
      [{ type: 'alive', rssBytes: 0, unwraps: 2 ** 40 }, 'recycle'],
    ])('hands over at once, and is told to leave, on %o', async (said, reason) => {
      const { first } = await withStandby()
      first.say({ type: 'alive', rssBytes: 0, unwraps: 0 })
      first.say(said)
      expect(addresses).toEqual([1, 2])
      expect(first.drains).toBe(true)
      await soon()
      expect(started).toEqual(['first', 'standby', reason])
      // Its end is no news.
      first.die()
      await soon()
      expect(addresses).toEqual([1, 2])
      expect(agents).toHaveLength(3)
    })

    it('hands over to one that is just starting, as soon as that one is ready', async () => {
      const { first, second } = await withStandby()
      second.die()
      await soon()
      const third = last().run()
      first.die()
      await soon()
      expect(addresses).toEqual([1, null])
      expect(agents).toHaveLength(3)
      third.say(ready)
      expect(addresses).toEqual([1, null, 3])
    })

    it('does not wait for the next try of a standby that cannot be started', async () => {
      const { first, second } = await withStandby()
      second.die()
      await soon()
      for (let failures = 0; failures < 8; failures++) {
        last().run().die()
        first.say({ type: 'alive', rssBytes: 0, unwraps: 0 })
        await vi.advanceTimersByTimeAsync(usualLimits.backOffMost)
      }
      const before = agents.length
      last().die()
      first.die()
      await soon()
      expect(agents).toHaveLength(before + 1)
    })

    it('serves on when the token refuses the PIN to the next: nothing is tried again', async () => {
      const { second } = await withStandby()
      second.die()
      await soon()
      last().run().say({ type: 'fatal', code: 'pin', message: 'why' })
      last().die()
      // Many times the first interval, and the one that serves is not silent yet.
      await vi.advanceTimersByTimeAsync(usualLimits.silence - 1)
      expect(agents).toHaveLength(3)
      expect(addresses).toEqual([1])
    })
  })

  it('serves on until its successor does when it could, and is told to leave then', async () => {
    const first = await serving()
    first.say({ type: 'asked' })
    await vi.advanceTimersByTimeAsync(0)
    expect({ addresses, drains: first.drains }).toEqual({ addresses: [1], drains: false })
    last().run().die()
    await vi.advanceTimersByTimeAsync(usualLimits.backOffMost)
    expect({ addresses, drains: first.drains }).toEqual({ addresses: [1], drains: false })
    last().run().say(ready)
    expect({ addresses, drains: first.drains }).toEqual({ addresses: [1, 3], drains: true })
    expect(started).toEqual(['first', 'asked', 'asked'])
  })

  it('is succeeded only after its end where none stands by: logins may be counted', async () => {
    const first = await serving()
    first.say({ type: 'overrun', worker: 0, deadlineClass: 'hot' })
    await vi.advanceTimersByTimeAsync(100)
    expect({ addresses, agents: agents.length }).toEqual({ addresses: [1, null], agents: 1 })
    first.die()
    await vi.advanceTimersByTimeAsync(0)
    expect(started).toEqual(['first', 'overrun'])
  })

  it('is sent no signal while it has no process id: that would be for the whole group of this process', async () => {
    const first = await serving()
    first.die()
    await vi.advanceTimersByTimeAsync(0)
    const second = last()
    const stopped = supervisor.stop()
    await vi.advanceTimersByTimeAsync(2 * usualLimits.start)
    expect(second.signals).toEqual([])
    second.child.emit('error', new Error('spawn node EAGAIN'))
    await stopped
  })

  it('is killed when it says nothing', async () => {
    const start = supervisor.start()
    last().run()
    await vi.advanceTimersByTimeAsync(usualLimits.start)
    expect(last().signals).toEqual(['SIGKILL'])
    last().die()
    await expect(start).rejects.toThrow('ended before it served')
  })

  it('listens on no more sockets than it says', async () => {
    const start = supervisor.start()
    last().run().say({ ...ready, workers: { hot: 1, slow: 1 } })
    await start
    expect(supervisor.address?.sockets.hot).toHaveLength(1)
    expect(logged).toEqual(['the token has fewer sessions than hsm.tokens.workers asks for'])
  })
})
