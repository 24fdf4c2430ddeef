// The agent's main thread: the only C_Initialize and C_Login, the domain check, the keys in use, the watch over the workers.
import { Worker } from 'node:worker_threads'
import { makeSessionCanary } from './canary.ts'
import type { FromAgent, StartMessage } from './control.ts'
import { domainFingerprint, findDomain, templateEnforced, uuidBytes } from './domain.ts'
import { Fault } from './fault.ts'
import { KeysInUse } from './keys-in-use.ts'
import { Refused } from './make-material.ts'
import { findToken, login, openSession } from './token.ts'
import { Watch, watchMemory } from './watch.ts'
import type { FromWorker, OpenOutcome, ToWorker, WorkerStart } from './worker.ts'

const lookEveryMilliseconds = 50
const aliveEveryMilliseconds = 250

/** Runs until the process is killed. Resolves when every worker listens. @throws Fatal */
export async function serve(message: StartMessage, tell: (message: FromAgent) => void): Promise<void> {
  const token = findToken(message.token)
  const session = openSession(token)
  login(token, session, message.pin)
  const domain = findDomain(session, uuidBytes(message.domain.id), message.domain.version)
  const enforced = templateEnforced(session, token.profile, domain)
  const canary = makeSessionCanary(session)
  const memory = watchMemory(message.sockets.length)
  const workers: Worker[] = []

  const awaitingDrop = new Map<string, { left: number; resolve: () => void }>()
  const drop = (name: string): Promise<void> => new Promise(resolve => {
    awaitingDrop.set(name, { left: workers.length, resolve })
    for (const worker of workers) worker.postMessage({ type: 'drop', name } satisfies ToWorker)
  })
  const keys = new KeysInUse(session, token.profile, domain, drop)

  const open = (row: Uint8Array, name: Uint8Array): OpenOutcome => {
    try {
      return { ok: true, key: keys.open(Buffer.from(row), Buffer.from(name)) }
    } catch (thrown) {
      if (thrown instanceof Fault) return { ok: false, status: 'fault', ckr: thrown.ckr, text: thrown.message }
      if (thrown instanceof Refused || thrown instanceof RangeError) return { ok: false, status: 'refused', ckr: 0, text: thrown.message }
      throw thrown
    }
  }
  const hear = (worker: Worker, from: FromWorker): void => {
    if (from.type === 'open') {
      const outcome = open(from.row, from.name)
      worker.postMessage({ type: 'opened', ticket: from.ticket, name: Buffer.from(from.name).toString('latin1'), outcome, timings: session.takeTimings() } satisfies ToWorker)
    } else if (from.type === 'dropped') {
      const waitingDrop = awaitingDrop.get(from.name)
      if (waitingDrop === undefined || --waitingDrop.left > 0) return
      awaitingDrop.delete(from.name)
      waitingDrop.resolve()
    }
  }

  await Promise.all(message.sockets.map((socket, i) => new Promise<void>((resolve, reject) => {
    const workerData: WorkerStart = { library: message.token.library, profile: token.profile.name, slot: token.slot.handle, domain, canary, socket, worker: i, watch: memory }
    const worker = new Worker(new URL('./worker.js', import.meta.url), { workerData })
    workers.push(worker)
    worker.on('message', (from: FromWorker) => {
      if (from.type === 'listening') resolve()
      else hear(worker, from)
    })
    // A worker that ends, ends the agent: the supervisor starts another.
    worker.on('error', error => {
      reject(error)
      throw error
    })
  })))

  tell({
    type: 'ready', serial: token.serial, model: token.model, library: message.token.library,
    fingerprint: domainFingerprint(session, domain), templateEnforced: enforced,
  })
  session.takeTimings()
  const watch = new Watch(memory, message.deadlines)
  setInterval(() => {
    for (const overrun of watch.look(performance.now())) tell({ type: 'overrun', ...overrun })
  }, lookEveryMilliseconds)
  // Sent from the thread that unwraps: its silence is how the supervisor sees that this thread hangs.
  setInterval(() => { tell({ type: 'alive' }) }, aliveEveryMilliseconds)
}
