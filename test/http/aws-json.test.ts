import { DescribeKeyCommand, GenerateDataKeyCommand, KMSClient } from '@aws-sdk/client-kms'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { KmsError } from '../../src/errors.ts'
import { encodeResult, isJson11, sendError, sendResult, sendUnread, sendUnknownProtocol } from '../../src/http/aws-json.ts'
import { answer, listening } from '../support/answer.ts'

const requestId = '9a1d7c58-0b3a-4e7a-9f3c-3f8f0d1c2b4e'

function jsonHeaders(length: number): string[] {
  return [
    `x-amzn-RequestId: ${requestId}`,
    'Cache-Control: no-cache, no-store, must-revalidate, private',
    'Expires: 0',
    'Pragma: no-cache',
    'Content-Type: application/x-amz-json-1.1',
    `Content-Length: ${length}`,
  ]
}

describe('the content type', () => {
  it.each([
    'application/x-amz-json-1.1',
    'Application/X-AMZ-JSON-1.1',
    'application/x-amz-json-1.1; charset=utf-8',
    ' application/x-amz-json-1.1 ;charset=UTF-8',
  ])('%j is AWS JSON 1.1', contentType => {
    expect(isJson11(contentType)).toBe(true)
  })

  it.each([
    undefined, '', 'application/json', 'application/x-amz-json-1.0', 'application/x-amz-json-1.10',
    'text/plain; application/x-amz-json-1.1',
  ])('%j is not', contentType => {
    expect(isJson11(contentType)).toBe(false)
  })
})

describe('an answer', () => {
  it('with a result has 200, the recorded headers and the JSON', async () => {
    const body = '{"KeyId":"kéy"}'
    expect(await answer(response => { sendResult(response, requestId, { KeyId: 'kéy' }) }))
      .toMatchObject({ status: 200, lines: jsonHeaders(16), body, headers: { connection: 'keep-alive' } })
  })

  it('without an output shape has no bytes', async () => {
    expect(await answer(response => { sendResult(response, requestId, undefined) }))
      .toMatchObject({ status: 200, lines: jsonHeaders(0), body: '' })
  })

  it('with an empty output shape is an empty object', async () => {
    expect(await answer(response => { sendResult(response, requestId, {}) }))
      .toMatchObject({ status: 200, lines: jsonHeaders(2), body: '{}' })
  })

  it.each([
    [new KmsError('NotFoundException', "Key 'x' is gone"), 400, `{"__type":"NotFoundException","message":"Key 'x' is gone"}`],
    [new KmsError('InvalidCiphertextException'), 400, '{"__type":"InvalidCiphertextException"}'],
    [new KmsError('AccessDeniedException', 'User: "a"'), 400, String.raw`{"__type":"AccessDeniedException","Message":"User: \"a\""}`],
    [new KmsError('ValidationException', ''), 400, '{"__type":"ValidationException","message":""}'],
    [new KmsError('KMSInternalException', undefined, { cause: new Error('secret detail') }), 500, '{"__type":"KMSInternalException"}'],
    [new KmsError('KeyUnavailableException'), 500, '{"__type":"KeyUnavailableException"}'],
  ])('to %s has its status and its type, and a text only where there is one', async (error, status, body) => {
    expect(await answer(response => { sendError(response, requestId, error) }))
      .toMatchObject({ status, lines: jsonHeaders(body.length), body })
  })

  it('to a wrong content type is 404 with XML', async () => {
    const body = '<UnknownOperationException/>\n'
    expect(await answer(response => { sendUnknownProtocol(response, requestId) })).toMatchObject({
      status: 404,
      lines: [`x-amzn-RequestId: ${requestId}`, 'Content-Type: text/xml', `Content-Length: ${body.length}`],
      body,
    })
  })

  it('to a body beyond the limit is 413 and ends the connection', async () => {
    const body = '{"__type":"RequestEntityTooLargeException"}'
    expect(await answer(response => { sendUnread(response, requestId, new KmsError('RequestEntityTooLargeException')) }))
      .toMatchObject({ status: 413, lines: jsonHeaders(body.length), body, headers: { connection: 'close' } })
  })
})

