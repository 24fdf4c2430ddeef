import { GetCallerIdentityCommand, STSClient, type STSServiceException } from '@aws-sdk/client-sts'
import aws4 from 'aws4'
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest'
import { raw, region, send, type Credentials, type RawAnswer } from '../support/aws.ts'
import { openScene, type Scene } from '../support/scene.ts'
import { recordOf } from '../support/trail.ts'

let scene: Scene
let url: string
const { admin, account, identities } = inject('installation')
const { plain, root, foreign } = identities
const form = { 'Content-Type': 'application/x-www-form-urlencoded; charset=utf-8' }
const question = 'Action=GetCallerIdentity&Version=2011-06-15'
const namespace = 'https://sts.amazonaws.com/doc/2011-06-15/'
const faultNamespace = 'http://webservices.amazon.com/AWSFault/2005-15-09'

beforeAll(async () => {
  scene = await openScene()
  ;({ url } = scene.trent)
})
afterAll(() => scene.close())

async function whoAmI(credentials: Credentials, from = region): Promise<object> {
  const client = new STSClient({ endpoint: url, region: from, credentials, maxAttempts: 1 })
  try {
    const { Account, Arn, UserId } = await client.send(new GetCallerIdentityCommand({}))
    return { Account, Arn, UserId }
  } finally {
    client.destroy()
  }
}

const post = (body = question, more: object = {}): Promise<RawAnswer> => raw(url, { service: 'sts', body, headers: form, ...more })

/** A GET whose signature stands in the query string, as aws-iam-authenticator and Vault make it. */
const presigned = (query: string, credentials: Credentials = admin): string =>
  url + (aws4.sign({ host: new URL(url).host, path: `/?${query}`, service: 'sts', region, signQuery: true }, credentials).path ?? '')

const requestIdOf = ({ headers }: RawAnswer): string => headers.get('x-amzn-requestid') ?? ''

function expectAnswer(answer: RawAnswer, identity: { arn: string; userId: string; account: string }): void {
  expect(answer.text).toBe(`<GetCallerIdentityResponse xmlns="${namespace}">
  <GetCallerIdentityResult>
    <Arn>${identity.arn}</Arn>
    <UserId>${identity.userId}</UserId>
    <Account>${identity.account}</Account>
  </GetCallerIdentityResult>
  <ResponseMetadata>
    <RequestId>${requestIdOf(answer)}</RequestId>
  </ResponseMetadata>
</GetCallerIdentityResponse>
`)
  expect({ status: answer.status, type: answer.headers.get('content-type') }).toEqual({ status: 200, type: 'text/xml' })
}

function expectFault(answer: RawAnswer, status: number, code: string, text: string | undefined, where = namespace): void {
  const message = text === undefined ? '' : `\n    <Message>${text}</Message>`
  expect({ status: answer.status, text: answer.text }).toEqual({ status, text: `<ErrorResponse xmlns="${where}">
  <Error>
    <Type>Sender</Type>
    <Code>${code}</Code>${message}
  </Error>
  <RequestId>${requestIdOf(answer)}</RequestId>
</ErrorResponse>
` })
}

describe('GetCallerIdentity', () => {
  it('says who asks, through the SDK, whatever the policies', async () => {
    expect(await whoAmI(plain)).toEqual({ Account: account, Arn: plain.arn, UserId: plain.userId })
    expect(await whoAmI(admin)).toEqual({ Account: account, Arn: `arn:aws:iam::${account}:user/admin`, UserId: expect.stringMatching(/^AIDA[A-Z2-7]{17}$/) as string })
    expect(await whoAmI(foreign)).toEqual({ Account: foreign.accountId, Arn: foreign.arn, UserId: foreign.userId })
  })

  it('says of the root user the account alone', async () => {
    expect(await whoAmI(root)).toEqual({ Account: account, Arn: `arn:aws:iam::${account}:root`, UserId: account })
  })

  it('takes the signature of the global endpoint too, and of no other Region', async () => {
    expect(await whoAmI(plain, 'us-east-1')).toMatchObject({ Arn: plain.arn })
    const error = await whoAmI(plain, 'eu-west-9').catch((thrown: unknown) => thrown as STSServiceException)
    expect(error).toMatchObject({ name: 'SignatureDoesNotMatch', message: 'Credential should be scoped to a valid region. ', $metadata: { httpStatusCode: 403 } })
  })

  it('answers a signed POST in XML', async () => {
    expectAnswer(await post(question, { credentials: plain }), { arn: plain.arn, userId: plain.userId ?? '', account })
    expectAnswer(await post('Version=2011-06-15&Unheard=1&Action=GetCallerIdentity', { credentials: plain }), { arn: plain.arn, userId: plain.userId ?? '', account })
  })

  it('answers a GET that is signed in its query', async () => {
    expectAnswer(await send(presigned(question, root), 'GET', {}), { arn: root.arn, userId: account, account })
    expectAnswer(await send(presigned(`${question}&X-Amz-Expires=60`, plain), 'GET', {}), { arn: plain.arn, userId: plain.userId ?? '', account })
  })

  it('answers a GET that is signed in its header', async () => {
    const path = `/?${question}`
    const { headers } = aws4.sign({ host: new URL(url).host, path, service: 'sts', region }, plain)
    expectAnswer(await send(url + path, 'GET', headers as Record<string, string>), { arn: plain.arn, userId: plain.userId ?? '', account })
  })

  it('takes a forwarded request that is up to fifteen minutes old, and none that is older', async () => {
    const at = (minutes: number): string => new Date(Date.now() + minutes * 60_000).toISOString().replace(/[-:]|\.\d+/g, '')
    const fresh = presigned(`${question}&X-Amz-Date=${at(-14)}&X-Amz-Expires=60`, plain)
    expectAnswer(await send(fresh, 'GET', {}), { arn: plain.arn, userId: plain.userId ?? '', account })
    const stale = await send(presigned(`${question}&X-Amz-Date=${at(-16)}&X-Amz-Expires=3600`, plain), 'GET', {})
    expect({ status: stale.status, text: stale.text }).toEqual({ status: 403, text: expect.stringMatching(/<Code>SignatureDoesNotMatch<\/Code>\n {4}<Message>Signature expired: \w+ is now earlier than \w+ \(\w+ - 15 min\.\)<\/Message>/) as string })
  })
})

