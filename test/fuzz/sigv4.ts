// Signatures: a request whose signed part was changed on the way must be refused and not carried out, whatever was changed; changes
// of what no signature covers must not matter. The signed request would tag the canary key.
import type { ErrorCode } from '../../src/errors.ts'
import { draft, refused, signed, succeeds, type Case, type Expected } from './case.ts'
import type { WireRequest } from './connection.ts'
import type { Random } from './random.ts'
import type { World } from './world.ts'

const wrong: readonly ErrorCode[] = ['InvalidSignatureException', 'IncompleteSignatureException', 'MissingAuthenticationTokenException', 'UnrecognizedClientException']
const invalid = refused('InvalidSignatureException')
/** Strangers are held back by address. */
const unknownClient = refused('UnrecognizedClientException', 'ThrottlingException')

interface Change {
  readonly request: WireRequest
  readonly expected?: Expected
  readonly stranger?: boolean
}
type Mutation = (random: Random, request: WireRequest, world: World) => Change

const header = (request: WireRequest, name: string): string => request.headers[request.headers.findIndex((one, at) => at % 2 === 0 && one.toLowerCase() === name) + 1] ?? ''
const withHeader = (request: WireRequest, name: string, value: string): WireRequest =>
  ({ ...request, headers: request.headers.map((one, at) => at % 2 === 1 && request.headers[at - 1]?.toLowerCase() === name ? value : one) })
const without = (request: WireRequest, name: string): WireRequest =>
  ({ ...request, headers: request.headers.filter((_, at) => request.headers[at - at % 2]?.toLowerCase() !== name) })
const added = (request: WireRequest, name: string, value: string): WireRequest => ({ ...request, headers: [...request.headers, name, value] })
const authorization = (request: WireRequest, change: (text: string) => string): WireRequest => withHeader(request, 'authorization', change(header(request, 'authorization')))

/**
 * One printable character in the place of another; white space and commas both part, so those stay.
 * Never just another case in the list of SignedHeaders: header names have none, so that would be the same request.
 */
function changedCharacter(random: Random, text: string): string {
  const at = random.pick([...text].flatMap((one, index) => / |,/.test(one) ? [] : [index]))
  const names = /SignedHeaders=[^,]*/.exec(text)
  const isOfName = names !== null && at >= names.index + 'SignedHeaders='.length && at < names.index + names[0].length
  const was = text[at] ?? ''
  const other = random.pick([...'abcdef0123456789ABCXYZ/=,;. '].filter(one => one !== was && !(isOfName && one.toLowerCase() === was)))
  return text.slice(0, at) + other + text.slice(at + 1)
}

const credential = (request: WireRequest, field: number, value: (text: string) => string): WireRequest =>
  authorization(request, text => text.replace(/Credential=([^,]*)/, (_, scope: string) => `Credential=${scope.split('/').map((one, at) => at === field ? value(one) : one).join('/')}`))

