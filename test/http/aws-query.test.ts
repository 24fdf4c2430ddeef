import type { ServerResponse } from 'node:http'
import { AssumeRoleCommand, STSClient } from '@aws-sdk/client-sts'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { KmsError } from '../../src/errors.ts'
import { isForm, queryFault, readQuery, sendQueryError, sendQueryResult, unknownAction } from '../../src/http/aws-query.ts'
import { formMembers, readForm } from '../../src/http/form.ts'
import { escapeXml } from '../../src/http/xml.ts'
import { compile } from '../../src/shape/parse.ts'
import { blob, boolean, integer, list, map, required, structure, text, timestamp } from '../../src/shape/shape.ts'
import type { Shapes } from '../../src/shape/shape.ts'
import { answer, listening } from '../support/answer.ts'

const requestId = '72168399-bcdd-4248-bf57-bf5d4a6dc07d'
const sts = readQuery('Action=GetCallerIdentity&Version=2011-06-15')

/** What a form is refused with, as `Code: text`, by the shapes or by the form itself. */
function refusal(shapes: Shapes, source: string | Buffer): string {
  try {
    compile(shapes).accept(formMembers(readForm(source), shapes))
  } catch (error) {
    if (error instanceof KmsError) return error.text === undefined ? error.code : `${error.code}: ${error.text}`
    throw error
  }
  return 'accepted'
}

describe('a form', () => {
  it('is decoded: plus is a space, percent signs encode UTF-8, a pair may lack its value', () => {
    expect([...readForm(Buffer.from('Name=a+b%2Bc%20d&K%C3%A9y=%F0%9F%98%80=x&Flag&&Empty='))])
      .toEqual([['Name', 'a b+c d'], ['Kéy', '😀=x'], ['Flag', ''], ['Empty', '']])
  })

  it('takes the first of two pairs with one name, as STS does', () => {
    expect(readQuery('Action=GetCallerIdentity&Action=DeleteUser&Version=2011-06-15&Version=2000-01-01'))
      .toMatchObject({ action: 'GetCallerIdentity', version: '2011-06-15' })
  })

  it('keeps names such as __proto__ as names', () => {
    const form = readForm('__proto__=a&constructor=b')
    expect([...form]).toEqual([['__proto__', 'a'], ['constructor', 'b']])
    expect(form.get('toString')).toBeUndefined()
  })

  it.each([
    ['a percent sign that encodes nothing', 'A=%zz'],
    ['a truncated percent sign', 'A=%4'],
    ['encoded bytes that are no UTF-8', 'A=%C3%28'],
    ['an encoded surrogate', 'A=%ED%A0%80'],
    ['raw bytes that are no UTF-8', Buffer.from('413dc328', 'hex')],
    ['1,001 pairs', Array.from({ length: 1001 }, (_, index) => `P${index}=`).join('&')],
  ])('with %s is refused', (_name, source) => {
    expect(() => readForm(source)).toThrow(expect.objectContaining({ code: 'SerializationException', text: undefined }))
  })

  it('of 1,000 pairs is taken', () => {
    expect(readForm(Array.from({ length: 1000 }, (_, index) => `P${index}=`).join('&')).size).toBe(1000)
  })

  it('of any bytes is read or refused as SerializationException', () => {
    fc.assert(fc.property(fc.oneof(fc.uint8Array({ maxLength: 60 }), fc.stringMatching(/^[A-Z%=&+.0-9a-f]{0,60}$/)), source => {
      try {
        readForm(source)
      } catch (error) {
        expect(error).toMatchObject({ name: 'KmsError', code: 'SerializationException' })
      }
    }))
  })

  it('is told by its content type', () => {
    const forms = ['application/x-www-form-urlencoded', 'Application/X-WWW-Form-URLencoded; charset=utf-8']
    expect([...forms, undefined, 'text/plain', 'multipart/form-data'].map(isForm)).toEqual([true, true, false, false, false])
  })
})

