import { createHmac } from 'node:crypto'
import { expect, it } from 'vitest'
import { deriveSigningKey, sign } from '../../src/sigv4/signing.ts'
import { accessKeyId, headerOf, secret, signed, signer, unsigned, verify, withHeader } from './request.ts'

it('a signing key is the published one', () => {
  // The example of the AWS documentation, "Deriving the signing key".
  expect(deriveSigningKey(Buffer.from(secret), '20150830', 'us-east-1', 'iam').toString('hex'))
    .toBe('c4afb1cc5771d871763a393e44b703571b55cc28424d1a5e86da6ed3c154a4b9')
})

it('deriving a key leaves the secret to its owner', () => {
  const buffer = Buffer.from(secret)
  const key = deriveSigningKey(buffer, '20150830', 'us-east-1', 'iam')
  expect(buffer.toString()).toBe(secret)
  const chain = ['20150830', 'us-east-1', 'iam', 'aws4_request'].reduce<string | Buffer>((last, part) => createHmac('sha256', last).update(part).digest(), `AWS4${secret}`)
  expect(key).toEqual(chain)
})

it('signing again takes the place of the earlier signature', () => {
  const twice = signed({ sessionToken: 'second' }, signed({ sessionToken: 'first' }))
  expect(twice.rawHeaders.filter((_, index) => index % 2 === 0).map(name => name.toLowerCase()))
    .toEqual(['host', 'content-type', 'x-amz-target', 'x-amz-date', 'x-amz-security-token', 'authorization'])
  expect(headerOf(twice, 'x-amz-security-token')).toBe('second')
  verify(twice)
})

it('headers that proxies change are not signed', () => {
  const request = signed({}, { ...unsigned, rawHeaders: [...unsigned.rawHeaders, 'User-Agent', 'a', 'Connection', 'close', 'X-Amzn-Trace-Id', 'Root=1'] })
  expect(headerOf(request, 'authorization')).toContain('SignedHeaders=content-type;host;x-amz-date;x-amz-target,')
  verify(withHeader(withHeader(request, 'User-Agent', 'b'), 'Connection'))
})

it('the scope is day, Region and service', () => {
  expect(headerOf(signed(), 'authorization')).toContain(`Credential=${accessKeyId}/20261122/eu-central-1/kms/aws4_request,`)
})

it.each([
  ['without Host', { ...unsigned, rawHeaders: [] }, 'a request without Host cannot be signed'],
  ['with a URL that is not ASCII', { ...unsigned, url: '/\u010a' }, 'a request to be signed must be printable ASCII'],
  ['with a blank in its URL', { ...unsigned, url: '/a b' }, 'a request to be signed must be printable ASCII'],
  ['with a line break in a header', { ...unsigned, rawHeaders: ['Host', 'a\r\nX: y'] }, 'a request to be signed must be printable ASCII'],
])('a request %s cannot be signed', (_, request, text) => {
  expect(() => sign(request, signer)).toThrow(new RangeError(text))
})
