// Other people's signers as oracles: what they sign is verified, what sign() makes is what they would have made.
import { createHash, createHmac } from 'node:crypto'
import { SignatureV4 } from '@smithy/signature-v4'
import aws4 from 'aws4'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { sign } from '../../src/sigv4/signing.ts'
import { parseAuthorization, type SignedRequest } from '../../src/sigv4/authorization.ts'
import { accessKeyId, headerOf, now, scope, secret, signer, verify } from './request.ts'

const printable = (max: number) => fc.string({ unit: fc.integer({ min: 0x20, max: 0x7e }).map(code => String.fromCharCode(code)), maxLength: max })
const headers = fc.dictionary(fc.stringMatching(/^x-[a-z0-9-]{1,12}$/).filter(name => !name.startsWith('x-amz-')), printable(40), { maxKeys: 6 })
const segment = fc.oneof(fc.constantFrom('', '.', '..', 'a%20b', '%2F', '~', '!\'()*', ';,:@&=+$'), fc.stringMatching(/^[A-Za-z0-9._~-]{1,10}$/))
const path = fc.array(segment, { maxLength: 6 }).map(segments => `/${segments.join('/')}`)
const parameters = fc.array(fc.tuple(printable(12).filter(name => name !== '' && !name.startsWith('X-Amz-')), printable(12)), { maxLength: 6 })
const body = fc.uint8Array({ maxLength: 200 }).map(bytes => Buffer.from(Buffer.from(bytes).toString('hex')))
const token = fc.option(fc.stringMatching(/^[A-Za-z0-9+/=]{1,80}$/), { nil: undefined })
const amzDate = '20261122T202346Z'

const rawHeadersOf = (record: object): string[] => Object.entries(record).flatMap(([name, value]) => [name, String(value)])
const queryOf = (pairs: readonly (readonly [string, string])[]) => pairs.map(pair => pair.map(encodeURIComponent).join('=')).join('&')

describe('aws4', () => {
  it('signs headers that verify', () => {
    fc.assert(fc.property(headers, path, parameters, body, token, (given, at, pairs, payload, sessionToken) => {
      const output = aws4.sign({
        method: 'POST', service: 'kms', region: 'eu-central-1', host: 'kms.example.com', path: pairs.length > 0 ? `${at}?${queryOf(pairs)}` : at,
        headers: { ...given, 'X-Amz-Date': amzDate, 'X-Amz-Target': 'TrentService.Encrypt' }, body: payload,
      }, { accessKeyId, secretAccessKey: secret, sessionToken })
      const request = { method: 'POST', url: output.path ?? '/', rawHeaders: rawHeadersOf(output.headers ?? {}), body: payload }
      expect(parseAuthorization(request)).toMatchObject({ form: 'header', accessKeyId, sessionToken })
      verify(request)
    }), { numRuns: 300 })
  })

  it('signs query strings that verify', () => {
    fc.assert(fc.property(path, parameters, token, (at, pairs, sessionToken) => {
      const query = queryOf([...pairs, ['X-Amz-Date', amzDate], ['X-Amz-Expires', '60']])
      const output = aws4.sign({
        method: 'GET', service: 'sts', region: 'us-east-1', host: 'sts.example.com', path: `${at}?${query}`, signQuery: true, headers: { 'x-k8s-aws-id': 'cluster' },
      }, { accessKeyId, secretAccessKey: secret, sessionToken })
      const request = { method: 'GET', url: output.path ?? '/', rawHeaders: rawHeadersOf(output.headers ?? {}), body: Buffer.alloc(0) }
      expect(parseAuthorization(request)).toMatchObject({ form: 'query', expires: 60, sessionToken })
      verify(request, { ...scope, services: ['kms', 'sts'] })
    }), { numRuns: 300 })
  })

  it('signs by a Date header where it is told to leave the headers alone', () => {
    const output = aws4.sign({
      method: 'POST', service: 'kms', region: 'eu-central-1', host: 'kms.example.com', path: '/', body: '{}', doNotModifyHeaders: true,
      headers: { Host: 'kms.example.com', Date: 'Sun, 22 Nov 2026 20:23:46 GMT' },
    }, { accessKeyId, secretAccessKey: secret })
    verify({ method: 'POST', url: '/', rawHeaders: rawHeadersOf(output.headers ?? {}), body: Buffer.from('{}') })
  })

  it('would have made the signature that sign() makes', () => {
    fc.assert(fc.property(headers, path, parameters, body, (given, at, pairs, payload) => {
      const url = pairs.length > 0 ? `${at}?${queryOf(pairs)}` : at
      const input = { Host: 'kms.example.com', 'Content-Type': 'application/json', 'Content-Length': String(payload.length), ...given }
      const theirs = aws4.sign({ method: 'POST', service: 'kms', region: 'eu-central-1', path: url, headers: { ...input, 'X-Amz-Date': amzDate }, body: payload },
        { accessKeyId, secretAccessKey: secret })
      const ours = sign({ method: 'POST', url, rawHeaders: rawHeadersOf(input), body: payload }, signer)
      expect(ours[ours.indexOf('Authorization') + 1]).toBe(theirs.headers?.['Authorization'])
    }), { numRuns: 300 })
  })
})

