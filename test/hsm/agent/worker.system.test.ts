// The agent's sockets as a gateway taken over would use them: bytes that no client of ours sends.
import { connect, type Socket } from 'node:net'
import { randomBytes, randomUUID } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { encodeExpiry } from '../../../src/hsm/agent/expiry.ts'
import { decodeAnswer, encodeAnswer, encodeRequest, frameLimitBytes, FrameReader, type AnswerFrame, type Verb } from '../../../src/hsm/agent/frames.ts'
import { rowName } from '../../../src/hsm/agent/row-name.ts'
import { encodeContext } from '../../../src/keys/context.ts'
import { encodeMaterial, type SealedMaterial } from '../../../src/keys/material.ts'
import { agentOf, newPlan, openToken, poke, residentPlan, until, type TestToken } from '../../support/token.ts'

let token: TestToken
let socketPath: string
let key: SealedMaterial
/** A connection to the same worker that every misbehaviour of others must leave alone. */
let bystander: Line
let agent: number

class Line {
  readonly answers: AnswerFrame[] = []
  ended = false
  readonly #socket: Socket

  constructor(path: string) {
    const reader = new FrameReader()
    this.#socket = connect(path)
    this.#socket.on('data', chunk => { for (const frame of reader.push(chunk)) this.answers.push(decodeAnswer(frame)) })
    this.#socket.on('error', () => undefined)
    this.#socket.on('close', () => { this.ended = true })
  }

  write(bytes: Buffer): void {
    this.#socket.write(bytes)
  }

  close(): void {
    this.#socket.destroy()
  }
}

const u32 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32LE(value)
  return bytes
}
const random = (id: number, length = 16): Buffer => encodeRequest(id, 'random', [u32(length)])
const none = Buffer.alloc(0)

beforeAll(async () => {
  token = await openToken()
  socketPath = token.supervisor.address?.sockets.hot[0] ?? ''
  key = await token.client.create(newPlan(), false)
  bystander = new Line(socketPath)
  agent = agentOf(token.directory)
})
afterAll(async () => {
  bystander.close()
  await token.remove()
})

let lastId = 0
async function expectServed(): Promise<void> {
  const id = ++lastId
  bystander.write(random(id))
  await until(() => bystander.answers.at(-1)?.id === id, 'an answer to the bystander')
  expect(bystander.answers.at(-1)).toMatchObject({ id, status: 'ok', ckr: 0 })
  expect(bystander.ended).toBe(false)
  expect(agentOf(token.directory)).toBe(agent)
}

async function expectHungUp(bytes: Buffer): Promise<void> {
  const line = new Line(socketPath)
  line.write(bytes)
  await until(() => line.ended, 'the end of the connection')
  expect(line.answers).toEqual([])
  await expectServed()
}

const rawFrame = (rest: Buffer): Buffer => Buffer.concat([u32(rest.length), rest])
const numbered = (verb: number): Buffer => rawFrame(Buffer.concat([u32(1), Buffer.from([verb])]))
const named = (verb: Verb, ...fields: Buffer[]): Buffer => encodeRequest(1, verb, fields)
const freshKey = (changes: Parameters<typeof newPlan>[0] = {}): Promise<SealedMaterial> => token.client.create(newPlan(changes), false)
const planRow = (changes: object): Buffer => encodeMaterial({ ...newPlan(), domainId: none, domainVersion: 0, spkiDigest: none, blob: none, ...changes })

it('a create that comes too late makes nothing, and one in time does', async () => {
  const late = residentPlan()
  const counts = async (): Promise<number> => await poke(token.directory, 'count', { id: late.ckaId.toString('hex') })
  const line = new Line(socketPath)
  line.write(named('create', planRow(late), Buffer.from([0]), encodeExpiry(-1)))
  await until(() => line.answers.length === 1, 'an answer')
  expect(line.answers[0]).toMatchObject({ status: 'late', ckr: 0, timings: [], payload: none })
  expect(await counts()).toBe(0)
  line.write(named('create', planRow(late), Buffer.from([0]), encodeExpiry(10_000)))
  await until(() => line.answers.length === 2, 'another answer')
  expect(line.answers[1]).toMatchObject({ status: 'ok' })
  expect(await counts()).toBe(1)
  line.close()
})

