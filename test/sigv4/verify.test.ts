import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { payloadHash } from '../../src/sigv4/signing.ts'
import type { SignedRequest } from '../../src/sigv4/authorization.ts'
import { mismatchText, refusal } from './refusal.ts'
import { headerOf, scope, signed, unsigned, verify, withHeader } from './request.ts'

const mismatched = { code: 'InvalidSignatureException', text: mismatchText }
const withUrl = (url: string): SignedRequest => ({ ...unsigned, url })

describe('a signature passes', () => {
  it('over the request as it was signed', () => {
    verify(signed())
  })

  it('when headers come in another order and letter case', () => {
    const request = signed()
    const pairs = Array.from({ length: request.rawHeaders.length / 2 }, (_, index) => request.rawHeaders.slice(index * 2, index * 2 + 2))
    verify({ ...request, rawHeaders: pairs.reverse().flatMap(([name = '', value = '']) => [name.toUpperCase(), value]) })
  })

  it('when a proxy added headers that were not signed', () => {
    const request = signed()
    verify({ ...request, rawHeaders: [...request.rawHeaders, 'X-Forwarded-For', '192.0.2.1', 'Via', '1.1 proxy', 'Connection', 'close'] })
  })

  it('when the body hash is sent along and right', () => {
    verify(signed({}, { ...unsigned, rawHeaders: [...unsigned.rawHeaders, 'X-Amz-Content-Sha256', payloadHash(unsigned.body)] }))
  })

  it('when SignedHeaders is not sorted and not in lower case', () => {
    const request = signed()
    const authorization = headerOf(request, 'authorization').replace(/SignedHeaders=[^,]*/, 'SignedHeaders=X-Amz-Target;x-amz-date;Host;content-type')
    verify(withHeader(request, 'Authorization', authorization))
  })

  it.each(['/a//b', '/a/./b', '/x/../a/b'])('over the normal form of the path %s', url => {
    verify({ ...signed({}, withUrl('/a/b')), url })
  })

  it('whatever the spelling of the same query', () => {
    verify({ ...signed({}, withUrl('/?b=%7e&a=x%20y')), url: '/?a=x+y&b=~' })
  })
})