/** The hash class that the SDK's signer wants. */
class Sha256 {
  readonly #hash

  constructor(key?: string | Buffer | ArrayBuffer | ArrayBufferView) {
    const bytes = key === undefined || typeof key === 'string' ? key : ArrayBuffer.isView(key) ? key : new Uint8Array(key)
    this.#hash = bytes === undefined ? createHash('sha256') : createHmac('sha256', bytes as string | Uint8Array)
  }

  update(data: Uint8Array) {
    this.#hash.update(data)
  }

  digest() {
    return Promise.resolve(new Uint8Array(this.#hash.digest()))
  }

  reset() {
    throw new Error('the signer makes a new hash each time')
  }
}

describe('the SDK\'s signer', () => {
  const theirs = (service: string, sessionToken?: string) =>
    new SignatureV4({ service, region: 'eu-central-1', sha256: Sha256, credentials: { accessKeyId, secretAccessKey: secret, sessionToken } })
  const httpRequest = (method: string, at: string, record: Record<string, string>, payload?: Buffer) =>
    ({ method, protocol: 'https:', hostname: 'kms.example.com', path: at, headers: { host: 'kms.example.com', ...record }, query: {}, body: payload })

  it('signs headers that verify', async () => {
    await fc.assert(fc.asyncProperty(headers, path, body, token, async (given, at, payload, sessionToken) => {
      const output = await theirs('kms', sessionToken).sign(httpRequest('POST', at, { ...given, 'x-amz-target': 'TrentService.Encrypt' }, payload), { signingDate: now })
      verify({ method: 'POST', url: at, rawHeaders: rawHeadersOf(output.headers), body: payload })
    }), { numRuns: 100 })
  })

  it('presigns queries that verify', async () => {
    await fc.assert(fc.asyncProperty(path, parameters, token, async (at, pairs, sessionToken) => {
      const output = await theirs('sts', sessionToken).presign({ ...httpRequest('GET', at, { 'x-k8s-aws-id': 'cluster' }), query: Object.fromEntries(pairs) },
        { signingDate: now, expiresIn: 60, unhoistableHeaders: new Set(['x-k8s-aws-id']) })
      const url = `${at}?${queryOf(Object.entries(output.query ?? {}).map(([name, value]) => [name, String(value)] as const))}`
      verify({ method: 'GET', url, rawHeaders: rawHeadersOf(output.headers), body: Buffer.alloc(0) }, { ...scope, services: ['kms', 'sts'] })
    }), { numRuns: 100 })
  })

  it('would have made the signature that sign() makes', async () => {
    await fc.assert(fc.asyncProperty(headers, path, body, token, async (given, at, payload, sessionToken) => {
      const request = httpRequest('POST', at, given, payload)
      const output = await new SignatureV4({
        service: 'kms', region: 'eu-central-1', sha256: Sha256, applyChecksum: false, credentials: { accessKeyId, secretAccessKey: secret, sessionToken },
      }).sign(request, { signingDate: now })
      const ours: SignedRequest = { method: 'POST', url: at, rawHeaders: rawHeadersOf(request.headers), body: payload }
      expect(headerOf({ ...ours, rawHeaders: sign(ours, { ...signer, sessionToken }) }, 'Authorization')).toBe(output.headers['authorization'])
    }), { numRuns: 100 })
  })
})
