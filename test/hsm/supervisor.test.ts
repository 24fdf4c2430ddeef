import { ChildProcess } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import type { AgentProcess } from '../../src/hsm/agent-process.ts'
import type { AgentReady, FatalCode, FromAgent } from '../../src/hsm/agent/control.ts'
import { callLimit } from '../../src/hsm/client.ts'
import { AgentSupervisor, usualLimits } from '../../src/hsm/supervisor.ts'

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
  const ready: AgentReady = { type: 'ready', serial: '1', model: 'm', library: 'l', fingerprint: 'f', templateEnforced: true, workers: { hot: 2, slow: 1 } }
  const token = { label: 'fake', serial: undefined, library: '/l.so', libraryParameters: undefined, profile: 'softhsm', pinFile: '/pin', env: {}, workers: 2, standby: false }

  /** An agent that is played by the test: it has a process id once it runs. */
  class PlayedAgent {
    readonly child = new ChildProcess()
    readonly process: AgentProcess = { child: this.child, send: () => undefined }
    readonly say: (message: FromAgent) => void

    constructor(hear: (message: FromAgent) => void) {
      this.say = hear
    }

    run(): this {
      Object.assign(this.child, { pid: 4711 })
      return this
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
  let supervisor: AgentSupervisor

  beforeEach(() => {
    vi.useFakeTimers()
    directory = mkdtempSync(join(tmpdir(), 'trent-supervisor-'))
    agents = []
    addresses = []
    logged = []
    causes = []
    supervisor = new AgentSupervisor({
      token, pin: '1234', domain: { id: '00', version: 1 }, directory, started: () => undefined,
      changed: address => { addresses.push(address?.generation ?? null) },
      log: (_level, message) => { logged.push(message) },
      spawn: (_token, hear) => {
        const cause = causes.shift()
        if (cause !== undefined) throw cause
        const agent = new PlayedAgent(hear)
        agents.push(agent)
        return agent.process
      },
    })
  })
  afterEach(() => {
    vi.useRealTimers()
    rmSync(directory, { recursive: true })
  })

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
})