describe('a signature is refused', () => {
  it.each<[string, (request: SignedRequest) => SignedRequest]>([
    ['another method', request => ({ ...request, method: 'GET' })],
    ['another path', request => ({ ...request, url: '/other' })],
    ['another query', request => ({ ...request, url: '/?a=b' })],
    ['another body', request => ({ ...request, body: Buffer.from('{"KeyId":"alias/b"}') })],
    ['an empty body', request => ({ ...request, body: Buffer.alloc(0) })],
    ['another target', request => withHeader(request, 'X-Amz-Target', 'TrentService.ScheduleKeyDeletion')],
    ['another host', request => withHeader(request, 'Host', 'kms.example.org')],
    ['another content type', request => withHeader(request, 'Content-Type', 'text/plain')],
    ['another second', request => withHeader(request, 'X-Amz-Date', '20261122T202347Z')],
    ['a signed header taken away', request => withHeader(request, 'Content-Type')],
    ['the host taken away', request => withHeader(request, 'Host')],
    ['a second host', request => ({ ...request, rawHeaders: [...request.rawHeaders, 'host', 'kms.example.com'] })],
    ['a second target', request => ({ ...request, rawHeaders: [...request.rawHeaders, 'x-amz-target', 'TrentService.Encrypt'] })],
    ['a second date', request => ({ ...request, rawHeaders: [...request.rawHeaders, 'x-amz-date', '20261122T202346Z'] })],
    ['a second Authorization', request => ({ ...request, rawHeaders: [...request.rawHeaders, 'authorization', headerOf(request, 'authorization')] })],
    ['a second value of a signed header', request => ({ ...request, rawHeaders: [...request.rawHeaders, 'content-type', 'text/plain'] })],
    ['an unsigned body hash that is another', request => withHeader(request, 'X-Amz-Content-Sha256', payloadHash(Buffer.from('x')))],
  ])('with %s', (_, change) => {
    expect(refusal(() => verify(change(signed())))).toEqual(mismatched)
  })

  it.each(['UNSIGNED-PAYLOAD', 'STREAMING-AWS4-HMAC-SHA256-PAYLOAD', 'STREAMING-UNSIGNED-PAYLOAD-TRAILER', payloadHash(Buffer.from('other'))])(
    'with a signed x-amz-content-sha256 of %s', value => {
      const request = signed({}, { ...unsigned, rawHeaders: [...unsigned.rawHeaders, 'x-amz-content-sha256', value] })
      expect(refusal(() => verify(request))).toEqual(mismatched)
    })

  it('with a signed header taken away that was empty: an absent header is not an empty one', () => {
    const request = signed({}, { ...unsigned, rawHeaders: [...unsigned.rawHeaders, 'X-Empty', ''] })
    verify(request)
    expect(refusal(() => verify(withHeader(request, 'X-Empty')))).toEqual(mismatched)
  })

  it('with the key of another secret', () => {
    expect(refusal(() => verify(signed(), scope, 'another secret'))).toEqual(mismatched)
  })

  it('with a signed session token that is another', () => {
    const request = signed({ sessionToken: 'token' })
    verify(request)
    expect(refusal(() => verify(withHeader(request, 'X-Amz-Security-Token', 'other')))).toEqual(mismatched)
  })

  it('where %2B was signed and + is sent, which a form parser reads as a space', () => {
    expect(refusal(() => verify({ ...signed({}, withUrl('/?a=1%2B1')), url: '/?a=1+1' }))).toEqual(mismatched)
  })

  it('where the path was encoded once more', () => {
    expect(refusal(() => verify({ ...signed({}, withUrl('/a%20b')), url: '/a%2520b' }))).toEqual(mismatched)
  })

  it.each([
    ['of upper-case digits', (hex: string) => hex.toUpperCase()],
    ['cut short', (hex: string) => hex.slice(2)],
    ['too long', (hex: string) => `${hex}00`],
    ['empty', () => ''],
    ['that is not hexadecimal', () => 'g'.repeat(64)],
  ])('with a signature %s', (_, change) => {
    const request = signed()
    const authorization = headerOf(request, 'authorization').replace(/[0-9a-f]{64}$/, change)
    expect(refusal(() => verify(withHeader(request, 'Authorization', authorization)))).toEqual(mismatched)
  })

  it('with any one bit of the signature turned', () => {
    const request = signed()
    const authorization = headerOf(request, 'authorization')
    const signature = Buffer.from(authorization.slice(-64), 'hex')
    fc.assert(fc.property(fc.nat(255), bit => {
      const turned = Buffer.from(signature)
      turned[bit >> 3] = (turned[bit >> 3] ?? 0) ^ (1 << (bit & 7))
      const forged = withHeader(request, 'Authorization', authorization.slice(0, -64) + turned.toString('hex'))
      expect(refusal(() => verify(forged))).toEqual(mismatched)
    }))
  })

  it('with any one byte of the body changed', () => {
    const request = signed()
    fc.assert(fc.property(fc.nat(request.body.length - 1), fc.integer({ min: 1, max: 255 }), (index, mask) => {
      const body = Buffer.from(request.body)
      body[index] = (body[index] ?? 0) ^ mask
      expect(refusal(() => verify({ ...request, body }))).toEqual(mismatched)
    }))
  })
})

it('the scope is checked even by a caller who forgot to', () => {
  const request = signed()
  expect(refusal(() => verify(request, { ...scope, services: ['sts'] })))
    .toEqual({ code: 'InvalidSignatureException', text: "Credential should be scoped to correct service: 'sts'. " })
})
