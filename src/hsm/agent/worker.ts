// A worker thread of the agent: it owns a unix socket and a PKCS#11 session, makes synchronous calls and answers all frames of
// one read in one write. It calls load() only; C_Initialize and C_Login are the main thread's.
import { createServer, type Socket } from 'node:net'
import { parentPort, workerData } from 'node:worker_threads'
import pkcs11 from 'pkcs11js'
import { attempt, renewed, type Outcome, type Remedies } from './attempt.ts'
import { passes, sharedFor100Milliseconds, type SessionCanary } from './canary.ts'
import { hasExpired } from './expiry.ts'
import { decodeRequest, encodeAnswer, FrameError, FrameReader, verbs, type AnswerFrame, type RequestFrame, type Status, type Verb } from './frames.ts'
import { ckrOf, Fault } from './fault.ts'
import type { OpenKey } from './keys-in-use.ts'
import { profiles } from './profile.ts'
import { rowNameBytes } from './row-name.ts'
import { Session } from './session.ts'
import { keyVerbs, plainVerbs, type Bench } from './verbs.ts'
import { WatchMark, type DeadlineClass } from './watch.ts'
import type { FromWorker, ToWorker, WorkerStart } from './worker-messages.ts'

interface Waiting {
  readonly socket: Socket
  readonly request: RequestFrame
  readonly arrived: number
}

const start = workerData as WorkerStart
const port = parentPort
if (port === null) throw new Error('worker.ts runs in a worker thread')

const verbNames: ReadonlyMap<number, Verb> = new Map<number, Verb>(Object.entries(verbs).map(([name, number]) => [number, name as Verb]))
const mark = new WatchMark(start.watch, start.worker)
const keys = new Map<string, KeyAtHand>()
const waiting = new Map<number, Waiting>()
const sockets = new Set<Socket>()
let lastTicket = 0
let isLost = false
let isDraining = false
/** How often the main thread hears which keys are used: it decides which to close, and sees none of their uses. */
const usedEveryMilliseconds = 1_000
/** What has waited longer behind others is not begun: its caller is told so, and most likely no longer there. */
const queueMilliseconds = 5_000

interface KeyAtHand {
  readonly key: OpenKey
  used: boolean
}

const p11 = new pkcs11.PKCS11()
p11.load(start.library)
const profile = profiles.get(start.profile)
if (profile === undefined) throw new Error(`profile ${start.profile}`)
const bench: { session: Session } & Omit<Bench, 'session'> = {
  profile,
  session: new Session(p11, Buffer.from(start.session)),
  domain: { id: Buffer.from(start.domain.id), version: start.domain.version, domainKey: Buffer.from(start.domain.domainKey), integrityKey: Buffer.from(start.domain.integrityKey), wrapMechanism: start.domain.wrapMechanism },
}
function renew(): Session {
  try {
    return new Session(p11, p11.C_OpenSession(Buffer.from(start.slot), pkcs11.CKF_SERIAL_SESSION | pkcs11.CKF_RW_SESSION))
  } catch (thrown) {
    throw new Fault('C_OpenSession', ckrOf(thrown))
  }
}
const remedies: Remedies = {
  renewSession: () => {
    const former = bench.session
    bench.session = renew()
    try {
      p11.C_CloseSession(former.handle)
    } catch {
      // Most likely it is gone, which is why there is a new one.
    }
  },
  healthy: sharedFor100Milliseconds(() => passes(canary, () => bench.session, () => renewed(remedies))),
}
const canary: SessionCanary = { key: Buffer.from(start.canary.key), iv: Buffer.from(start.canary.iv), ciphertext: Buffer.from(start.canary.ciphertext) }

port.on('message', (message: ToWorker) => {
  if (message.type === 'opened') resume(message)
  else if (message.type === 'drop') {
    if (message.name === null) keys.clear()
    else keys.delete(message.name)
    tell({ type: 'dropped', ticket: message.ticket })
  } else if (message.type === 'lost') isLost = true
  else if (message.type === 'drain') drain()
  else for (const socket of sockets) socket.destroySoon()
})

