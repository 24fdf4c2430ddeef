// The gateway's side of the sockets, against an agent that the test plays: one that answers late, twice, or what nobody asked.
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer, type Server, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { decodeRequest, encodeAnswer, encodeRequest, FrameReader, verbs, type RequestFrame, type Status } from '../../src/hsm/agent/frames.ts'
import { HsmClient } from '../../src/hsm/client.ts'
import type { SealedMaterial } from '../../src/keys/material.ts'
import { Quarantine, Quarantined } from '../../src/hsm/quarantine.ts'
import { until } from '../support/until.ts'

/** A worker's socket. `say` answers requests that came, or sends whatever bytes. */
class PlayedWorker {
  readonly path: string
  readonly requests: (RequestFrame & { readonly socket: Socket })[] = []
  readonly sockets = new Set<Socket>()
  readonly #server: Server

  constructor(directory: string, name: string) {
    this.path = join(directory, name)
    this.#server = createServer(socket => {
      const reader = new FrameReader()
      this.sockets.add(socket)
      socket.on('close', () => { this.sockets.delete(socket) }).on('error', () => undefined)
      socket.on('data', chunk => { for (const frame of reader.push(chunk)) this.requests.push({ ...decodeRequest(Buffer.from(frame)), socket }) })
    }).listen(this.path)
  }

  answer(at: number, status: Status = 'ok', payload = 'answer'): void {
    const request = this.requests[at]
    request?.socket.write(encodeAnswer({ id: request.id, status, ckr: 0, queueNanoseconds: 0, timings: [], payload: Buffer.from(payload) }))
  }

  /** The end of a process: the kernel closes what it had open. */
  die(): void {
    this.#server.close()
    for (const socket of this.sockets) socket.destroy()
  }
}

let directory: string
let client: HsmClient
let alarms: string[]
const workers: PlayedWorker[] = []

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'trent-connection-'))
  alarms = []
  client = new HsmClient({ observe: () => undefined, quarantine: new Quarantine({ alarm: verb => { alarms.push(verb) } }) })
})
afterEach(() => {
  client.close()
  for (const worker of workers.splice(0)) worker.die()
  rmSync(directory, { recursive: true, force: true })
})

let generation = 0
/** An agent with one hot worker, or more. */
function agent(count = 1): PlayedWorker[] {
  generation++
  const played = Array.from({ length: count }, (_, i) => new PlayedWorker(directory, `${generation}-${i}`))
  workers.push(...played)
  client.setAgent({ token: 'played', generation, sockets: { hot: played.map(({ path }) => path), slow: [] } })
  return played
}

function one(): PlayedWorker {
  const [worker] = agent()
  if (worker === undefined) throw new Error('no worker')
  return worker
}

const came = (worker: PlayedWorker, count: number): Promise<void> => until(`request ${count}`, () => worker.requests.length >= count)
const outcome = (call: Promise<Buffer>): Promise<string> => call.then(String, (thrown: unknown) => (thrown as Error).name)
const material = (name: string): SealedMaterial => ({ row: Buffer.from(name), mac: Buffer.alloc(32) })
const encrypt = (name: string): Promise<string> => outcome(client.encrypt(material(name), Buffer.alloc(0), Buffer.from(name)))

describe('an agent that has a successor', () => {
  it('answers what is under way with it, gets nothing new, and is left when it has', async () => {
    const former = one()
    const calls = [outcome(client.random(1)), outcome(client.random(2))]
    await came(former, 2)
    const next = one()
    await until('a connection to the successor', () => next.sockets.size === 1)
    calls.push(outcome(client.random(3)))
    await came(next, 1)
    former.answer(0)
    next.answer(0)
    expect(await calls[0]).toBe('answer')
    expect(await calls[2]).toBe('answer')
    expect([former.sockets.size, former.requests.length]).toEqual([1, 2])
    former.answer(1)
    expect(await calls[1]).toBe('answer')
    await until('the end of the connection', () => former.sockets.size === 0)
    expect(former.requests).toHaveLength(2)
  })

  it('is left at once when nothing is under way', async () => {
    const former = one()
    await until('a connection', () => former.sockets.size === 1)
    one()
    await until('the end of the connection', () => former.sockets.size === 0)
  })

  it('may die of what it still has: the successor gets it', async () => {
    const former = one()
    const call = outcome(client.random(1))
    await came(former, 1)
    const next = one()
    former.die()
    await came(next, 1)
    next.answer(0)
    expect(await call).toBe('answer')
  })
})

