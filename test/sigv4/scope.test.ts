import { describe, expect, it } from 'vitest'
import { parseAuthorization, type Authorization } from '../../src/sigv4/authorization.ts'
import { checkScope } from '../../src/sigv4/scope.ts'
import { refusal } from './refusal.ts'
import { now, scope, signed, unsigned, withHeader } from './request.ts'

const request = signed()
const authorization = parseAuthorization(request)
const at = (seconds: number) => ({ ...scope, now: new Date(now.getTime() + seconds * 1000) })
const check = (change: Partial<Authorization>, expected = scope, over = request) => checkScope({ ...authorization, ...change }, over, expected)
const invalid = (text: string) => ({ code: 'InvalidSignatureException', text })

describe('the clock', () => {
  it.each([-300, 0, 300, 300.9])('passes a header signature when %d seconds have gone by', seconds => {
    check({}, at(seconds))
  })

  it('refuses a signature of more than five minutes ago', () => {
    expect(refusal(() => check({}, at(301))))
      .toEqual(invalid('Signature expired: 20261122T202346Z is now earlier than 20261122T202347Z (20261122T202847Z - 5 min.)'))
  })

  it('refuses a signature more than five minutes ahead', () => {
    expect(refusal(() => check({}, at(-301))))
      .toEqual(invalid('Signature not yet current: 20261122T202346Z is still later than 20261122T202345Z (20261122T201845Z + 5 min.)'))
  })

  const presigned = { form: 'query', dateHeader: undefined, signedHeaders: ['host', 'x-amz-target'] } as const

  it.each([
    [{ service: 'kms', expires: undefined }, 300, '5 min.'],
    [{ service: 'kms', expires: 60 }, 60, '1 min.'],
    [{ service: 'kms', expires: 90 }, 90, '90 sec.'],
    [{ service: 'kms', expires: 604_800 }, 900, '15 min.'],
    [{ service: 'sts', expires: 60 }, 900, '15 min.'],
  ])('lets a presigned request of %o live %d seconds', (change, life, span) => {
    const expected = { ...at(life), services: ['kms', 'sts'] }
    check({ ...presigned, ...change }, expected)
    expect(refusal(() => check({ ...presigned, ...change }, { ...expected, now: at(life + 1).now })).text)
      .toMatch(new RegExp(`^Signature expired: 20261122T202346Z is now earlier than 20261122T202347Z \\(.* - ${span}\\)$`))
  })

  it('gives a presigned request no more than five minutes of the future', () => {
    expect(refusal(() => check({ ...presigned, expires: 900 }, at(-301))).code).toBe('InvalidSignatureException')
  })
})

describe('the signed headers', () => {
  it('must hold host', () => {
    expect(refusal(() => check({ signedHeaders: ['x-amz-date', 'x-amz-target'] })))
      .toEqual(invalid("'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization."))
  })

  it.each([['x-amz-date', 'X-Amz-Date'], ['date', 'Date']] as const)('must hold the date header in use, %s', (dateHeader, printed) => {
    expect(refusal(() => check({ dateHeader, signedHeaders: ['host', 'x-amz-target'] })))
      .toEqual(invalid(`'${printed}' must be a 'SignedHeader' in the AWS Authorization.`))
  })

  it.each(['X-Amz-Target', 'X-Amz-Source-Arn', 'X-Amz-Source-Account'])('must hold %s when the request carries it', name => {
    const over = withHeader(withHeader(request, 'X-Amz-Target'), name, 'value')
    expect(refusal(() => check({ signedHeaders: ['host', 'x-amz-date'] }, scope, over)))
      .toEqual(invalid(`'${name}' must be a 'SignedHeader' in the AWS Authorization.`))
    check({ signedHeaders: ['host', 'x-amz-date', name.toLowerCase()] }, scope, over)
  })

  it('of a presigned request must hold x-amz-target too', () => {
    expect(refusal(() => check({ form: 'query', dateHeader: undefined, signedHeaders: ['host'] })))
      .toEqual(invalid("'X-Amz-Target' must be a 'SignedHeader' in the AWS Authorization."))
  })

  it('need not hold what the request does not carry', () => {
    check({ signedHeaders: ['host', 'x-amz-date'] }, scope, withHeader(request, 'X-Amz-Target'))
  })
})

describe('the credential scope', () => {
  const region = 'Credential should be scoped to a valid region. '
  const service = "Credential should be scoped to correct service: 'kms'. "
  const terminator = "Credential should be scoped with a valid terminator: 'aws4_request', not 'aws5_request'. "
  const date = "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: '20261121' != '20261122', from '20261122T202346Z'."

  it.each<[string, Partial<Authorization>, string]>([
    ['another region', { region: 'eu-west-1' }, region],
    ['us-east-1 for kms', { region: 'us-east-1' }, region],
    ['another service', { service: 's3' }, service],
    ['another terminator', { terminator: 'aws5_request' }, terminator],
    ['another day', { date: '20261121' }, date],
    ['all of these', { region: 'x', service: 's3', terminator: 'aws5_request', date: '20261121' }, region + service + terminator + date],
  ])('is refused with %s', (_, change, text) => {
    expect(refusal(() => check(change))).toEqual(invalid(text))
  })

  it.each(['sts', 'iam'])('may be us-east-1 for %s, and the own region', name => {
    const expected = { ...scope, services: ['kms', 'sts', 'iam'] }
    check({ service: name, region: 'us-east-1' }, expected)
    check({ service: name }, expected)
    expect(refusal(() => check({ service: name, region: 'us-west-2' }, expected))).toEqual(invalid(region))
  })

  it.each(['', 'AKIA IOSFODNN7', 'AKIA\u00e9', 'A'.repeat(129)])('is refused with %j for an access key id, before anyone looks it up', accessKeyId => {
    expect(refusal(() => check({ accessKeyId })))
      .toEqual({ code: 'UnrecognizedClientException', text: 'The security token included in the request is invalid.' })
  })
})

it('a request without credentials of this day is refused though its clock is right', () => {
  const stale = signed({ time: new Date(now.getTime() - 86_400_000) }, unsigned)
  expect(refusal(() => checkScope(parseAuthorization(stale), stale, scope)).text).toMatch(/^Signature expired: 20261121T202346Z/)
})