describe('a connection ends, and nothing else, on', () => {
  it.each<[string, () => Buffer]>([
    ['a frame shorter than id and verb', () => rawFrame(Buffer.alloc(3))],
    ['an empty frame', () => rawFrame(none)],
    ['a frame over 2 MiB', () => u32(frameLimitBytes + 1)],
    ['a frame of 4 GiB', () => u32(0xffffffff)],
    ['half a field length', () => rawFrame(Buffer.concat([u32(1), Buffer.from([2, 0, 0])]))],
    ['a field that runs past its frame', () => rawFrame(Buffer.concat([u32(1), Buffer.from([2]), u32(100), Buffer.alloc(4)]))],
    ['verb 0', () => numbered(0)],
    ['verb 17', () => numbered(17)],
    ['verb 255', () => numbered(255)],
    ['an answer in place of a request', () => encodeAnswer({ id: 1, status: 'ok', ckr: 0, queueNanoseconds: 0, timings: [], payload: Buffer.from('x') })],
    ['a request of HTTP', () => Buffer.from('GET / HTTP/1.1\r\nHost: x\r\n\r\n')],
    ['random without a length', () => named('random')],
    ['random with two lengths', () => named('random', u32(1), u32(1))],
    ['random with a length of 3 bytes', () => named('random', Buffer.alloc(3, 1))],
    ['random of 0 bytes', () => random(1, 0)],
    ['random of 1,025 bytes', () => random(1, 1025)],
    ['encrypt without fields', () => named('encrypt')],
    ['encrypt with a field too many', () => named('encrypt', rowName(key), key.row, none, Buffer.from('x'), none)],
    ['a name of 63 bytes', () => named('encrypt', rowName(key).subarray(1), none, none, Buffer.from('x'))],
    ['a name that is a MAC alone', () => named('encrypt', key.mac, none, none, Buffer.from('x'))],
    ['encrypt of nothing, with the row', () => named('encrypt', rowName(key), key.row, none, none)],
    ['encrypt of 8,193 bytes, with the row', () => named('encrypt', rowName(key), key.row, none, Buffer.alloc(8193))],
    ['seal of nothing, with the row', () => named('seal', rowName(token.domain.sealKey), token.domain.sealKey.row, none, none)],
    ['create of what is no row', () => named('create', randomBytes(100), Buffer.from([0]), encodeExpiry(10_000))],
    ['create without the moment of its end', () => named('create', planRow({}), Buffer.from([0]))],
    ['create with half a moment', () => named('create', planRow({}), Buffer.from([0]), Buffer.alloc(4))],
    ['create of nothing', () => named('create', none, none, encodeExpiry(10_000))],
    ['create with a material id of 5 bytes', () => named('create', planRow({ materialId: Buffer.alloc(5) }), Buffer.from([0]), encodeExpiry(10_000))],
    ['create with a key id that is none', () => named('create', planRow({ keyId: '../..' }), Buffer.from([0]), encodeExpiry(10_000))],
    ['create with a CKA_ID that a domain key could have', () => named('create', planRow({ residency: 'resident', ckaId: Buffer.alloc(21) }), Buffer.from([0]), encodeExpiry(10_000))],
  ])('%s', async (_what, bytes) => {
    await expectHungUp(bytes())
  })

  it('encrypt of nothing with a key that is not open yet', async () => {
    const cold = await freshKey()
    await expectHungUp(named('encrypt', rowName(cold), cold.row, none, none))
  })

  it('a request with the id of one that still waits for its key', async () => {
    const cold = await freshKey()
    const request = named('encrypt', rowName(cold), cold.row, none, Buffer.from('x'))
    await expectHungUp(Buffer.concat([request, request]))
  })

  it('a bad frame behind a good one in the same write', async () => {
    await expectHungUp(Buffer.concat([numbered(255), random(2)]))
  })

  it('random bytes, twenty times', async () => {
    for (let i = 0; i < 20; i++) {
      const line = new Line(socketPath)
      // The first four bytes are a length: a short one, so that there is a frame to read.
      line.write(Buffer.concat([u32(5 + i), randomBytes(5 + i), u32(0xffffffff)]))
      await until(() => line.ended, 'the end of the connection')
    }
    await expectServed()
  })
})