describe('an agent whose answers are not to be trusted', () => {
  it.each<[string, (worker: PlayedWorker) => void]>([
    ['an answer to no call', worker => { worker.requests[0]?.socket.write(encodeAnswer({ id: 99, status: 'ok', ckr: 0, queueNanoseconds: 0, timings: [], payload: Buffer.from('?') })) }],
    ['a second answer to a call', worker => {
      worker.answer(1)
      worker.answer(1)
    }],
    ['a request', worker => { worker.requests[0]?.socket.write(encodeRequest(1, 'random', [])) }],
    ['a frame over the limit', worker => { worker.requests[0]?.socket.write(Buffer.alloc(4, 0xff)) }],
    ['an unknown status', worker => {
      const frame = encodeAnswer({ id: 1, status: 'ok', ckr: 0, queueNanoseconds: 0, timings: [], payload: Buffer.from('x') })
      frame[8] = 200
      worker.requests[0]?.socket.write(frame)
    }],
  ])('loses the connection for %s, and its calls go to another', async (_what, misbehave) => {
    const worker = one()
    const calls = [outcome(client.random(1)), outcome(client.random(2))]
    await came(worker, 2)
    const [first] = worker.sockets
    misbehave(worker)
    await until('the end of the connection', () => first === undefined || !worker.sockets.has(first))
    const next = one()
    await came(next, 1)
    next.answer(0, 'ok', 'trusted')
    expect(await calls[0]).toBe('trusted')
  })
})

describe('a call that two agents died under', () => {
  it('is refused, with an alarm, and refused at once for a minute; the same with another key is not', async () => {
    const call = encrypt('poison')
    for (let death = 0; death < 2; death++) {
      const worker = one()
      await came(worker, 1)
      worker.die()
    }
    expect(await call).toBe('HsmUnavailable')
    expect(alarms).toEqual(['encrypt'])
    const third = one()
    await expect(client.encrypt(material('poison'), Buffer.alloc(0), Buffer.from('x'))).rejects.toBeInstanceOf(Quarantined)
    const healthy = encrypt('healthy')
    const decrypted = outcome(client.decrypt(material('poison'), Buffer.alloc(0), Buffer.alloc(100)))
    await came(third, 2)
    expect(third.requests.map(({ verb }) => verb).sort()).toEqual([verbs.encrypt, verbs.decrypt])
    third.answer(0)
    third.answer(1)
    expect([await healthy, await decrypted]).toEqual(['answer', 'answer'])
  })

  it('goes alone after the first, so that no other shares the second', async () => {
    const names = ['a', 'b', 'poison', 'c', 'd']
    const [first] = agent()
    const calls = names.map(name => encrypt(name))
    await came(first as PlayedWorker, names.length)
    ;(first as PlayedWorker).die()
    const served: string[] = []
    const isPoison = ({ fields }: RequestFrame): boolean => fields.at(-1)?.toString() === 'poison'
    for (let death = 0, worker = one(); served.length < names.length - 1;) {
      await came(worker, 1)
      // One at a time, whatever waits.
      expect(worker.requests).toHaveLength(1)
      const [request] = worker.requests.splice(0)
      if (request === undefined) continue
      if (isPoison(request)) {
        expect(++death).toBe(1)
        worker.die()
        worker = one()
      } else {
        served.push(String(request.fields.at(-1)))
        request.socket.write(encodeAnswer({ id: request.id, status: 'ok', ckr: 0, queueNanoseconds: 0, timings: [], payload: Buffer.from('answer') }))
      }
    }
    expect(await Promise.all(calls)).toEqual(['answer', 'answer', 'HsmUnavailable', 'answer', 'answer'])
    expect(alarms).toEqual(['encrypt'])
  })

  it('lets other calls go on by another connection meanwhile', async () => {
    const [first] = agent()
    const lost = encrypt('lost')
    await came(first as PlayedWorker, 1)
    ;(first as PlayedWorker).die()
    const [one, two] = agent(2) as [PlayedWorker, PlayedWorker]
    await until('the call that was lost', () => one.requests.length + two.requests.length === 1)
    const [its, other] = one.requests.length === 1 ? [one, two] : [two, one]
    const calls = Array.from({ length: 5 }, (_, i) => encrypt(`new ${i}`))
    await came(other, 5)
    expect(its.requests).toHaveLength(1)
    for (let i = 0; i < 5; i++) other.answer(i)
    its.answer(0)
    expect(await Promise.all([lost, ...calls])).toEqual(Array(6).fill('answer'))
  })

  it('is none when the agents had lost their token, and said so', async () => {
    const call = encrypt('healthy')
    for (let loss = 0; loss < 4; loss++) {
      const worker = one()
      await came(worker, 1)
      worker.answer(0, 'lost')
    }
    const worker = one()
    await came(worker, 1)
    worker.answer(0)
    expect(await call).toBe('answer')
    expect(alarms).toEqual([])
  })

  it('is random bytes: refused, but not held', async () => {
    const call = outcome(client.random(8))
    for (let death = 0; death < 2; death++) {
      const worker = one()
      await came(worker, 1)
      worker.die()
    }
    expect(await call).toBe('HsmUnavailable')
    const again = outcome(client.random(8))
    const worker = one()
    await came(worker, 1)
    worker.answer(0)
    expect(await again).toBe('answer')
    expect(alarms).toEqual([])
  })
})