describe('the AWS SDK', () => {
  const client = (port: number) => new KMSClient({
    endpoint: `http://127.0.0.1:${port}`,
    region: 'us-east-1',
    credentials: { accessKeyId: 'AKIAEXAMPLE', secretAccessKey: 'x' },
    maxAttempts: 1,
  })

  it('reads bytes and dates of a result', async () => {
    const key = { KeyMetadata: { KeyId: 'k', CreationDate: new Date(1499288695918), DeletionDate: new Date(1499288695000) } }
    const described = await listening(response => { sendResult(response, requestId, key) },
      port => client(port).send(new DescribeKeyCommand({ KeyId: 'k' })))
    expect(described).toMatchObject({ ...key, $metadata: { httpStatusCode: 200, requestId } })
    const made = await listening(response => { sendResult(response, requestId, { KeyId: 'k', Plaintext: Buffer.from([0, 255]) }) },
      port => client(port).send(new GenerateDataKeyCommand({ KeyId: 'k' })))
    expect(Buffer.from(made.Plaintext ?? []).toString('hex')).toBe('00ff')
  })

  it.each([
    [new KmsError('NotFoundException', 'gone'), { name: 'NotFoundException', message: 'gone' }],
    [new KmsError('AccessDeniedException', 'no'), { name: 'AccessDeniedException', message: 'no' }],
  ])('reads type and text of %s', async (error, seen) => {
    const call = listening(response => { sendError(response, requestId, error) },
      port => client(port).send(new DescribeKeyCommand({ KeyId: 'k' })))
    await expect(call).rejects.toMatchObject({ ...seen, $metadata: { httpStatusCode: 400, requestId } })
  })
})

describe('a result as JSON', () => {
  it('turns bytes to base64, dates to epoch seconds with a fraction and maps to objects, and leaves undefined out', () => {
    expect(encodeResult({
      CiphertextBlob: Buffer.from([0, 1, 254, 255]),
      PublicKey: new Uint8Array(Buffer.from('xxhelloxx').buffer, 0, 0),
      Gone: undefined,
      CreationDate: new Date(1499288695918),
      DeletionDate: new Date(1499288695000),
      Context: new Map([['__proto__', 'a"b']]),
      Enabled: true,
      Count: 3,
      Grants: [{ Operations: ['Encrypt'], CreationDate: new Date(0) }, {}],
      Empty: [],
    })).toBe('{"CiphertextBlob":"AAH+/w==","PublicKey":"","CreationDate":1499288695.918,"DeletionDate":1499288695.000,'
      + String.raw`"Context":{"__proto__":"a\"b"},"Enabled":true,"Count":3,`
      + '"Grants":[{"Operations":["Encrypt"],"CreationDate":0.000},{}],"Empty":[]}')
  })

  it('encodes the bytes of a view, not of what it is a view of', () => {
    expect(encodeResult(Buffer.from('secret-shown-secret').subarray(7, 12))).toBe(`"${Buffer.from('shown').toString('base64')}"`)
    expect(encodeResult(new Uint8Array(new Uint8Array([1, 2, 3, 4]).buffer, 1, 2))).toBe('"AgM="')
  })

  it.each([
    ['null', { a: null }, 'a result cannot hold null'],
    ['NaN', { a: NaN }, 'a result cannot hold number'],
    ['a bigint', { a: 1n }, 'a result cannot hold bigint'],
    ['a function', { a: () => 1 }, 'a result cannot hold function'],
    ['undefined in a list', [undefined], 'a result cannot hold undefined'],
    ['an invalid date', { a: new Date(NaN) }, 'a result cannot hold an invalid Date'],
  ])('refuses %s', (_name, value, message) => {
    expect(() => encodeResult(value)).toThrow(new TypeError(message))
  })

  it('is what JSON.stringify gives for plain values', () => {
    const plain = fc.letrec<{ value: unknown }>(tie => ({
      value: fc.oneof(
        { depthSize: 'small' },
        fc.string({ unit: 'binary' }),
        fc.boolean(),
        fc.double({ noNaN: true, noDefaultInfinity: true }),
        fc.array(tie('value')),
        fc.dictionary(fc.string(), tie('value')),
      ),
    })).value
    fc.assert(fc.property(plain, value => {
      expect(encodeResult(value)).toBe(JSON.stringify(value))
    }))
  })
})