describe('a connection goes on', () => {
  it('when frames come byte by byte, or several at once', async () => {
    const line = new Line(socketPath)
    for (const byte of random(1)) line.write(Buffer.from([byte]))
    line.write(Buffer.concat([random(2), random(3), random(4)]))
    await until(() => line.answers.length === 4, 'four answers')
    expect(line.answers.map(({ id }) => id)).toEqual([1, 2, 3, 4])
    line.close()
  })

  it.each<Verb>(['destroy', 'import'])('when asked for %s, which this version does not do', async verb => {
    const line = new Line(socketPath)
    line.write(Buffer.concat([named(verb, Buffer.alloc(64), none, none, none), random(2)]))
    await until(() => line.answers.length === 2, 'two answers')
    expect(line.answers.map(({ status }) => status)).toEqual(['unsupported', 'ok'])
    line.close()
  })

  it('when a name is not known: it asks for the row, then serves', async () => {
    const cold = await freshKey()
    const line = new Line(socketPath)
    const context = encodeContext(undefined)
    line.write(named('encrypt', rowName(cold), none, context, Buffer.from('x')))
    await until(() => line.answers.length === 1, 'an answer')
    expect(line.answers[0]).toMatchObject({ status: 'needRow', payload: none })
    line.write(named('encrypt', rowName(cold), cold.row, context, Buffer.from('x')))
    await until(() => line.answers.length === 2, 'another answer')
    expect(line.answers[1]?.status).toBe('ok')
    expect(await token.client.decrypt(cold, context, line.answers[1]?.payload ?? none)).toEqual(Buffer.from('x'))
    line.close()
  })

  it('when a row comes with the name of another row, which it does not open, then or later', async () => {
    const cold = await freshKey()
    const edited: SealedMaterial = { mac: cold.mac, row: Buffer.from(cold.row.toString('latin1').replace('111122223333', '999988887777'), 'latin1') }
    const line = new Line(socketPath)
    line.write(named('encrypt', rowName(edited), cold.row, none, Buffer.from('x')))
    await until(() => line.answers.length === 1, 'an answer')
    expect(line.answers[0]).toMatchObject({ status: 'refused', payload: Buffer.from('the MAC of a material row is wrong') })
    line.write(named('encrypt', rowName(edited), none, none, Buffer.from('x')))
    await until(() => line.answers.length === 2, 'another answer')
    expect(line.answers[1]?.status).toBe('needRow')
    line.close()
  })
})

describe('the agent goes on', () => {
  it('when a client hangs up while its key is being opened', async () => {
    for (let i = 0; i < 10; i++) {
      const cold = await freshKey({ keyId: randomUUID() })
      const line = new Line(socketPath)
      line.write(named('encrypt', rowName(cold), cold.row, encodeContext(undefined), Buffer.from('x')))
      line.close()
    }
    await expectServed()
  })

  it('when a client reads nothing of its answers', async () => {
    const line = connect(socketPath)
    line.on('error', () => undefined)
    line.pause()
    for (let i = 0; i < 500; i++) line.write(random(i, 1024))
    await expectServed()
    line.destroy()
    await expectServed()
  })
})