const mutations: Readonly<Record<string, Mutation>> = {
  'body-byte': (random, request) => {
    const body = Buffer.from(request.body)
    const at = random.below(body.length)
    body[at] = (body[at] ?? 0) ^ (1 << random.below(8))
    return { request: { ...request, body }, expected: invalid }
  },
  'body-cut': (random, request) => ({ request: { ...request, body: request.body.subarray(0, random.below(request.body.length)) }, expected: invalid }),
  'body-longer': (random, request) => ({ request: { ...request, body: Buffer.concat([request.body, Buffer.from(random.pick([' ', '\n', '}', '\0', '{}']))]) }, expected: invalid }),
  'other-target': (random, request) => ({
    request: withHeader(request, 'x-amz-target', `TrentService.${random.pick(['UntagResource', 'DisableKey', 'DescribeKey', 'GenerateRandom', 'CreateKey'])}`), expected: invalid,
  }),
  'no-such-target': (random, request) => ({
    request: withHeader(request, 'x-amz-target', random.pick(['TrentService.tagResource', 'TrentService.', 'TagResource', 'TrentService.__proto__', 'TrentService.constructor', `TrentService.${random.text(5).replaceAll(/[^\x21-\x7e]/g, '~')}`])),
    expected: { ...refused('UnknownOperationException'), text: null },
  }),
  'other-second': (random, request) => ({
    request: withHeader(request, 'x-amz-date', header(request, 'x-amz-date').replace(/(\d)Z$/, (_, digit: string) => `${(Number(digit) + random.between(1, 9)) % 10}Z`)), expected: invalid,
  }),
  'other-host': (random, request) => ({ request: withHeader(request, 'host', random.pick(['kms.us-east-1.amazonaws.com', 'localhost', `${header(request, 'host')}0`])), expected: invalid }),
  'other-content-type': (random, request) => ({
    request: withHeader(request, 'content-type', random.pick(['application/x-amz-json-1.1; charset=utf-8', 'Application/X-Amz-Json-1.1', 'application/x-amz-json-1.1;x'])), expected: invalid,
  }),
  'no-protocol': (random, request) => ({
    request: withHeader(request, 'content-type', random.pick(['application/json', 'application/x-amz-json-1.0', 'text/plain', '', 'application/cbor', 'multipart/form-data'])),
    expected: { ...refused(), protocol: 'unknown' },
  }),
  'other-method': (random, request) => ({ request: { ...request, method: random.pick(['PUT', 'PATCH', 'DELETE', 'OPTIONS']) }, expected: { ...refused(...wrong), protocol: 'unknown' } }),
  'other-path': (random, request) => ({ request: { ...request, url: random.pick(['/x', '/%2e', '/a/../b', '//x', '/;', '/%00', '/%ff']) }, expected: invalid }),
  'query-added': (random, request) => ({ request: { ...request, url: `/?${random.pick(['a=b', 'a', '=', 'X-Amz-Date=1', 'a=%', '%zz', 'X-Amz-Signature=0', '__proto__=1'])}` }, expected: invalid }),
  'both-forms': (_random, request) => ({ request: { ...request, url: '/?X-Amz-Algorithm=AWS4-HMAC-SHA256' }, expected: invalid }),
  'too-many-parameters': (random, request) => ({ request: { ...request, url: `/?${'a&'.repeat(random.between(1001, 3000))}` }, expected: refused('IncompleteSignatureException', 'InvalidSignatureException') }),
  'signature-digit': (random, request) => ({
    request: authorization(request, text => {
      const at = text.length - 1 - random.below(64)
      return text.slice(0, at) + random.pick([...'0123456789abcdefABCDEFg '].filter(one => one !== text[at])) + text.slice(at + 1)
    }),
    expected: refused('InvalidSignatureException', 'IncompleteSignatureException'),
  }),
  'signature-length': (random, request) => ({
    request: authorization(request, text => random.chance(0.5) ? text.slice(0, -random.between(1, 64)) : text + random.bytes(random.between(1, 40)).toString('hex')), expected: invalid,
  }),
  'signature-in-capitals': (_random, request) => ({
    request: authorization(request, text => text.replace(/Signature=.*/, all => `Signature=${all.slice(10).toUpperCase()}`)), expected: invalid,
  }),
  'unknown-access-key': (random, request) => ({
    request: credential(request, 0, () => `AKIA${random.bytes(8).toString('hex').toUpperCase()}`), expected: unknownClient, stranger: true,
  }),
  'no-access-key': (random, request) => ({
    request: credential(request, 0, () => random.pick(['', ' ', '..', '%00', '__proto__', 'constructor', 'a'.repeat(200), '\u00ff'])), expected: refused(...wrong, 'ThrottlingException'), stranger: true,
  }),
  'other-day': (random, request) => ({ request: credential(request, 1, day => random.pick([String(Number(day) - 1), '00000000', '', '20150830', 'x'])), expected: invalid }),
  'other-region': (random, request) => ({ request: credential(request, 2, () => random.pick(['us-east-1', 'ONPREM-1', '', 'onprem-1x'])), expected: invalid }),
  'other-service': (random, request) => ({ request: credential(request, 3, () => random.pick(['iam', 'sts', 's3', 'KMS', ''])), expected: invalid }),
  'other-terminator': (random, request) => ({ request: credential(request, 4, () => random.pick(['aws5_request', 'AWS4_REQUEST', 'aws4_request_', ''])), expected: invalid }),
  'more-scope': (_random, request) => ({ request: credential(request, 4, () => 'aws4_request/x'), expected: refused('IncompleteSignatureException') }),
  'signed-header-dropped': (random, request) => ({
    request: authorization(request, text => text.replace(random.pick(['content-type;', 'host;', 'x-amz-date;', ';x-amz-target']), '')), expected: invalid,
  }),
  'signed-header-named-twice': (random, request) => ({ request: authorization(request, text => text.replace('SignedHeaders=', `SignedHeaders=${random.pick(['host;', 'x-amz-date;', ';', 'content-type;'])}`)), expected: invalid }),
  'signed-header-that-is-not-there': (random, request) => ({ request: authorization(request, text => text.replace('SignedHeaders=', `SignedHeaders=${random.pick(['a;', '__proto__;', 'x-amz-source-arn;', 'constructor;'])}`)), expected: invalid }),
  'too-many-signed-headers': (random, request) => ({ request: authorization(request, text => text.replace('SignedHeaders=', `SignedHeaders=${'a;'.repeat(random.between(100, 1000))}`)), expected: refused('IncompleteSignatureException') }),
  'second-of-a-signed-header': (random, request) => {
    const name = random.pick(['X-Amz-Target', 'X-Amz-Date', 'Authorization'])
    return { request: added(request, name, random.pick([header(request, name.toLowerCase()), 'TrentService.CreateKey', ''])), expected: refused(...wrong, 'UnknownOperationException') }
  },
  'decisive-header-not-signed': (random, request) => ({ request: added(request, random.pick(['X-Amz-Source-Arn', 'X-Amz-Source-Account']), '111122223333'), expected: invalid }),
  'session-token-added': (random, request) => ({ request: added(request, 'X-Amz-Security-Token', random.pick(['x', '', random.bytes(300).toString('base64')])), expected: refused(...wrong) }),
  'other-body-hash': (random, request) => ({
    request: added(request, 'X-Amz-Content-Sha256', random.pick(['UNSIGNED-PAYLOAD', 'STREAMING-AWS4-HMAC-SHA256-PAYLOAD', '', 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855'])), expected: invalid,
  }),
  'no-authorization': (_random, request) => ({ request: without(request, 'authorization'), expected: refused('MissingAuthenticationTokenException') }),
  'no-date': (_random, request) => ({ request: without(request, 'x-amz-date'), expected: refused('IncompleteSignatureException') }),
  'no-target': (_random, request) => ({ request: without(request, 'x-amz-target'), expected: { ...refused('UnknownOperationException'), text: null } }),
  'header-no-date': (random, request) => ({
    request: withHeader(request, 'x-amz-date', random.pick(['', 'now', '20150230T000000Z', '99999999T999999Z', '20150830T123600', '2015-08-30T12:36:00Z', '0', '\u00b2\u00b2\u00b2'])), expected: refused('IncompleteSignatureException'),
  }),
  'one-character-of-authorization': (random, request) => {
    const changed = authorization(request, text => changedCharacter(random, text))
    return { request: changed, expected: refused(...wrong, 'ThrottlingException'), stranger: true }
  },
  'pieces-of-authorization': (random, request) => ({
    request: authorization(request, text => random.shuffled(text.split(/([ ,=;/]+)/)).slice(0, random.between(0, 20)).join('').trim()), expected: refused(...wrong, 'ThrottlingException'), stranger: true,
  }),
  'garbage-authorization': (random, request) => ({
    request: withHeader(request, 'authorization', random.pick(['AWS4-HMAC-SHA256', 'AWS4-', 'Basic eDp5', 'Bearer x', 'AWS AKID:sig', 'AWS4-ECDSA-P256-SHA256 Credential=a', `AWS4-HMAC-SHA256 ${'='.repeat(random.below(5000))}`, `AWS4-HMAC-SHA256 Credential=${'/'.repeat(random.below(5000))}, SignedHeaders=, Signature=`, 'AWS4-HMAC-SHA256 ' + 'x'.repeat(8192)])),
    expected: refused(...wrong),
  }),
  'bytes-beyond-ascii': (random, request) => ({
    request: authorization(request, text => text + [...random.bytes(random.between(1, 20))].map(byte => String.fromCharCode(byte | 0x80)).join('')), expected: refused(...wrong, 'ThrottlingException'),
  }),
  'signed-with-another-secret': (random, request, world) => ({ request: signed(request, { ...world.admin, secretAccessKey: random.bytes(30).toString('base64') }), expected: invalid }),
  'of-yesterday': (random, request, world) => ({ request: signed(request, world.admin, -random.between(330, 100_000)), expected: invalid }),
  'of-tomorrow': (random, request, world) => ({ request: signed(request, world.admin, random.between(330, 100_000)), expected: invalid }),
  'of-nobody-who-may': (_random, request, world) => ({ request: signed(request, world.plain), expected: refused('AccessDeniedException') }),
}

type Harmless = (random: Random, request: WireRequest, world: World) => WireRequest

/** What proxies and clients do to a request without changing it. */
const harmless: Readonly<Record<string, Harmless>> = {
  'headers-in-another-order': (random, request) => ({ ...request, headers: random.shuffled(request.headers.flatMap((name, at) => at % 2 === 0 ? [[name, request.headers[at + 1] ?? '']] : [])).flat() }),
  'names-in-another-case': (random, request) => ({ ...request, headers: request.headers.map((one, at) => at % 2 === 0 ? random.pick([one.toLowerCase(), one.toUpperCase()]) : one) }),
  'white-space-around-values': (random, request) => ({ ...request, headers: request.headers.map((one, at) => at % 2 === 0 ? one : `${random.pick(['', ' ', '\t'])}${one}${random.pick(['', ' ', '\t '])}`) }),
  'unsigned-header-added': (random, request) => added(request, random.pick(['User-Agent', 'X-Amzn-Trace-Id', 'X-Forwarded-For', 'Accept', 'Amz-Sdk-Request', 'Via']), random.text(random.below(100)).replaceAll(/[^\x20-\x7e]/g, '~')),
  'one-space-between-the-parts': (_random, request) => authorization(request, text => text.replaceAll(', ', ',')),
  'clock-within-tolerance': (random, request, world) => signed(request, world.admin, random.between(-270, 270)),
}

const [mutationNames, harmlessNames] = [Object.keys(mutations), Object.keys(harmless)]

export function sigv4Case(random: Random, world: World): Case {
  if (random.chance(0.1)) {
    const name = random.pick(harmlessNames)
    const request = signed(draft(world, 'DescribeKey', `{"KeyId":"${random.pick(world.open).id}"}`), world.admin)
    return { name: `sigv4/${name}`, request: harmless[name]?.(random, request, world) ?? request, expected: succeeds('DescribeKey') }
  }
  const name = random.pick(mutationNames)
  const plain = draft(world, 'TagResource', JSON.stringify({ KeyId: world.canary.id, Tags: [{ TagKey: 'executed', TagValue: name }] }))
  const original = signed(plain, world.admin)
  const { request, expected = refused(...wrong), stranger = false } = mutations[name]?.(random, original, world) ?? { request: without(original, 'authorization') }
  return { name: `sigv4/${name}`, request, expected, stranger }
}
