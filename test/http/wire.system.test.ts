// The wire as it is: bytes sent, bytes answered. What is expected stands in the AWS KMS API reference and in exchanges recorded
// from AWS's JSON 1.1 front end.
import { once } from 'node:events'
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest'
import { operations } from '../../src/operations/table.ts'
import { updateAccessKeyStatus } from '../../src/store/access-keys.ts'
import { openScene, until, type Scene } from '../support/scene.ts'
import { recordsOf } from '../support/trail.ts'
import { exchange, head, requestBytes, signed, Wire, type WireAnswer, type WireRequest } from '../support/wire.ts'

let scene: Scene
let url: string
let keyId: string
let rowsBefore: unknown
const { plain } = inject('installation').identities
const bodyLimit = 1_048_576
/** Request ids of refused requests, with the error that their record must name. */
const refused = new Map<string, string>()

beforeAll(async () => {
  scene = await openScene({ http: { bodyLimitBytes: bodyLimit } })
  url = scene.trent.url
  ;({ id: keyId } = await scene.newKey())
  rowsBefore = await rowCounts()
})
afterAll(() => scene.close())

async function rowCounts(): Promise<unknown> {
  const tables = ['accounts', 'users', 'access_keys', 'keys', 'materials', 'key_policies', 'aliases', 'tags', 'intents']
  const { rows } = await scene.pool.query<object>(`SELECT ${tables.map(table => `(SELECT count(*)::int FROM ${table}) AS ${table}`).join(', ')}`)
  return rows[0]
}

/** GenerateRandom of five bytes, unless said otherwise. */
const random: WireRequest = { target: 'TrentService.GenerateRandom', body: '{"NumberOfBytes":5}' }
const ask = (request: WireRequest): Promise<WireAnswer> => exchange(url, requestBytes(url, { ...random, ...request }))
const requestIdOf = (answer: WireAnswer): string => answer.headers.get('x-amzn-requestid') ?? ''

function expectError(answer: WireAnswer, type: string, text?: string | RegExp, what?: string): void {
  const { __type, message } = JSON.parse(answer.body) as { __type: string; message?: string }
  expect({ status: answer.status, type: __type, text: message }, what).toEqual({ status: 400, type, text: text instanceof RegExp ? expect.stringMatching(text) as string : text })
  if (text === undefined) expect(answer.body).toBe(`{"__type":"${type}"}`)
  refused.set(requestIdOf(answer), type)
}

const expectTaken = (answer: WireAnswer, what?: string): void => {
  expect({ status: answer.status, body: answer.body }, what).toEqual({ status: 200, body: expect.stringMatching(/^\{"Plaintext":"[\w+/]{7}="\}$/) as string })
}