setInterval(() => {
  const names = [...keys].flatMap(([name, key]) => (key.used ? [name] : []))
  for (const key of keys.values()) key.used = false
  if (names.length > 0) tell({ type: 'used', names })
}, usedEveryMilliseconds)

const server = createServer(serveSocket).listen(start.socket, () => { tell({ type: 'listening' }) })

function tell(message: FromWorker): void {
  port?.postMessage(message)
}

/** Clients end their connections when they have their answers, and send to the next agent; no more are taken. */
function drain(): void {
  isDraining = true
  server.close()
  tellIfDrained()
}

function tellIfDrained(): void {
  if (isDraining && sockets.size === 0) tell({ type: 'drained' })
}

function serveSocket(socket: Socket): void {
  const reader = new FrameReader()
  sockets.add(socket)
  socket.on('close', () => {
    sockets.delete(socket)
    tellIfDrained()
  })
  socket.on('error', () => socket.destroy())
  socket.on('data', chunk => {
    const arrived = performance.now()
    const answers: Buffer[] = []
    orHangUp(socket, () => {
      for (const frame of reader.push(chunk)) {
        const request = decodeRequest(frame)
        if (isUnderWay(socket, request.id)) throw new FrameError('id under way')
        const answer = take(socket, request, arrived)
        if (answer !== undefined) answers.push(encode(request, answer))
      }
      send(socket, answers)
    })
  })
}

/** Two requests of one id would get two answers that nobody can tell apart. Only those that wait for a key are still there when the next is read. */
function isUnderWay(socket: Socket, id: number): boolean {
  for (const held of waiting.values()) if (held.socket === socket && held.request.id === id) return true
  return false
}

/** Malformed, too long or out of order: nothing after it on this connection can be trusted. The agent goes on. */
function orHangUp(socket: Socket, work: () => void): void {
  try {
    work()
  } catch (thrown) {
    if (!(thrown instanceof FrameError) && !(thrown instanceof RangeError)) throw thrown
    socket.destroy()
  }
}

/** Answers may hold plaintext: what was written is wiped once the kernel has it. */
function send(socket: Socket, answers: Buffer[]): void {
  if (answers.length === 0) return
  const bytes = answers.length === 1 && answers[0] !== undefined ? answers[0] : Buffer.concat(answers)
  for (const answer of answers) if (answer !== bytes) answer.fill(0)
  socket.write(bytes, () => bytes.fill(0))
}

/** Request and answer may hold a plaintext: once there is an answer, no try is left that needs either. */
function encode(request: RequestFrame, answer: AnswerFrame): Buffer {
  const frame = encodeAnswer(answer)
  answer.payload.fill(0)
  for (const field of request.fields) field.fill(0)
  return frame
}

/** The answer, or undefined while the main thread opens a key. */
function take(socket: Socket, request: RequestFrame, arrived: number): AnswerFrame | undefined {
  const verb = verbNames.get(request.verb)
  if (verb === undefined) throw new FrameError(`verb ${request.verb}`)
  if (isLost) return answer(request, 'lost', arrived)
  if (performance.now() - arrived > queueMilliseconds) return answer(request, 'late', arrived)
  const plain = plainVerbs[verb]
  if (plain !== undefined) {
    if (request.fields.length !== plain.fields) throw new FrameError('field count')
    const expiry = plain.expiry === undefined ? undefined : request.fields[plain.expiry]
    if (expiry !== undefined && hasExpired(expiry)) return answer(request, 'late', arrived)
    const deadline = typeof plain.deadline === 'string' ? plain.deadline : plain.deadline(request.fields)
    return perform(request, arrived, deadline, again => plain.run(bench, request.fields, again))
  }
  const keyVerb = keyVerbs[verb]
  if (keyVerb === undefined) return answer(request, 'unsupported', arrived)
  if (request.fields.length !== 2 * keyVerb.keys + keyVerb.fields) throw new FrameError('field count')
  const opened: OpenKey[] = []
  for (let i = 0; i < keyVerb.keys; i++) {
    const [name, row] = request.fields.slice(2 * i, 2 * i + 2)
    if (name?.length !== rowNameBytes || row === undefined) throw new FrameError('name length')
    const atHand = keys.get(name.toString('latin1'))
    if (atHand === undefined && row.length === 0) return answer(request, 'needRow', arrived)
    if (atHand === undefined) return open({ socket, request, arrived }, name, row)
    if (!atHand.key.verbs.has(verb)) return answer(request, 'refused', arrived)
    atHand.used = true
    opened.push(atHand.key)
  }
  return perform(request, arrived, keyVerb.deadline, () => keyVerb.run(bench, opened, request.fields.slice(2 * keyVerb.keys)))
}

