import { ChildProcess } from 'node:child_process'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import type { FromAgent, PinMessage } from '../../src/hsm/agent/control.ts'
import { attendLogin, LoginRefused, type Login, type Logins } from '../../src/hsm/login.ts'

const found: FromAgent = { type: 'found', serial: 'a1', pinState: 'usual', revealsPinState: true }

/** An agent that is played by the test, and a primary whose answers it gives. */
class Scene {
  readonly child = new ChildProcess()
  readonly killed = vi.spyOn(this.child, 'kill').mockReturnValue(true)
  readonly sent: PinMessage[] = []
  readonly heard: FromAgent[] = []
  readonly ended: string[] = []
  permit: (login: Login) => void = () => undefined
  refuse: (error: Error) => void = () => undefined
  readonly say: (message: FromAgent) => void

  constructor(logins: 'some' | 'none' = 'some') {
    const asked: Logins = {
      ask: () => new Promise((resolve, reject) => {
        this.permit = resolve
        this.refuse = reject
      }),
      reopened: () => new Promise(() => undefined),
      settled: () => Promise.resolve(),
    }
    this.say = attendLogin({ child: this.child, send: message => { this.sent.push(message) } }, logins === 'some' ? asked : undefined, message => { this.heard.push(message) })
  }

  login(): Login {
    return {
      pin: '1234', inSpiteOf: 'usual', deadline: performance.now() + 10_000,
      end: ({ outcome }) => {
        this.ended.push(outcome)
        return Promise.resolve(undefined)
      },
    }
  }
}

beforeEach(() => { vi.useFakeTimers() })
afterEach(() => { vi.useRealTimers() })
const settle = (): Promise<unknown> => vi.advanceTimersByTimeAsync(0)

describe('an agent that has found its token', () => {
  it('gets the PIN when its login is permitted, and not before', async () => {
    const scene = new Scene()
    scene.say(found)
    await settle()
    expect(scene.sent).toEqual([])
    scene.permit(scene.login())
    await settle()
    expect(scene.sent).toEqual([{ type: 'pin', pin: '1234', inSpiteOf: 'usual' }])
    scene.say({ type: 'login', outcome: 'good' })
    scene.say({ type: 'alive', rssBytes: 0, unwraps: 0 })
    await vi.advanceTimersByTimeAsync(60_000)
    scene.child.emit('close', 0, null)
    await settle()
    expect([scene.ended, scene.heard]).toEqual([['good'], [{ type: 'alive', rssBytes: 0, unwraps: 0 }]])
    expect(scene.killed).not.toHaveBeenCalled()
  })

  it.each([['latched', 'pin'], ['passing', 'token']] as const)('is ended with a sentence when there is no login (%s)', async (kind, code) => {
    const scene = new Scene()
    scene.say(found)
    scene.refuse(new LoginRefused(kind, 'why'))
    await settle()
    expect(scene.sent).toEqual([])
    expect(scene.heard).toEqual([{ type: 'fatal', code, message: 'why' }])
    expect(scene.killed).toHaveBeenCalledWith('SIGKILL')
  })

  it('is ended when its job has no need of a PIN', async () => {
    const scene = new Scene('none')
    scene.say(found)
    await settle()
    expect(scene.sent).toEqual([])
    expect(scene.heard).toMatchObject([{ type: 'fatal', code: 'token' }])
    expect(scene.killed).toHaveBeenCalledWith('SIGKILL')
  })

  it('and dies before it is permitted to log in gets no PIN, and its attempt was none', async () => {
    const scene = new Scene()
    scene.say(found)
    scene.child.emit('close', null, 'SIGKILL')
    scene.permit(scene.login())
    await settle()
    expect(scene.sent).toEqual([])
    expect(scene.ended).toEqual(['barred'])
  })
})

describe('an agent that has the PIN', () => {
  async function permitted(): Promise<Scene> {
    const scene = new Scene()
    scene.say(found)
    scene.permit(scene.login())
    await settle()
    return scene
  }

  it('and is refused is heard of and ended only after that is noted', async () => {
    let noted: (refusal: LoginRefused) => void = () => undefined
    const scene = new Scene()
    scene.say(found)
    scene.permit({ ...scene.login(), end: () => new Promise(resolve => { noted = resolve }) })
    await settle()
    scene.say({ type: 'login', outcome: 'refused', ckr: 'CKR_PIN_INCORRECT' })
    await vi.advanceTimersByTimeAsync(5_000)
    expect([scene.heard, scene.killed.mock.calls]).toEqual([[], []])
    noted(new LoginRefused('latched', 'refused'))
    await settle()
    expect(scene.heard).toEqual([{ type: 'fatal', code: 'pin', message: 'refused' }])
    expect(scene.killed).toHaveBeenCalledWith('SIGKILL')
  })

  it('and says nothing is ended at the deadline, and lost', async () => {
    const scene = await permitted()
    await vi.advanceTimersByTimeAsync(9_900)
    expect(scene.killed).not.toHaveBeenCalled()
    await vi.advanceTimersByTimeAsync(200)
    expect(scene.killed).toHaveBeenCalledWith('SIGKILL')
    expect(scene.ended).toEqual(['lost'])
    // Too late.
    scene.say({ type: 'login', outcome: 'good' })
    await settle()
    expect(scene.ended).toEqual(['lost'])
  })

  it('and dies is lost', async () => {
    const scene = await permitted()
    scene.child.emit('close', null, 'SIGKILL')
    await settle()
    expect(scene.ended).toEqual(['lost'])
    expect(vi.getTimerCount()).toBe(0)
  })
})
