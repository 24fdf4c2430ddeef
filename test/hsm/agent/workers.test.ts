import { EventEmitter } from 'node:events'
import { beforeEach, describe, expect, it } from 'vitest'
import type { FromWorker, ToWorker, WorkerStart } from '../../../src/hsm/agent/worker-messages.ts'
import { Workers } from '../../../src/hsm/agent/workers.ts'

/** A worker that is told things and answers when the test says so. */
class Port extends EventEmitter {
  readonly told: ToWorker[] = []

  postMessage(message: ToWorker): void {
    this.told.push(message)
  }

  say(message: FromWorker): void {
    this.emit('message', message)
  }

  /** Does the oldest thing that it was told. */
  next(): void {
    const message = this.told.shift()
    if (message?.type === 'drop') this.say({ type: 'dropped', ticket: message.ticket })
  }
}

const start: WorkerStart = {
  library: '', profile: '', slot: new Uint8Array(), session: new Uint8Array(), socket: '', worker: 0, watch: new SharedArrayBuffer(8),
  domain: { id: new Uint8Array(), version: 1, domainKey: new Uint8Array(), integrityKey: new Uint8Array(), wrapMechanism: 0 },
  canary: { key: new Uint8Array(), iv: new Uint8Array(), ciphertext: new Uint8Array() },
}

describe('forget', () => {
  let quick: Port
  let slow: Port
  let workers: Workers
  const forgotten: string[] = []

  beforeEach(async () => {
    forgotten.length = 0
    const ports = [quick, slow] = [new Port(), new Port()]
    const free = [...ports]
    workers = new Workers(() => free.shift() ?? new Port())
    const started = workers.start([start, start], () => undefined)
    for (const port of ports) port.say({ type: 'listening' })
    await started
  })

  const forget = (name: string, what: string): void => { void workers.forget(name).then(() => { forgotten.push(what) }) }
  const settled = (): Promise<void> => new Promise(resolve => setImmediate(resolve))

  it('has ended once every worker has let go of the key', async () => {
    forget('key', 'key')
    quick.next()
    await settled()
    expect(forgotten).toEqual([])
    slow.next()
    await settled()
    expect(forgotten).toEqual(['key'])
  })

  it('twice of one key: the second has not ended while a worker may still use the handle of the second opening', async () => {
    forget('key', 'first')
    // The key is opened once more, for the worker that has not yet come to the first drop.
    slow.postMessage({ type: 'opened', ticket: 1, name: 'key', outcome: { ok: false, status: 'fault', ckr: 0, text: '' }, timings: [] })
    forget('key', 'second')
    quick.next()
    quick.next()
    slow.next()
    await settled()
    expect(forgotten).toEqual(['first'])
    slow.next()
    await settled()
    expect(forgotten).toEqual(['first'])
    slow.next()
    await settled()
    expect(forgotten).toEqual(['first', 'second'])
  })

  it('takes no answer that was not asked for', async () => {
    forget('key', 'key')
    slow.say({ type: 'dropped', ticket: 99 })
    quick.next()
    await settled()
    expect(forgotten).toEqual([])
  })
})