const headerLines = (length: number): unknown[] => [
  expect.stringMatching(/^x-amzn-RequestId: [0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/),
  'Cache-Control: no-cache, no-store, must-revalidate, private', 'Expires: 0', 'Pragma: no-cache', 'Content-Type: application/x-amz-json-1.1', `Content-Length: ${length}`,
  expect.stringMatching(/^Date: \w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT$/), 'Connection: keep-alive', expect.stringMatching(/^Keep-Alive: timeout=\d+$/),
]

describe('an answer', () => {
  it('has AWS\'s headers and no others', async () => {
    const answer = await ask({})
    expectTaken(answer)
    expect(answer.lines).toEqual(headerLines(answer.body.length))
  })

  it('that is an error has them too, and the bare type', async () => {
    const answer = await ask({ target: 'TrentService.NoSuch' })
    expectError(answer, 'UnknownOperationException')
    expect(answer.lines).toEqual(headerLines(answer.body.length))
  })

  it('has a request id of its own each time', async () => {
    const ids = await Promise.all(Array.from({ length: 20 }, async () => requestIdOf(await ask({}))))
    expect(new Set(ids).size).toBe(20)
  })

  it('spells the text of an access denial with a capital M, and that of all other errors without', async () => {
    const denied = await ask({ credentials: plain })
    expect(JSON.parse(denied.body)).toEqual({ __type: 'AccessDeniedException', Message: `User: ${plain.arn} is not authorized to perform: kms:GenerateRandom on resource: * because no identity-based policy allows the kms:GenerateRandom action` })
    expect(denied.status).toBe(400)
    refused.set(requestIdOf(denied), 'AccessDenied')
  })
})

describe('X-Amz-Target', () => {
  it.each([
    undefined, 'TrentService.NoSuch', 'TrentService.generaterandom', 'TrentService.GenerateRandom2', 'GenerateRandom', 'KMS.GenerateRandom', 'trentservice.GenerateRandom',
    'TrentService.', 'TrentService', 'TrentService.GenerateRandom.GenerateRandom', 'TrentService.__proto__', 'TrentService.constructor', 'TrentService.toString', 'TrentService/GenerateRandom',
  ])('%s is UnknownOperationException', async target => {
    expectError(await ask({ target }), 'UnknownOperationException')
  })

  it('twice is UnknownOperationException', async () => {
    const bytes = requestBytes(url, random).toString('latin1').replace('X-Amz-Target:', 'X-Amz-Target: TrentService.ListKeys\r\nX-Amz-Target:')
    expectError(await exchange(url, Buffer.from(bytes, 'latin1')), 'UnknownOperationException')
  })

  it('of an operation that is not built says so, to whoever has signed', async () => {
    const [name, entry] = [...operations].find(([, one]) => 'refused' in one) ?? []
    if (name === undefined || entry === undefined || !('refused' in entry)) return
    expectError(await ask({ target: `TrentService.${name}`, body: '{}' }), 'UnsupportedOperationException', entry.refused)
    expectError(await ask({ target: `TrentService.${name}`, body: '{}', tamper: { Authorization: null } }), 'MissingAuthenticationTokenException', 'Missing Authentication Token')
  })
})

describe('Content-Type', () => {
  it.each(['application/x-amz-json-1.1; charset=utf-8', 'application/x-amz-json-1.1;charset=UTF-8', 'APPLICATION/X-AMZ-JSON-1.1'])('%s is taken', async contentType => {
    expectTaken(await ask({ contentType }))
  })

  it.each(['application/json', 'application/x-amz-json-1.0', 'application/x-amz-json-1.11', 'text/plain', 'text/xml', 'application/x-amz-cbor-1.1', 'multipart/form-data; boundary=x'])('%s is answered 404 and XML', async contentType => {
    const answer = await ask({ contentType })
    expect({ status: answer.status, body: answer.body, type: answer.headers.get('content-type') }).toEqual({ status: 404, body: '<UnknownOperationException/>\n', type: 'text/xml' })
    refused.set(requestIdOf(answer), 'UnknownOperationException')
  })

  it('missing is answered 404 and XML, and so is every other method', async () => {
    const methods = ['GET', 'PUT', 'DELETE', 'OPTIONS', 'PATCH', 'HEAD']
    const requests: [string, Buffer][] = [
      ['without', requestBytes(url, { ...random, tamper: { 'Content-Type': null } })], ['empty', requestBytes(url, { ...random, tamper: { 'Content-Type': '' } })],
      ...methods.map(method => [method, requestBytes(url, { ...random, method })] as [string, Buffer]),
    ]
    for (const [what, bytes] of requests) {
      const answer = await exchange(url, bytes, what === 'HEAD')
      expect({ status: answer.status, body: answer.body }, what).toEqual({ status: 404, body: what === 'HEAD' ? '' : '<UnknownOperationException/>\n' })
      expect(answer.lines.filter(line => /^(x-powered-by|server|etag|allow)/i.test(line)), what).toEqual([])
      refused.set(requestIdOf(answer), 'UnknownOperationException')
    }
  })
})

describe('a body', () => {
  it.each(['', 'null', '"text"', '7', 'true', '{', '{"NumberOfBytes":5', '{"NumberOfBytes":5,}', "{'NumberOfBytes':5}", '{NumberOfBytes:5}', '{} {}', 'NumberOfBytes=5', '\ufeff{"NumberOfBytes":5}', '{"a":NaN}', '{"a":01}', '{"a":"\n"}', '\u0000', '{"\\ud800":1}'])('of %j is SerializationException without a text', async body => {
    expectError(await ask({ body }), 'SerializationException')
  })

  it('that is no UTF-8 is SerializationException', async () => {
    for (const hex of ['c328', 'ff', 'eda080', 'f4908080', 'c0af']) {
      expectError(await ask({ body: Buffer.concat([Buffer.from('{"x":"'), Buffer.from(hex, 'hex'), Buffer.from('"}')]) }), 'SerializationException', undefined, hex)
    }
  })

  it('that is a list says where the list is not expected', async () => {
    for (const body of ['[]', '[{"NumberOfBytes":5}]']) expectError(await ask({ body }), 'SerializationException', 'Start of list found where not expected')
  })

  it('may have white space, unknown members, and a member twice, of which the last counts', async () => {
    for (const body of [' \t\r\n{ "NumberOfBytes" : 5 }\n', '{"NumberOfBytes":900,"NumberOfBytes":5}', '{"__proto__":{"NumberOfBytes":7},"NumberOfBytes":5}', '{"numberofbytes":"x","NumberOfBytes":5e0}']) {
      expectTaken(await ask({ body }), body)
    }
  })

  it('nested without end does no harm', async () => {
    expectTaken(await ask({ body: `{"x":${'['.repeat(200_000)}${']'.repeat(200_000)},"NumberOfBytes":5}` }))
    expectError(await ask({ body: `{"Recipient":${'{"x":'.repeat(100_000)}1${'}'.repeat(100_000)},"NumberOfBytes":5}` }), 'UnsupportedOperationException', /Recipient cannot be verified/)
    expectError(await ask({ body: '['.repeat(500_000) }), 'SerializationException')
  })

  it('is read only once the signature has been verified', async () => {
    for (const body of ['', '[', 'null', '{"NumberOfBytes":"x"}']) {
      expectError(await ask({ body, tamper: { Authorization: null } }), 'MissingAuthenticationTokenException', 'Missing Authentication Token')
    }
  })
})

describe('the limit of the body', () => {
  const bodyOf = (length: number): string => {
    const empty = '{"NumberOfBytes":5,"x":""}'
    return empty.replace('""', `"${'a'.repeat(length - empty.length)}"`)
  }
  const tooLarge = (answer: WireAnswer): void => {
    expect({ status: answer.status, body: answer.body, connection: answer.headers.get('connection') }).toEqual({ status: 413, body: '{"__type":"RequestEntityTooLargeException"}', connection: 'close' })
    refused.set(requestIdOf(answer), 'RequestEntityTooLargeException')
  }

  it('lets the last byte in and not the next', async () => {
    expectTaken(await ask({ body: bodyOf(bodyLimit) }))
    tooLarge(await ask({ body: bodyOf(bodyLimit + 1) }))
  })

  it('refuses a client that only announces too much, and ends the connection', async () => {
    const wire = new Wire(url)
    wire.send(head('POST', '/', new Map([...signed(url, random), ['Content-Length', String(bodyLimit + 1)]])))
    tooLarge(await wire.answer())
    expect(await wire.closed()).toBe('')
  })

  it('cuts off who sends on and on without saying how much', async () => {
    const wire = new Wire(url)
    wire.send(head('POST', '/', new Map([...signed(url, random), ['Transfer-Encoding', 'chunked']].filter(([name]) => name !== 'Content-Length') as [string, string][])))
    const chunk = Buffer.concat([Buffer.from('10000\r\n'), Buffer.alloc(65_536, 'a'), Buffer.from('\r\n')])
    let sent = 0
    let open = true
    wire.socket.once('close', () => { open = false })
    const flood = async (): Promise<void> => {
      while (open && sent < 64 * bodyLimit) {
        sent += 65_536
        if (!wire.socket.write(chunk)) await Promise.race([once(wire.socket, 'drain'), once(wire.socket, 'close')]).catch(() => undefined)
      }
    }
    const [received] = await Promise.all([wire.closed(), flood()])
    expect(received).toMatch(/^HTTP\/1\.1 413 /)
    refused.set(/x-amzn-RequestId: (\S+)/.exec(received)?.[1] ?? '', 'RequestEntityTooLargeException')
    // What the sockets of both sides hold is all that went out beyond the limit.
    expect(sent).toBeLessThan(32 * bodyLimit)
  })

  it('counts a chunked body by its bytes, not its chunks', async () => {
    const chunked = (body: string): Buffer => {
      const headers = new Map([...signed(url, { ...random, body })].filter(([name]) => name !== 'Content-Length')).set('Transfer-Encoding', 'chunked')
      const chunks = [...body.matchAll(/.{1,9}/gs)].map(([part]) => `${part.length.toString(16)}\r\n${part}\r\n`)
      return Buffer.concat([head('POST', '/', headers), Buffer.from(`${chunks.join('')}0\r\n\r\n`)])
    }
    expectTaken(await exchange(url, chunked('{"NumberOfBytes":5}')))
    expectError(await exchange(url, chunked('')), 'SerializationException')
    tooLarge(await exchange(url, chunked(bodyOf(bodyLimit + 1))))
  })
})

describe('a connection', () => {
  const sized = (length: number): Buffer => requestBytes(url, { ...random, body: `{"NumberOfBytes":${length}}` })
  const lengthOf = ({ body }: WireAnswer): number => Buffer.from((JSON.parse(body) as { Plaintext: string }).Plaintext, 'base64').length

  it('takes the next request before the last is answered, and answers in order', async () => {
    const wire = new Wire(url)
    wire.send(Buffer.concat([1, 2, 3, 4, 5].map(sized)))
    for (const length of [1, 2, 3, 4, 5]) expect(lengthOf(await wire.answer())).toBe(length)
    wire.close()
  })

  it('serves one request after the other, also after errors', async () => {
    const wire = new Wire(url)
    for (const length of [7, 0, 8, 5000, 9]) {
      wire.send(sized(length))
      const answer = await wire.answer()
      expect(answer.status).toBe(length > 0 && length <= 1024 ? 200 : 400)
    }
    wire.close()
  })

  it('of a slow client keeps nobody else waiting', async () => {
    const wire = new Wire(url)
    const bytes = sized(6)
    wire.send(bytes.subarray(0, bytes.length - 3))
    expectTaken(await ask({}))
    for (const byte of bytes.subarray(bytes.length - 3)) {
      wire.send(Buffer.from([byte]))
      expectTaken(await ask({}))
    }
    expect(lengthOf(await wire.answer())).toBe(6)
    wire.close()
  })

  it('that breaks in the middle of a body changes nothing', async () => {
    const wire = new Wire(url)
    const bytes = requestBytes(url, { target: 'TrentService.CreateKey', body: '{"Description":"never"}' })
    wire.send(bytes.subarray(0, bytes.length - 2))
    await until('the bytes to be written', () => Promise.resolve(wire.socket.bytesWritten === bytes.length - 2))
    wire.close()
    expectTaken(await ask({}))
    expect((await scene.pool.query('SELECT FROM keys WHERE description = $1', ['never'])).rowCount).toBe(0)
  })

  it('gets 100 Continue when it asks for it', async () => {
    const wire = new Wire(url)
    const headers = signed(url, random).set('Expect', '100-continue')
    wire.send(head('POST', '/', headers))
    expect((await wire.answer(true)).status).toBe(100)
    wire.send(String(random.body))
    expectTaken(await wire.answer())
    wire.close()
  })

  it('with bytes that are no HTTP is ended, and the others are served on', async () => {
    for (const garbage of ['GARBAGE\r\n\r\n', '\u0016\u0003\u0001\u0000', `POST / HTTP/1.1\r\nHost: x\r\nX: ${'a'.repeat(100_000)}\r\n\r\n`, 'POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n']) {
      const wire = new Wire(url)
      wire.send(garbage)
      expect(await wire.closed()).toMatch(/^HTTP\/1\.1 4(00|31) [\w ]+\r\nConnection: close\r\n\r\n$/)
    }
    expectTaken(await ask({}))
  })
})

describe('a signature', () => {
  const mismatch = 'The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method. Consult the service documentation for details.'
  const minutes = (count: number): string => new Date(Date.now() + count * 60_000).toISOString().replace(/[-:]|\.\d+/g, '')

  it('must be there', async () => {
    for (const Authorization of [null, 'Basic YTpi', 'Bearer x', 'AWS4HMAC', 'AWS AKIA:sig']) expectError(await ask({ tamper: { Authorization } }), 'MissingAuthenticationTokenException', 'Missing Authentication Token', String(Authorization))
  })

  it('must be whole: each missing part is named', async () => {
    const [credential, signature, headers] = ["Authorization header requires 'Credential' parameter. ", "Authorization header requires 'Signature' parameter. ", "Authorization header requires 'SignedHeaders' parameter. "]
    const date = "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header. "
    for (const [Authorization, text] of [
      ['AWS4-HMAC-SHA256', credential + signature + headers], ['AWS4-HMAC-SHA256 Signature=x', credential + headers], ['AWS4-HMAC-SHA256 Credential=a, SignedHeaders=host', signature],
    ] as const) expectError(await ask({ tamper: { Authorization } }), 'IncompleteSignatureException', `${text}Authorization=${Authorization}`)
    expectError(await ask({ tamper: { Authorization: 'AWS4-HMAC-SHA256', 'X-Amz-Date': null } }), 'IncompleteSignatureException', `${credential}${signature}${headers}${date}Authorization=AWS4-HMAC-SHA256`)
    expectError(await ask({ tamper: { Authorization: 'AWS4-HMAC-SHA256 Credential' } }), 'IncompleteSignatureException', "'Credential' not a valid key=value pair (missing equal-sign) in Authorization header: 'AWS4-HMAC-SHA256 Credential'.")
  })

  it('covers body, target, every signed header, path, query and method, and the secret', async () => {
    const other: Record<string, WireRequest> = {
      target: { tamper: { 'X-Amz-Target': 'TrentService.CreateKey' } },
      header: { headers: { 'X-Mine': 'one' }, tamper: { 'X-Mine': 'two' } },
      secret: { credentials: { ...inject('installation').admin, secretAccessKey: 'wrong' } },
      'other user\'s key id': { credentials: { ...inject('installation').admin, accessKeyId: plain.accessKeyId } },
    }
    for (const [what, request] of Object.entries(other)) expectError(await ask(request), 'InvalidSignatureException', mismatch, what)
    const whole = requestBytes(url, random).toString('latin1')
    const edits: [string, string][] = [['NumberOfBytes":5', 'NumberOfBytes":6'], ['POST / ', 'POST /x '], ['POST / ', 'POST /? '], ['POST / ', 'POST /?a=b '], ['POST / ', 'POST // ']]
    for (const [from, to] of edits) {
      const edited = whole.replace(from, to)
      expect(edited).not.toBe(whole)
      const answer = await exchange(url, Buffer.from(edited, 'latin1'))
      // An empty query and doubled slashes are the same canonical request: they may pass, and mean the same.
      if (to === 'POST /? ' || to === 'POST // ') expect([200, 400]).toContain(answer.status)
      else expectError(answer, 'InvalidSignatureException', mismatch, to)
    }
    const signature = /Signature=([0-9a-f]{64})/.exec(whole)?.[1] ?? ''
    for (const at of [0, 31, 63]) {
      const flipped = signature.slice(0, at) + (signature[at] === '0' ? '1' : '0') + signature.slice(at + 1)
      expectError(await exchange(url, Buffer.from(whole.replace(signature, flipped), 'latin1')), 'InvalidSignatureException', mismatch)
    }
    for (const wrong of ['', signature.slice(1), `${signature}0`, signature.toUpperCase(), 'x'.repeat(64)]) {
      expectError(await exchange(url, Buffer.from(whole.replace(signature, wrong), 'latin1')), 'InvalidSignatureException', mismatch, wrong)
    }
  })

  it('may be made for any path and query: a base path, parameters, characters that are encoded', async () => {
    for (const path of ['/kms/', '/kms', '/a/b%20c/', '/?b=2&a=1', '/?a', '/kms?x=%C3%BC&y=', '/%E2%98%83']) expectTaken(await ask({ path }), path)
  })

  it('must cover X-Amz-Target, or a proxy could put another in its place', async () => {
    expectError(await ask({ target: undefined, tamper: { 'X-Amz-Target': 'TrentService.GenerateRandom' } }), 'InvalidSignatureException', "'X-Amz-Target' must be a 'SignedHeader' in the AWS Authorization.")
  })

  it('covers the body itself, whatever x-amz-content-sha256 says', async () => {
    for (const hash of ['UNSIGNED-PAYLOAD', 'STREAMING-AWS4-HMAC-SHA256-PAYLOAD', 'a'.repeat(64)]) {
      expectError(await ask({ headers: { 'X-Amz-Content-Sha256': hash } }), 'InvalidSignatureException', mismatch, hash)
    }
  })

  it('is good for five minutes before and after its time', async () => {
    for (const offset of [-4.9, -1, 1, 4.9]) expectTaken(await ask({ headers: { 'X-Amz-Date': minutes(offset) } }), `${offset} minutes`)
    for (const offset of [-5.1, -60, -60 * 24 * 400]) {
      const date = minutes(offset)
      expectError(await ask({ headers: { 'X-Amz-Date': date } }), 'InvalidSignatureException', new RegExp(`^Signature expired: ${date} is now earlier than \\d{8}T\\d{6}Z \\(\\d{8}T\\d{6}Z - 5 min\\.\\)$`))
    }
    for (const offset of [5.1, 60]) {
      const date = minutes(offset)
      expectError(await ask({ headers: { 'X-Amz-Date': date } }), 'InvalidSignatureException', new RegExp(`^Signature not yet current: ${date} is still later than \\d{8}T\\d{6}Z \\(\\d{8}T\\d{6}Z \\+ 5 min\\.\\)$`))
    }
  })

  it('must be scoped to this Region and this service', async () => {
    const service = "Credential should be scoped to correct service: 'kms'. "
    expectError(await ask({ service: 'sts' }), 'InvalidSignatureException', service)
    expectError(await ask({ region: 'eu-west-9' }), 'InvalidSignatureException', 'Credential should be scoped to a valid region. ')
    expectError(await ask({ region: 'us-east-1' }), 'InvalidSignatureException', 'Credential should be scoped to a valid region. ')
    expectError(await ask({ region: 'eu-west-9', service: 's4' }), 'InvalidSignatureException', `Credential should be scoped to a valid region. ${service}`)
  })

  it('of an unknown access key, or with a session token that no key has, is not recognised', async () => {
    const text = 'The security token included in the request is invalid.'
    for (const accessKeyId of ['AKIAAAAAAAAAAAAAAAAA', 'ASIAAAAAAAAAAAAAAAAA', 'x', "AKIA'--", 'AKIA%00']) {
      expectError(await ask({ credentials: { accessKeyId, secretAccessKey: 'any' } }), 'UnrecognizedClientException', text, accessKeyId)
    }
    expectError(await ask({ credentials: { ...inject('installation').admin, sessionToken: 'FwoGZXIvYXdzE' } }), 'UnrecognizedClientException', text)
  })

  it('of an access key that was made inactive is refused at once, and taken again when it is active', async () => {
    expect((await ask({ credentials: plain })).body).toContain('AccessDeniedException')
    await scene.change(tx => updateAccessKeyStatus(tx, plain.accessKeyId, 'Inactive'))
    expectError(await ask({ credentials: plain }), 'UnrecognizedClientException', 'The security token included in the request is invalid.')
    await scene.change(tx => updateAccessKeyStatus(tx, plain.accessKeyId, 'Active'))
    expect((await ask({ credentials: plain })).body).toContain('AccessDeniedException')
  })
})

describe('everything refused above', () => {
  it('has changed nothing', async () => {
    expect(await rowCounts()).toEqual(rowsBefore)
    expect((await scene.call('DescribeKey', { KeyId: keyId })).status).toBe(200)
  })

  it('has left exactly one audit record each, with its error and no caller that was not proven', async () => {
    expect(refused.size).toBeGreaterThan(100)
    const records = await recordsOf(scene.pool, [...refused.keys()])
    for (const [id, type] of refused) {
      const found = records.get(id) ?? []
      expect(found.map(({ errorCode }) => errorCode), id).toEqual([type])
      const [{ userIdentity, responseElements, eventSource } = {}] = found
      expect({ responseElements, eventSource }).toEqual({ responseElements: null, eventSource: 'kms.amazonaws.com' })
      if (/Signature|Token|Unrecognized|UnknownOperation|TooLarge/.test(type)) expect(userIdentity).toMatchObject({ type: 'Unknown' })
      else expect(userIdentity).toMatchObject({ type: 'IAMUser' })
    }
  })
})

describe('a flood of made-up access keys', () => {
  it('is throttled after its burst, while known callers are served on', async () => {
    const letters = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ'
    const madeUp = (index: number): string => `AKIA${'A'.repeat(13)}${letters[index % 26]}${letters[Math.floor(index / 26) % 26]}${letters[Math.floor(index / 676)]}`
    const types = await Promise.all(Array.from({ length: 400 }, async (_, index) => {
      const { body } = await ask({ credentials: { accessKeyId: madeUp(index), secretAccessKey: 'any' } })
      return JSON.parse(body) as { __type: string; message: string }
    }))
    const throttled = types.filter(({ __type }) => __type === 'ThrottlingException')
    expect(types.every(({ __type }) => ['ThrottlingException', 'UnrecognizedClientException'].includes(__type))).toBe(true)
    expect(throttled.length).toBeGreaterThan(50)
    expect(types.length - throttled.length).toBeGreaterThan(20)
    expect(throttled[0]?.message).toBe('You have exceeded the rate at which you may call KMS. Reduce the frequency of your calls.')
    expectTaken(await ask({}))
  })
})
