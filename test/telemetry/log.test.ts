import { expect, test } from 'vitest'
import { createLog } from '../../src/telemetry/log.ts'
import type { Log } from '../../src/telemetry/log.ts'

function open(): { log: Log; lines: () => Record<string, unknown>[]; text: () => string } {
  const written: string[] = []
  const log = createLog({ level: 'debug', name: 'test', destination: { write: (line: string) => void written.push(line) } })
  return { log, lines: () => written.map(line => JSON.parse(line) as Record<string, unknown>), text: () => written.join('') }
}

const secret = Buffer.from('0f1e2d3c4b5a69788796a5b4c3d2e1f0', 'hex')

function expectNoBytes(text: string): void {
  for (const form of [secret.toString('hex'), secret.toString('base64'), secret.toString('base64url'), secret.toString('latin1'), '15,30,45,60', '"0":15']) {
    expect(text).not.toContain(form)
  }
  expect(text.replaceAll(/\s/g, '')).not.toContain('15,30,45,60')
}

const forms: [string, unknown][] = [
  ['a Buffer', secret],
  ['a Uint8Array', new Uint8Array(secret)],
  ['another typed array', new Uint32Array(Uint8Array.from(secret).buffer)],
  ['an ArrayBuffer', Uint8Array.from(secret).buffer],
  ['a DataView', new DataView(Uint8Array.from(secret).buffer)],
  ['the JSON form of a Buffer', secret.toJSON()],
  ['an array of bytes', [...secret]],
]

test.each(forms)('%s never shows its bytes, in any nesting', (_name, bytes) => {
  const { log, text, lines } = open()
  log.info({ bytes, list: [bytes, { deeper: [bytes] }], map: new Map([['inner', bytes]]), set: new Set([bytes]) }, 'nested')
  log.info({ error: new Error('broken', { cause: bytes }) }, 'in an error')
  log.info(bytes as object, 'alone')
  log.child({ bytes }).info('in a child')
  expectNoBytes(text())
  expect(lines()[0]).toMatchObject({ bytes: '[redacted 16 bytes]', map: { inner: '[redacted 16 bytes]' }, msg: 'nested' })
  expect(lines()).toHaveLength(4)
})

test('arguments behind the message are not interpolated', () => {
  const { log, text, lines } = open()
  const loose = log.info as (...args: unknown[]) => void
  loose.call(log, 'bytes %s %o %j', secret, secret, secret)
  loose.call(log, { a: 1 }, 'bytes %s', secret)
  expectNoBytes(text())
  expect(lines().map(line => line['msg'])).toEqual(['bytes %s %o %j', 'bytes %s'])
})

test('members with the name of a secret are dropped in any spelling and depth', () => {
  const { log, text, lines } = open()
  const words = {
    pin: 'hunter2', PIN: 'hunter2', secret: 'hunter2', SecretAccessKey: 'hunter2', 'secret_access_key': 'hunter2', password: 'hunter2',
    Plaintext: 'hunter2', PrivateKeyPlaintext: 'hunter2', authorization: 'hunter2', sessionToken: 'hunter2', 'x-amz-security-token': 'hunter2',
    databasePassword: 'hunter2',
  }
  log.warn({ ...words, inner: [words], map: new Map(Object.entries(words)), keyId: 'kept', token: 'alpha' }, 'words')
  log.child(words).warn({}, 'child')
  expect(text()).not.toContain('hunter2')
  expect(lines()[0]).toMatchObject({ inner: [{}], map: {}, keyId: 'kept', token: 'alpha' })
})

test('an error shows type, message, stack and cause and none of its other members', () => {
  const { log, text, lines } = open()
  const cause = Object.assign(new TypeError('inner'), { connection: 'hunter2' })
  const error = Object.assign(new RangeError('outer', { cause }), { code: 'E1', config: { user: 'hunter2' } })
  log.error({ err: error }, 'failed')
  log.error(error, 'failed')
  expect(text()).not.toContain('hunter2')
  for (const line of lines()) {
    const shown = line['err'] as Record<string, unknown>
    expect(Object.keys(shown)).toEqual(['type', 'message', 'stack', 'cause'])
    expect(shown).toMatchObject({ type: 'RangeError', message: 'outer', cause: { type: 'TypeError', message: 'inner' } })
    expect(line['msg']).toBe('failed')
  }
})

test('a child carries its request id and the parent does not', () => {
  const { log, lines } = open()
  log.child({ requestId: 'r-1' }).child({ step: 'ship' }).info('from the child')
  log.info('from the parent')
  expect(lines()[0]).toMatchObject({ requestId: 'r-1', step: 'ship', level: 'info', name: 'test' })
  expect(lines()[1]).not.toHaveProperty('requestId')
})

test('circles, depth, breadth and long texts are bounded', () => {
  const { log, lines } = open()
  const circle: Record<string, unknown> = { name: 'loop' }
  circle['self'] = circle
  let deep: unknown = 'bottom'
  for (let level = 0; level < 1000; level++) deep = { deep }
  log.info({ circle, deep, long: 'x'.repeat(100_000), wide: Array.from({ length: 10_000 }, (_, index) => `m${index}`) }, 'bounded')
  const line = lines()[0] ?? {}
  expect(line['circle']).toEqual({ name: 'loop', self: '[circular]' })
  expect(JSON.stringify(line)).toContain('[too deep]')
  expect(JSON.stringify(line).length).toBeLessThan(20_000)
})

test('values that JSON cannot hold are written as texts', () => {
  const { log, lines } = open()
  log.info({ big: 12n, when: new Date(0), call: () => 1, bad: new Date(NaN) }, 'values')
  expect(lines()[0]).toMatchObject({ big: '12', when: '1970-01-01T00:00:00.000Z', bad: null })
  expect(lines()[0]).not.toHaveProperty('call')
})

test('levels below the chosen one are not written', () => {
  const written: string[] = []
  const log = createLog({ level: 'warn', name: 'test', destination: { write: (line: string) => void written.push(line) } })
  log.info('quiet')
  log.warn('loud')
  expect(written).toHaveLength(1)
})