describe('members of a form', () => {
  const shapes = {
    RoleArn: required(text({ min: 20, max: 2048, pattern: String.raw`[\u0009\u000A\u000D\u0020-\u007E\u0085]+`, patternFirst: true })),
    DurationSeconds: integer({ min: 900, max: 43200 }),
    Tags: list(structure({ Key: required(text({ min: 1, max: 128 })), Value: required(text({ min: 0, max: 256 })) }), { max: 50 }),
    TagKeys: list(text({ min: 1 })),
    SourceIdentity: structure({ Name: text() }),
    Context: map(text(), text()),
    Document: blob(),
    Recursive: boolean(),
    Since: timestamp(),
  }
  const arn = 'RoleArn=arn:aws:iam::111122223333:role/r'

  it('are read by shape, whatever the order and the gaps of their positions', () => {
    const form = readForm(`${arn}&DurationSeconds=%2B0900&Tags.member.10.Key=b&Tags.member.10.Value=`
      + '&Tags.member.2.Value=1&Tags.member.2.Key=a&TagKeys.member.1=x&SourceIdentity.Name=n&Context.entry.1.key=__proto__'
      + '&Context.entry.1.value=v&Document=aGk%3D&Recursive=true'
      + '&Since=2026-01-02T03:04:05.5Z&Unknown.member.1=z&Tags.member.0.Key=ignored&Tags.member.x.Key=ignored')
    expect(compile(shapes).accept(formMembers(form, shapes))).toEqual({
      RoleArn: 'arn:aws:iam::111122223333:role/r', DurationSeconds: 900, Tags: [{ Key: 'a', Value: '1' }, { Key: 'b', Value: '' }],
      TagKeys: ['x'], SourceIdentity: { Name: 'n' }, Context: new Map([['__proto__', 'v']]), Document: Buffer.from('hi'), Recursive: true,
      Since: new Date('2026-01-02T03:04:05.500Z'),
    })
  })

  it('are empty lists and maps where a client wrote them without a value, and absent where it wrote nothing', () => {
    expect(compile(shapes).accept(formMembers(readForm(`${arn}&Tags=&Context=`), shapes))).toEqual({
      RoleArn: 'arn:aws:iam::111122223333:role/r', Tags: [], Context: new Map(),
    })
  })

  const refused = (path: string, value: string, clause: string) =>
    `ValidationException: 1 validation error detected: Value ${value} at '${path}' failed to satisfy constraint: Member must ${clause}`
  it.each([
    ['', refused('roleArn', 'null', 'not be null')],
    ['RoleArn=not-an-arn', refused('roleArn', "'not-an-arn'", 'have length greater than or equal to 20')],
    [`${arn}&DurationSeconds=-1`, refused('durationSeconds', "'-1'", 'have value greater than or equal to 900')],
    [`${arn}&DurationSeconds=2147483647`, refused('durationSeconds', "'2147483647'", 'have value less than or equal to 43200')],
    [`${arn}&DurationSeconds=`, 'SerializationException: missing value for decimal type'],
    [`${arn}&DurationSeconds=abc`, 'SerializationException'],
    [`${arn}&DurationSeconds=900.0`, 'SerializationException'],
    [`${arn}&DurationSeconds=2147483648`, 'SerializationException'],
    [`${arn}&DurationSeconds=-2147483649`, 'SerializationException'],
    [`${arn}&Recursive=True`, 'SerializationException'],
    [`${arn}&Since=yesterday`, 'SerializationException'],
    [`${arn}&Tags.member.1.Value=v`, refused('tags.1.member.key', 'null', 'not be null')],
    [`${arn}&Tags.member.1.Foo=v&Tags.member.2.Key=k&Tags.member.2.Value=`, 'ValidationException: 2 validation errors detected: '
      + "Value null at 'tags.1.member.key' failed to satisfy constraint: Member must not be null; "
      + "Value null at 'tags.1.member.value' failed to satisfy constraint: Member must not be null"],
    [`${arn}&Tags.member.1=v`, refused('tags.1.member', 'null', 'not be null')],
  ])('%j: %s', (source, message) => {
    expect(refusal(shapes, source)).toBe(message)
  })

  it('of an empty role ARN violate the pattern and then the length, as on STS', () => {
    expect(refusal(shapes, 'RoleArn=')).toBe('ValidationException: 2 validation errors detected: '
      + "Value '' at 'roleArn' failed to satisfy constraint: Member must satisfy regular expression pattern: "
      + String.raw`[\u0009\u000A\u000D\u0020-\u007E\u0085]+; `
      + "Value '' at 'roleArn' failed to satisfy constraint: Member must have length greater than or equal to 20")
  })
})