describe('what STS refuses', () => {
  const mismatch = 'The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method. Consult the service documentation for details.'

  it('is an action or a version that it does not know', async () => {
    expectFault(await post('Action=NoSuch&Version=2011-06-15'), 400, 'InvalidAction', 'Could not find operation NoSuch for version 2011-06-15', faultNamespace)
    expectFault(await post('Action=GetCallerIdentity'), 400, 'InvalidAction', 'Could not find operation GetCallerIdentity for version NO_VERSION_SPECIFIED', faultNamespace)
    expectFault(await post('Action=GetCallerIdentity&Version=2010-05-08'), 400, 'InvalidAction', 'Could not find operation GetCallerIdentity for version 2010-05-08', faultNamespace)
    expectFault(await post('Action=getcalleridentity&Version=2011-06-15'), 400, 'InvalidAction', 'Could not find operation getcalleridentity for version 2011-06-15', faultNamespace)
    expectFault(await post('Action=__proto__&Version=2011-06-15'), 400, 'InvalidAction', 'Could not find operation __proto__ for version 2011-06-15', faultNamespace)
    expectFault(await post(''), 400, 'InvalidAction', 'Could not find operation  for version NO_VERSION_SPECIFIED', faultNamespace)
  })

  it('is written so that no name can break out of the XML', async () => {
    expectFault(await post('Action=%3C%2FMessage%3E%26%22&Version=%3Cv%3E'), 400, 'InvalidAction', 'Could not find operation &lt;/Message&gt;&amp;&quot; for version &lt;v&gt;', faultNamespace)
  })

  it('is a form that is none', async () => {
    expectFault(await post('Action=%zz'), 400, 'MalformedInput', undefined, faultNamespace)
  })

  it('is a signature that is missing, incomplete, wrong, or by an unknown key', async () => {
    expectFault(await send(url, 'POST', form, question), 403, 'MissingAuthenticationToken', 'Missing Authentication Token')
    expectFault(await send(`${url}/?${question}`, 'GET', {}), 403, 'MissingAuthenticationToken', 'Missing Authentication Token')
    const incomplete = await send(url, 'POST', { ...form, Authorization: 'AWS4-HMAC-SHA256 Credential=a/b/c/d/e, SignedHeaders=host, Signature=x' }, question)
    expectFault(incomplete, 400, 'IncompleteSignature', 'Authorization header requires existence of either a &apos;X-Amz-Date&apos; or a &apos;Date&apos; header. Authorization=AWS4-HMAC-SHA256 Credential=a/b/c/d/e, SignedHeaders=host, Signature=x')
    expectFault(await post(question, { credentials: { ...admin, secretAccessKey: 'wrong' } }), 403, 'SignatureDoesNotMatch', mismatch)
    expectFault(await send(presigned(question).replace('GetCallerIdentity', 'GetCallerIdentity&a=b'), 'GET', {}), 403, 'SignatureDoesNotMatch', mismatch)
    expectFault(await post(question, { credentials: { accessKeyId: 'AKIAAAAAAAAAAAAAAAAA', secretAccessKey: 'any' } }), 403, 'InvalidClientTokenId', 'The security token included in the request is invalid.')
  })

  it('is a signature for KMS, as KMS refuses one for STS', async () => {
    const answer = await post(question, { service: 'kms' })
    expect({ status: answer.status, text: answer.text }).toEqual({ status: 403, text: expect.stringMatching(/<Code>SignatureDoesNotMatch<\/Code>\n {4}<Message>Credential should be scoped to correct service: .*sts.*\. <\/Message>/) as string })
  })
})

describe('the audit trail', () => {
  it('has a record of sts.amazonaws.com for each, with its error', async () => {
    const answers = { good: await post(question, { credentials: plain }), bad: await post(question, { credentials: { ...plain, secretAccessKey: 'wrong' } }), odd: await post('Action=NoSuch&Version=2011-06-15') }
    expect(await recordOf(scene.pool, requestIdOf(answers.good))).toMatchObject({
      eventSource: 'sts.amazonaws.com', eventName: 'GetCallerIdentity', readOnly: true, userIdentity: { type: 'IAMUser', arn: plain.arn }, requestParameters: null, responseElements: null, recipientAccountId: account,
    })
    expect(await recordOf(scene.pool, requestIdOf(answers.bad))).toMatchObject({ eventSource: 'sts.amazonaws.com', eventName: 'GetCallerIdentity', errorCode: 'InvalidSignatureException', userIdentity: { type: 'Unknown', accessKeyId: plain.accessKeyId } })
    expect(await recordOf(scene.pool, requestIdOf(answers.odd))).toMatchObject({ eventSource: 'sts.amazonaws.com', eventName: 'Unknown', errorCode: 'UnknownOperationException', userIdentity: { type: 'Unknown' } })
  })
})
