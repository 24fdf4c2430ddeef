// A worker thread of the agent: it owns a unix socket and a PKCS#11 session, makes synchronous calls and answers all frames of
// one read in one write. It calls load() only; C_Initialize and C_Login are the main thread's.
import { createServer, type Socket } from 'node:net'
import { parentPort, workerData } from 'node:worker_threads'
import pkcs11 from 'pkcs11js'
import { KmsError } from '../../errors.ts'
import { passes, type SessionCanary } from './canary.ts'
import type { Domain } from './domain.ts'
import { decodeRequest, encodeAnswer, FrameError, FrameReader, verbs, type AnswerFrame, type RequestFrame, type Status, type Timing, type Verb } from './frames.ts'
import { Fault } from './fault.ts'
import type { OpenKey } from './keys-in-use.ts'
import { Refused } from './make-material.ts'
import { profiles } from './profile.ts'
import { rowNameBytes } from './row-name.ts'
import { Session } from './session.ts'
import { keyVerbs, plainVerbs, type Bench } from './verbs.ts'
import { WatchMark, type DeadlineClass } from './watch.ts'

export interface WorkerStart {
  readonly library: string
  readonly profile: string
  readonly slot: Uint8Array
  readonly domain: { readonly [K in keyof Domain]: Domain[K] extends Buffer ? Uint8Array : Domain[K] }
  readonly canary: { readonly [K in keyof SessionCanary]: Uint8Array }
  readonly socket: string
  readonly worker: number
  readonly watch: SharedArrayBuffer
}

export type ToWorker =
  | { readonly type: 'opened'; readonly ticket: number; readonly name: string; readonly outcome: OpenOutcome; readonly timings: readonly Timing[] }
  | { readonly type: 'drop'; readonly name: string }

export type OpenOutcome =
  | { readonly ok: true; readonly key: OpenKey }
  | { readonly ok: false; readonly status: Status; readonly ckr: number; readonly text: string }

export type FromWorker =
  | { readonly type: 'listening' }
  | { readonly type: 'open'; readonly ticket: number; readonly name: Uint8Array; readonly row: Uint8Array }
  | { readonly type: 'dropped'; readonly name: string }

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
const keys = new Map<string, OpenKey>()
const waiting = new Map<number, Waiting>()
let lastTicket = 0

const p11 = new pkcs11.PKCS11()
p11.load(start.library)
const profile = profiles.get(start.profile)
if (profile === undefined) throw new Error(`profile ${start.profile}`)
const bench: Bench = {
  profile,
  session: new Session(p11, p11.C_OpenSession(Buffer.from(start.slot), pkcs11.CKF_SERIAL_SESSION | pkcs11.CKF_RW_SESSION)),
  domain: { id: Buffer.from(start.domain.id), version: start.domain.version, domainKey: Buffer.from(start.domain.domainKey), integrityKey: Buffer.from(start.domain.integrityKey) },
}
const canary: SessionCanary = { key: Buffer.from(start.canary.key), iv: Buffer.from(start.canary.iv), ciphertext: Buffer.from(start.canary.ciphertext) }

port.on('message', (message: ToWorker) => {
  if (message.type === 'drop') {
    keys.delete(message.name)
    port.postMessage({ type: 'dropped', name: message.name } satisfies FromWorker)
  } else resume(message)
})

createServer(serveSocket).listen(start.socket, () => port.postMessage({ type: 'listening' } satisfies FromWorker))