/** Asks the main thread to open a key; the request waits, those behind it do not. */
function open(held: Waiting, name: Buffer, row: Buffer): undefined {
  const ticket = ++lastTicket
  waiting.set(ticket, held)
  tell({ type: 'open', ticket, name: Uint8Array.from(name), row: Uint8Array.from(row) })
}

function resume({ ticket, name, outcome, timings }: Extract<ToWorker, { type: 'opened' }>): void {
  const held = waiting.get(ticket)
  waiting.delete(ticket)
  if (held === undefined) return
  if (outcome.ok) keys.set(name, { key: thawed(outcome.key), used: true })
  orHangUp(held.socket, () => {
    const result = outcome.ok
      ? take(held.socket, held.request, held.arrived)
      : answer(held.request, outcome.status, held.arrived, outcome.ckr, Buffer.from(outcome.text))
    if (result !== undefined) send(held.socket, [encode(held.request, { ...result, timings: [...timings, ...result.timings] })])
  })
}

/** Structured clone turns a Buffer into a Uint8Array. */
const thawed = (key: OpenKey): OpenKey =>
  ({ ...key, handle: Buffer.from(key.handle), spkiDigest: Buffer.from(key.spkiDigest), name: { ...key.name, keyId: Buffer.from(key.name.keyId), materialId: Buffer.from(key.name.materialId) } })

function perform(request: RequestFrame, arrived: number, deadline: DeadlineClass, run: (again: boolean) => Buffer): AnswerFrame {
  const begun = performance.now()
  mark.begin(deadline)
  const outcome = finished(() => attempt(run, bench.profile, remedies))
  const queueNanoseconds = (begun - arrived) * 1e6
  const timings = bench.session.takeTimings()
  if (outcome.status === 'lost') {
    isLost = true
    tell({ type: 'lost', reason: outcome.text })
    return { id: request.id, status: 'lost', ckr: outcome.ckr, queueNanoseconds, timings, payload: Buffer.alloc(0) }
  }
  if (outcome.status === 'stale') return { ...forgetKeys(request, arrived), ckr: outcome.ckr, timings }
  if (outcome.status === 'ok') return { id: request.id, status: 'ok', ckr: 0, queueNanoseconds, timings, payload: outcome.payload }
  return { id: request.id, status: outcome.status, ckr: outcome.ckr, queueNanoseconds, timings, payload: Buffer.from(outcome.text) }
}

function finished(run: () => Outcome): Outcome {
  try {
    return run()
  } finally {
    mark.end()
  }
}

/** Lets go of the keys of a request whose handles are stale; asked for with its rows, the gateway has them opened anew. */
function forgetKeys(request: RequestFrame, arrived: number): AnswerFrame {
  const count = keyVerbs[verbNames.get(request.verb) ?? 'canary']?.keys ?? 0
  for (let i = 0; i < count; i++) {
    const name = request.fields[2 * i]?.toString('latin1') ?? ''
    keys.delete(name)
    tell({ type: 'stale', name })
  }
  return answer(request, 'needRow', arrived)
}

function answer(request: RequestFrame, status: Status, arrived: number, ckr = 0, payload: Buffer = Buffer.alloc(0)): AnswerFrame {
  return { id: request.id, status, ckr, queueNanoseconds: (performance.now() - arrived) * 1e6, timings: [], payload }
}
