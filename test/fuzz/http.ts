// HTTP itself, broken or unusual: the gateway may answer 4xx or end that connection, and nothing else may suffer from it.
import { call, draft, refused, signed, succeeds, type Case } from './case.ts'
import { encode } from './connection.ts'
import type { Random } from './random.ts'
import type { World } from './world.ts'

type Maker = (random: Random, whole: Buffer, world: World) => Buffer

const latin1 = (text: string): Buffer => Buffer.from(text, 'latin1')
const changed = (whole: Buffer, from: string, to: string): Buffer => latin1(whole.toString('latin1').replace(from, () => to))

const broken: Readonly<Record<string, Maker>> = {
  'random-bytes': random => Buffer.concat([latin1(random.pick(['!', '{', '\x16\x03\x01', 'GET'])), random.bytes(random.between(1, 500)), latin1('\r\n\r\n')]),
  'no-such-version': (random, whole) => changed(whole, 'HTTP/1.1', random.pick(['HTTP/9.9', 'HTTP/2.0', 'HTTX/1.1', 'http/1.1'])),
  'no-such-method': (random, whole) => changed(whole, 'POST', random.pick(['P\0ST', 'POSTX', '\u00ff', ''])),
  'no-host': (_random, whole) => latin1(whole.toString('latin1').replace(/Host: [^\r]*\r\n/, '')),
  'control-in-a-header': (random, whole) => changed(whole, 'TrentService.', `Trent${random.pick(['\0', '\x01', '\x0b', '\n', '\r'])}Service.`),
  'two-lengths': (random, whole) => changed(whole, 'Content-Length:', `Content-Length: ${random.below(10)}\r\nContent-Length:`),
  'length-and-chunks': (_random, whole) => changed(whole, 'Content-Length:', 'Transfer-Encoding: chunked\r\nContent-Length:'),
  'no-such-length': (random, whole) => changed(whole, 'Content-Length: ', `Content-Length: ${random.pick(['-', 'x', '0x', '99999999999999999999', '+', '1 '])}`),
  'no-such-coding': (random, whole) => latin1(whole.toString('latin1').replace(/Content-Length: \d+/, `Transfer-Encoding: ${random.pick(['gzip', 'chunked, identity', 'xchunked', 'chunked, chunked'])}`)),
  'broken-chunks': (random, whole) => latin1(whole.toString('latin1').replace(/Content-Length: \d+\r\n\r\n/, `Transfer-Encoding: chunked\r\n\r\n${random.pick(['zz\r\n', '-1\r\n', 'fffffffffffffffff\r\n', '5;\r\nabc\r\n'])}`)),
  'endless-header': (random, whole) => changed(whole, 'Content-Length:', `X-Long: ${'x'.repeat(random.between(16_384, 40_000))}\r\nContent-Length:`),
  'folded-header': (_random, whole) => changed(whole, '\r\nContent-Length:', '\r\n folded\r\nContent-Length:'),
  'many-headers': (random, whole) => changed(whole, 'Content-Length:', `${Array.from({ length: random.between(1_000, 2_500) }, (_, at) => `a${at}:\r\n`).join('')}Content-Length:`),
  'absolute-target': (_random, whole, { host }) => changed(whole, 'POST / ', `POST http://${host}/ `),
  'other-target-form': (random, whole) => changed(whole, 'POST / ', `POST ${random.pick(['*', 'x', 'http://', '//', '/\u00ff', '/ x'])} `),
  'trace': (random, whole) => changed(whole, 'POST', random.pick(['TRACE', 'PRI', 'SEARCH', 'PURGE'])),
  'upgrade': (_random, whole) => changed(whole, 'Content-Length:', 'Connection: Upgrade\r\nUpgrade: h2c\r\nContent-Length:'),
}
const names = Object.keys(broken)

export function httpCase(random: Random, world: World): Case {
  const keyId = random.pick(world.open).id
  const request = signed(draft(world, 'DescribeKey', JSON.stringify({ KeyId: keyId })), world.admin)
  const whole = encode(request)
  if (random.chance(0.1)) return chunked(random, whole, request)
  if (random.chance(0.1)) return { name: 'http/abandoned', request, expected: refused(), raw: whole.subarray(0, random.between(1, whole.length - 1)), abandoned: true }
  if (random.chance(0.2)) return call(world, 'http/plain', 'DescribeKey', { KeyId: keyId }, succeeds('DescribeKey'))
  const name = random.pick(names)
  return { name: `http/${name}`, request, expected: { ...refused(), protocol: 'broken' }, raw: broken[name]?.(random, whole, world) ?? whole }
}

/** The body in pieces of any size, as it may be sent. */
function chunked(random: Random, whole: Buffer, request: Case['request']): Case {
  const head = whole.toString('latin1', 0, whole.length - request.body.length).replace(/Content-Length: \d+/, 'Transfer-Encoding: chunked')
  const chunks: Buffer[] = []
  for (let at = 0; at < request.body.length;) {
    const size = random.between(1, request.body.length - at)
    chunks.push(latin1(`${size.toString(16)}${random.pick(['', ';x=y'])}\r\n`), request.body.subarray(at, at + size), latin1('\r\n'))
    at += size
  }
  return { name: 'http/chunked', request, expected: succeeds('DescribeKey'), raw: Buffer.concat([latin1(head), ...chunks, latin1('0\r\n\r\n')]) }
}