function serveSocket(socket: Socket): void {
  const reader = new FrameReader()
  socket.on('error', () => socket.destroy())
  socket.on('data', chunk => {
    const arrived = performance.now()
    const answers: Buffer[] = []
    orHangUp(socket, () => {
      for (const frame of reader.push(chunk)) {
        const answer = take(socket, decodeRequest(frame), arrived)
        if (answer !== undefined) answers.push(encode(answer))
      }
      send(socket, answers)
    })
  })
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

/** The payload may be a plaintext: made here, wiped here. */
function encode(answer: AnswerFrame): Buffer {
  const frame = encodeAnswer(answer)
  answer.payload.fill(0)
  return frame
}

/** The answer, or undefined while the main thread opens a key. */
function take(socket: Socket, request: RequestFrame, arrived: number): AnswerFrame | undefined {
  const verb = verbNames.get(request.verb)
  if (verb === undefined) throw new FrameError(`verb ${request.verb}`)
  const plain = plainVerbs[verb]
  if (plain !== undefined) {
    if (request.fields.length !== plain.fields) throw new FrameError('field count')
    return perform(request, arrived, plain.deadline, () => plain.run(bench, request.fields))
  }
  const keyVerb = keyVerbs[verb]
  if (keyVerb === undefined) return answer(request, 'unsupported', arrived)
  if (request.fields.length !== 2 * keyVerb.keys + keyVerb.fields) throw new FrameError('field count')
  const opened: OpenKey[] = []
  for (let i = 0; i < keyVerb.keys; i++) {
    const [name, row] = request.fields.slice(2 * i, 2 * i + 2)
    if (name?.length !== rowNameBytes || row === undefined) throw new FrameError('name length')
    const key = keys.get(name.toString('latin1'))
    if (key === undefined && row.length === 0) return answer(request, 'needRow', arrived)
    if (key === undefined) return open({ socket, request, arrived }, name, row)
    if (!key.verbs.has(verb)) return answer(request, 'refused', arrived)
    opened.push(key)
  }
  return perform(request, arrived, keyVerb.deadline, () => keyVerb.run(bench, opened, request.fields.slice(2 * keyVerb.keys)))
}

/** Asks the main thread to open a key; the request waits, those behind it do not. */
function open(held: Waiting, name: Buffer, row: Buffer): undefined {
  const ticket = ++lastTicket
  waiting.set(ticket, held)
  port?.postMessage({ type: 'open', ticket, name: Uint8Array.from(name), row: Uint8Array.from(row) } satisfies FromWorker)
}

function resume({ ticket, name, outcome, timings }: Extract<ToWorker, { type: 'opened' }>): void {
  const held = waiting.get(ticket)
  waiting.delete(ticket)
  if (held === undefined) return
  if (outcome.ok) keys.set(name, thawed(outcome.key))
  orHangUp(held.socket, () => {
    const result = outcome.ok
      ? take(held.socket, held.request, held.arrived)
      : answer(held.request, outcome.status, held.arrived, outcome.ckr, Buffer.from(outcome.text))
    if (result !== undefined) send(held.socket, [encode({ ...result, timings: [...timings, ...result.timings] })])
  })
}

/** Structured clone turns a Buffer into a Uint8Array. */
const thawed = (key: OpenKey): OpenKey =>
  ({ ...key, handle: Buffer.from(key.handle), name: { ...key.name, keyId: Buffer.from(key.name.keyId), materialId: Buffer.from(key.name.materialId) } })

function perform(request: RequestFrame, arrived: number, deadline: DeadlineClass, run: () => Buffer): AnswerFrame {
  const begun = performance.now()
  mark.begin(deadline)
  try {
    const payload = run()
    return { id: request.id, status: 'ok', ckr: 0, queueNanoseconds: (begun - arrived) * 1e6, timings: bench.session.takeTimings(), payload }
  } catch (thrown) {
    if (thrown instanceof FrameError || thrown instanceof RangeError) throw thrown
    const [status, ckr, text] = verdict(thrown)
    return { id: request.id, status, ckr, queueNanoseconds: (begun - arrived) * 1e6, timings: bench.session.takeTimings(), payload: Buffer.from(text) }
  } finally {
    mark.end()
  }
}

/** One status for everything that can be wrong inside a ciphertext; a device's fault is told apart by a canary. */
function verdict(thrown: unknown): [Status, number, string] {
  if (thrown instanceof KmsError) return ['invalid', 0, '']
  if (thrown instanceof Refused) return ['refused', 0, thrown.message]
  if (!(thrown instanceof Fault)) throw thrown
  if (thrown.call === 'C_Decrypt') {
    if (bench.profile.badTag.includes(thrown.ckr)) return ['invalid', thrown.ckr, '']
    if (bench.profile.ambiguous.includes(thrown.ckr) && passes(bench.session, canary)) return ['invalid', thrown.ckr, '']
  }
  return ['fault', thrown.ckr, thrown.message]
}

function answer(request: RequestFrame, status: Status, arrived: number, ckr = 0, payload: Buffer = Buffer.alloc(0)): AnswerFrame {
  return { id: request.id, status, ckr, queueNanoseconds: (performance.now() - arrived) * 1e6, timings: [], payload }
}
