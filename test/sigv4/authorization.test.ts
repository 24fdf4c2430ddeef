import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { KmsError } from '../../src/errors.ts'
import { parseAuthorization, type SignedRequest } from '../../src/sigv4/authorization.ts'
import { mismatchText, refusal } from './refusal.ts'
import { accessKeyId, headerOf, signed, unsigned, withHeader } from './request.ts'

const credential = `${accessKeyId}/20261122/eu-central-1/kms/aws4_request`
const signature = 'ab'.repeat(32)
const parse = (authorization: string, request: SignedRequest = withHeader(unsigned, 'X-Amz-Date', '20261122T202346Z')) =>
  parseAuthorization(withHeader(request, 'Authorization', authorization))
const missing = (name: string) => `Authorization header requires '${name}' parameter. `
const missingDate = "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header. "

describe('the Authorization header', () => {
  it('gives every part', () => {
    const request = signed({ sessionToken: 'token' })
    expect(parseAuthorization(request)).toEqual({
      form: 'header',
      accessKeyId,
      date: '20261122',
      region: 'eu-central-1',
      service: 'kms',
      terminator: 'aws4_request',
      signedHeaders: ['content-type', 'host', 'x-amz-date', 'x-amz-security-token', 'x-amz-target'],
      signature: Buffer.from(headerOf(request, 'authorization').slice(-64), 'hex'),
      time: new Date('2026-11-22T20:23:46Z'),
      amzDate: '20261122T202346Z',
      dateHeader: 'x-amz-date',
      sessionToken: 'token',
    })
  })

  it.each([
    `AWS4-HMAC-SHA256 Credential=${credential},SignedHeaders=host,Signature=${signature}`,
    `AWS4-HMAC-SHA256   Signature=${signature} ,  SignedHeaders=host ,Credential=${credential}`,
    `AWS4-HMAC-SHA256 Signature=${signature} SignedHeaders=host Credential=${credential}`,
  ])('may part its pieces by commas and spaces, in any order: %s', header => {
    expect(parse(header)).toMatchObject({ accessKeyId, signedHeaders: ['host'], signature: Buffer.from(signature, 'hex') })
  })

  it.each([
    ['Sun, 22 Nov 2026 20:23:46 GMT'], ['Sun, 22 Nov 2026 20:23:46 -0000'], ['20261122T202346Z'],
  ])('may lean on a Date header of %s where there is no X-Amz-Date', date => {
    expect(parse(`AWS4-HMAC-SHA256 Credential=${credential}, SignedHeaders=date;host, Signature=${signature}`, withHeader(unsigned, 'Date', date)))
      .toMatchObject({ amzDate: '20261122T202346Z', dateHeader: 'date', time: new Date('2026-11-22T20:23:46Z') })
  })

  it('prefers X-Amz-Date to Date', () => {
    const request = withHeader(withHeader(unsigned, 'Date', 'Mon, 23 Nov 2026 00:00:00 GMT'), 'X-Amz-Date', '20261122T202346Z')
    expect(parse(`AWS4-HMAC-SHA256 Credential=${credential}, SignedHeaders=host, Signature=${signature}`, request))
      .toMatchObject({ amzDate: '20261122T202346Z', dateHeader: 'x-amz-date' })
  })

  it.each([[undefined], [''], ['Bearer abc'], ['Basic dXNlcg=='], ['aws4-hmac-sha256 Credential=x'], ['AWS AKIA:signature']])(
    'of %s is no authentication token at all', header => {
      expect(refusal(() => parseAuthorization(withHeader(unsigned, 'Authorization', header))))
        .toEqual({ code: 'MissingAuthenticationTokenException', text: 'Missing Authentication Token' })
    })

  it.each([
    ['AWS4-HMAC-SHA256', [missing('Credential'), missing('Signature'), missing('SignedHeaders')]],
    [`AWS4-HMAC-SHA256 SignedHeaders=host, Signature=${signature}`, [missing('Credential')]],
    [`AWS4-HMAC-SHA256 Credential=${credential}, SignedHeaders=host`, [missing('Signature')]],
    [`AWS4-HMAC-SHA256 Credential=${credential}, Signature=${signature}`, [missing('SignedHeaders')]],
    ['AWS4-HMAC-SHA256 Other=1', [missing('Credential'), missing('Signature'), missing('SignedHeaders')]],
  ])('without a piece names each that is missing: %s', (header, texts) => {
    expect(refusal(() => parse(header))).toEqual({ code: 'IncompleteSignatureException', text: `${texts.join('')}Authorization=${header}` })
    expect(refusal(() => parse(header, unsigned)))
      .toEqual({ code: 'IncompleteSignatureException', text: `${texts.join('')}${missingDate}Authorization=${header}` })
  })

  it.each([
    ["AWS4-HMAC-SHA256 Credential= AKIA/x", 'AKIA/x'],
    ['AWS4-HMAC-SHA256 Signature=b, Credential, SignedHeaders', 'Credential'],
    ['AWS4-HMAC-SHA256 Authorization: AWS4-HMAC-SHA256 Credential=x', 'Authorization:'],
  ])('with a piece that is no pair names it: %s', (header, piece) => {
    expect(refusal(() => parse(header))).toEqual({
      code: 'IncompleteSignatureException',
      text: `'${piece}' not a valid key=value pair (missing equal-sign) in Authorization header: '${header}'.`,
    })
  })

  it('that names a piece twice is refused', () => {
    expect(refusal(() => parse(`AWS4-HMAC-SHA256 Credential=${credential}, Credential=${credential}, SignedHeaders=host, Signature=${signature}`)))
      .toEqual({ code: 'InvalidSignatureException', text: mismatchText })
  })

  it.each(['201', '2026-11-22T20:23:46Z', '20261122T202346', '20261322T202346Z', '20260231T000000Z', '20261122T242346Z', '20261122T202360Z', '00260101T000000Z', 'now'])(
    'with the date %s is refused', date => {
      expect(refusal(() => parse(`AWS4-HMAC-SHA256 Credential=${credential}, SignedHeaders=host, Signature=${signature}`, withHeader(unsigned, 'X-Amz-Date', date))))
        .toEqual({ code: 'IncompleteSignatureException', text: `Date must be in ISO-8601 'basic format'. Got '${date}'. See http://en.wikipedia.org/wiki/ISO_8601` })
    })

  it.each(['AWS4-HMAC-SHA25', 'AWS4-HMAC-SHA1', 'AWS4-ECDSA-P256-SHA256', 'AWS4-HMAC-SHA256-PAYLOAD'])('with the algorithm %s is refused', name => {
    expect(refusal(() => parse(`${name} Credential=${credential}, SignedHeaders=host, Signature=${signature}`)))
      .toEqual({ code: 'IncompleteSignatureException', text: `Unsupported AWS 'algorithm': '${name}' (only AWS4-HMAC-SHA256 for now). ` })
  })

  it.each(['', 'a/b/c/d', 'a/b/c/d/e/f', 'a/b/c/d/e/f/g/h'])('with the credential %j is refused', text => {
    expect(refusal(() => parse(`AWS4-HMAC-SHA256 Credential=${text}, SignedHeaders=host, Signature=${signature}`))).toEqual({
      code: 'IncompleteSignatureException',
      text: `Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term, got '${text}'`,
    })
  })

  it('may name a hundred headers and not one more', () => {
    const names = (count: number) => Array.from({ length: count }, (_, index) => `h${index}`).join(';')
    expect(parse(`AWS4-HMAC-SHA256 Credential=${credential}, SignedHeaders=${names(100)}, Signature=${signature}`).signedHeaders).toHaveLength(100)
    expect(refusal(() => parse(`AWS4-HMAC-SHA256 Credential=${credential}, SignedHeaders=${names(101)}, Signature=${signature}`)))
      .toEqual({ code: 'IncompleteSignatureException', text: 'SignedHeaders must not name more than 100 headers.' })
  })

  it('of more than 8,192 characters is refused without being repeated', () => {
    expect(refusal(() => parse(`AWS4-HMAC-SHA256 ${'x'.repeat(8192)}`)))
      .toEqual({ code: 'IncompleteSignatureException', text: 'Authorization header is too long.' })
  })
})