describe('a result', () => {
  it('is written as STS writes it', async () => {
    const result = { Arn: 'arn:aws:iam::111122223333:user/a', UserId: 'AIDAEXAMPLE', Account: '111122223333' }
    const body = '<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">\n'
      + '  <GetCallerIdentityResult>\n'
      + '    <Arn>arn:aws:iam::111122223333:user/a</Arn>\n    <UserId>AIDAEXAMPLE</UserId>\n    <Account>111122223333</Account>\n'
      + '  </GetCallerIdentityResult>\n'
      + `  <ResponseMetadata>\n    <RequestId>${requestId}</RequestId>\n  </ResponseMetadata>\n</GetCallerIdentityResponse>\n`
    expect(await answer(response => { sendQueryResult(response, requestId, sts, result) })).toMatchObject({
      status: 200, body,
      headers: { 'content-type': 'text/xml', 'x-amzn-requestid': requestId, 'content-length': String(body.length) },
    })
  })

  it('of an operation without one is metadata only, in the namespace of its version', async () => {
    const iam = readQuery('Action=DeleteRole&Version=2010-05-08&RoleName=r')
    expect((await answer(response => { sendQueryResult(response, requestId, iam, undefined) })).body).toBe(
      '<DeleteRoleResponse xmlns="https://iam.amazonaws.com/doc/2010-05-08/">\n'
      + `  <ResponseMetadata>\n    <RequestId>${requestId}</RequestId>\n  </ResponseMetadata>\n</DeleteRoleResponse>\n`)
  })

  it('holds lists, dates, numbers, booleans and bytes, leaves undefined out and escapes texts', async () => {
    const result = {
      Tags: [{ Key: 'a<b', Value: '"&\'' }], Names: ['x', 'y'], None: [], Gone: undefined, Expiration: new Date('2026-01-02T03:04:05.678Z'),
      MaxSessionDuration: 3600, IsTruncated: false, Blob: Buffer.from('hi'),
    }
    const { body } = await answer(response => { sendQueryResult(response, requestId, sts, result) })
    expect(body.slice(body.indexOf('    <Tags>'), body.indexOf('  </GetCallerIdentityResult>'))).toBe(
      '    <Tags>\n      <member>\n        <Key>a&lt;b</Key>\n        <Value>&quot;&amp;&apos;</Value>\n      </member>\n    </Tags>\n'
      + '    <Names>\n      <member>x</member>\n      <member>y</member>\n    </Names>\n    <None/>\n'
      + '    <Expiration>2026-01-02T03:04:05Z</Expiration>\n    <MaxSessionDuration>3600</MaxSessionDuration>\n'
      + '    <IsTruncated>false</IsTruncated>\n    <Blob>aGk=</Blob>\n',
    )
  })

  it('refuses to be named after an action that is no name', () => {
    const response = {} as ServerResponse
    expect(() => { sendQueryResult(response, requestId, readQuery('Action=A><B&Version=2011-06-15'), {}) })
      .toThrow(new TypeError('an answer must be named after a known action'))
  })

  it('refuses what has no text', () => {
    const response = {} as ServerResponse
    expect(() => { sendQueryResult(response, requestId, sts, { a: null }) }).toThrow(new TypeError('an answer cannot hold null'))
    expect(() => { sendQueryResult(response, requestId, sts, { a: NaN }) }).toThrow(new TypeError('an answer cannot hold number'))
  })
})