describe('the presigned query', () => {
  const parameters = {
    'X-Amz-Algorithm': 'AWS4-HMAC-SHA256',
    'X-Amz-Credential': credential.replaceAll('/', '%2F'),
    'X-Amz-Signature': signature,
    'X-Amz-SignedHeaders': 'host%3Bx-k8s-aws-id',
    'X-Amz-Date': '20261122T202346Z',
    'X-Amz-Expires': '60',
    'X-Amz-Security-Token': 'a%2Fb%3D',
  }
  const presigned = (change: Record<string, string | undefined> = {}): SignedRequest => ({
    ...unsigned,
    method: 'GET',
    url: `/?Action=GetCallerIdentity&${Object.entries({ ...parameters, ...change })
      .flatMap(([name, value]) => value === undefined ? [] : [`${name}=${value}`]).join('&')}`,
  })

  it('gives every part', () => {
    expect(parseAuthorization(presigned())).toEqual({
      form: 'query',
      accessKeyId,
      date: '20261122',
      region: 'eu-central-1',
      service: 'kms',
      terminator: 'aws4_request',
      signedHeaders: ['host', 'x-k8s-aws-id'],
      signature: Buffer.from(signature, 'hex'),
      time: new Date('2026-11-22T20:23:46Z'),
      amzDate: '20261122T202346Z',
      sessionToken: 'a/b=',
      expires: 60,
    })
  })

  it.each(['X-Amz-Algorithm', 'X-Amz-Credential', 'X-Amz-Signature', 'X-Amz-SignedHeaders', 'X-Amz-Date'])('without %s names it', name => {
    expect(refusal(() => parseAuthorization(presigned({ [name]: undefined })))).toEqual({
      code: 'IncompleteSignatureException',
      text: `AWS query-string parameters must include '${name}'. Re-examine the query-string parameters.`,
    })
  })

  it('names all that are missing', () => {
    expect(refusal(() => parseAuthorization({ ...unsigned, url: '/?X-Amz-Credential=x&X-Amz-Date=y' })).text).toBe(
      "AWS query-string parameters must include 'X-Amz-Algorithm'. AWS query-string parameters must include 'X-Amz-Signature'. "
      + "AWS query-string parameters must include 'X-Amz-SignedHeaders'. Re-examine the query-string parameters.")
  })

  it('beside an Authorization header is refused', () => {
    expect(refusal(() => parseAuthorization({ ...signed(), url: presigned().url }))).toEqual({
      code: 'InvalidSignatureException',
      text: "Found both 'X-Amz-Algorithm' as a query-string param and 'Authorization' as HTTP header.",
    })
  })

  it.each(Object.keys(parameters))('with %s twice, also under an escaped name, is refused', name => {
    const request = presigned()
    const again = `&${name.replace('-', '%2d')}=x`
    expect(refusal(() => parseAuthorization({ ...request, url: request.url + again }))).toEqual({ code: 'InvalidSignatureException', text: mismatchText })
  })

  it.each(['0', '604801', '-1', '1.5', 'x', '', '9999999999'])('with X-Amz-Expires=%s is refused', expires => {
    expect(refusal(() => parseAuthorization(presigned({ 'X-Amz-Expires': expires }))))
      .toEqual({ code: 'IncompleteSignatureException', text: `X-Amz-Expires must be a number of seconds from 1 to 604800. Got '${expires}'.` })
  })

  it('with the algorithm of SigV4A is refused', () => {
    expect(refusal(() => parseAuthorization(presigned({ 'X-Amz-Algorithm': 'AWS4-ECDSA-P256-SHA256' }))))
      .toEqual({ code: 'IncompleteSignatureException', text: "Unsupported AWS 'algorithm': 'AWS4-ECDSA-P256-SHA256' (only AWS4-HMAC-SHA256 for now). " })
  })

  it('of more than a thousand parameters is refused before it is sorted', () => {
    expect(refusal(() => parseAuthorization({ ...unsigned, url: `/?${'a&'.repeat(1000)}a` })))
      .toEqual({ code: 'IncompleteSignatureException', text: 'Too many query-string parameters.' })
  })
})

it('whatever stands in header and URL, only a KmsError is thrown', () => {
  const piece = fc.constantFrom('AWS4-HMAC-SHA256', ' ', ',', '=', 'Credential=', credential, 'SignedHeaders=', 'host', ';', 'Signature=', signature, '%', '&')
  const hostile = fc.array(fc.oneof(piece, fc.string({ unit: 'binary-ascii', maxLength: 8 })), { maxLength: 12 }).map(parts => parts.join(''))
  const query = fc.array(fc.oneof(hostile, fc.constantFrom('X-Amz-Algorithm=AWS4-HMAC-SHA256', 'X-Amz-Date=', `X-Amz-Signature=${signature}`)), { maxLength: 6 })
  fc.assert(fc.property(hostile, query, fc.boolean(), (header, pieces, presigned) => {
    try {
      if (presigned) parseAuthorization({ ...unsigned, url: `/?${pieces.join('&')}` })
      else parse(`AWS4-HMAC-SHA256 ${header}`)
    } catch (error) {
      expect(error).toBeInstanceOf(KmsError)
    }
  }), { numRuns: 500 })
})