describe('an error', () => {
  it('is written as STS writes it', async () => {
    const error = new KmsError('AccessDeniedException', 'User: <x> & co')
    const { status, headers, body } = await answer(response => { sendQueryError(response, requestId, sts, error) })
    expect({ status, type: headers['content-type'], id: headers['x-amzn-requestid'], body }).toEqual({
      status: 403, type: 'text/xml', id: requestId,
      body: '<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">\n'
        + '  <Error>\n    <Type>Sender</Type>\n    <Code>AccessDenied</Code>\n    <Message>User: &lt;x&gt; &amp; co</Message>\n  </Error>\n'
        + `  <RequestId>${requestId}</RequestId>\n</ErrorResponse>\n`,
    })
  })

  it('of ours has the type Receiver, no text of its own and no cause', async () => {
    const error = new KmsError('KMSInternalException', undefined, { cause: new Error('secret detail') })
    const { status, body } = await answer(response => { sendQueryError(response, requestId, sts, error) })
    expect(status).toBe(500)
    expect(body).toContain('    <Type>Receiver</Type>\n    <Code>InternalFailure</Code>\n  </Error>\n')
  })

  it('before a form was read stands in the namespace of faults', async () => {
    const { status, headers, body } = await answer(response => {
      sendQueryError(response, requestId, undefined, new KmsError('RequestEntityTooLargeException'))
    })
    expect({ status, connection: headers.connection }).toEqual({ status: 413, connection: 'close' })
    expect(body).toMatch(/^<ErrorResponse xmlns="http:\/\/webservices\.amazon\.com\/AWSFault\/2005-15-09">\n/)
  })

  it('never writes a version of the caller into its namespace', async () => {
    const query = readQuery('Action=X&Version=%22%3E%3Cevil')
    const { body } = await answer(response => { sendQueryError(response, requestId, query, new KmsError('ValidationException', 'v')) })
    expect(body).not.toContain('evil')
  })

  it.each([
    ['Action=NoSuchAction&Version=2011-06-15', 'Could not find operation NoSuchAction for version 2011-06-15'],
    ['Action=GetCallerIdentity', 'Could not find operation GetCallerIdentity for version NO_VERSION_SPECIFIED'],
    ['Action=GetCallerIdentity&Version=', 'Could not find operation GetCallerIdentity for version '],
    ['Action=&Version=2011-06-15', 'Could not find operation  for version 2011-06-15'],
    ['Action=<a>&Version=1', 'Could not find operation &lt;a&gt; for version 1'],
  ])('for an unknown action: %s', async (source, message) => {
    const query = readQuery(source)
    const { status, body } = await answer(response => { sendQueryError(response, requestId, query, unknownAction(query)) })
    expect({ status, body }).toEqual({
      status: 400,
      body: '<ErrorResponse xmlns="http://webservices.amazon.com/AWSFault/2005-15-09">\n'
        + `  <Error>\n    <Type>Sender</Type>\n    <Code>InvalidAction</Code>\n    <Message>${message}</Message>\n  </Error>\n`
        + `  <RequestId>${requestId}</RequestId>\n</ErrorResponse>\n`,
    })
  })

  it.each([
    ['InvalidSignatureException', 'SignatureDoesNotMatch', 403],
    ['UnrecognizedClientException', 'InvalidClientTokenId', 403],
    ['MissingAuthenticationTokenException', 'MissingAuthenticationToken', 403],
    ['ExpiredTokenException', 'ExpiredToken', 403],
    ['IncompleteSignatureException', 'IncompleteSignature', 400],
    ['ValidationException', 'ValidationError', 400],
    ['SerializationException', 'MalformedInput', 400],
    ['ThrottlingException', 'Throttling', 400],
    ['NotFoundException', 'NoSuchEntity', 404],
    ['AlreadyExistsException', 'EntityAlreadyExists', 409],
    ['MalformedPolicyDocumentException', 'MalformedPolicyDocument', 400],
    ['InvalidMarkerException', 'InvalidMarkerException', 400],
  ] as const)('%s is %s with %i', (ours, code, status) => {
    expect(queryFault(new KmsError(ours))).toEqual({ code, status })
  })
})

describe('the AWS SDK', () => {
  const role = { RoleArn: 'arn:aws:iam::111122223333:role/r', RoleSessionName: 's' }
  const request = readQuery('Action=AssumeRole&Version=2011-06-15')
  const call = (port: number) => new STSClient({
    endpoint: `http://127.0.0.1:${port}`,
    region: 'us-east-1',
    credentials: { accessKeyId: 'AKIAEXAMPLE', secretAccessKey: 'x' },
    maxAttempts: 1,
  }).send(new AssumeRoleCommand(role))

  it('reads a result', async () => {
    const result = {
      Credentials: { AccessKeyId: 'ASIA', SecretAccessKey: 'a/b+c&', SessionToken: 't==', Expiration: new Date('2026-01-02T03:04:05Z') },
      PackedPolicySize: 6,
    }
    expect(await listening(response => { sendQueryResult(response, requestId, request, result) }, call))
      .toMatchObject({ ...result, $metadata: { requestId } })
  })

  it('reads an error', async () => {
    const error = new KmsError('UnrecognizedClientException', 'The security token included in the request is invalid.')
    await expect(listening(response => { sendQueryError(response, requestId, request, error) }, call)).rejects.toMatchObject({
      name: 'InvalidClientTokenId', message: error.text, $metadata: { httpStatusCode: 403, requestId },
    })
  })
})

describe('a text in XML', () => {
  it('never holds markup, nor a character that XML cannot hold, and says the same otherwise', () => {
    fc.assert(fc.property(fc.string({ unit: 'binary' }), value => {
      const escaped = escapeXml(value)
      expect(escaped).toMatch(/^([^<>"'&]|&(amp|lt|gt|quot|apos|#xD);)*$/u)
      expect(escaped).not.toMatch(/[\0-\x08\x0b-\x1f\ufffe\uffff\p{Surrogate}]/u)
    }))
    expect(escapeXml('a\0b\x1bc\ufffed\ud800e\rf\t\n😀é')).toBe('a\ufffdb\ufffdc\ufffdd\ufffde&#xD;f\t\n😀é')
  })
})
