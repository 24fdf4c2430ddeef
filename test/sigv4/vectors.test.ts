// The published vectors: each signed request is verified, each unsigned one signed.
import { readdirSync, readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { parseAuthorization, type SignedRequest } from '../../src/sigv4/authorization.ts'
import { canonicalPaths, canonicalQuery, parseQuery, splitUrl } from '../../src/sigv4/canonical.ts'
import { canonicalRequest, deriveSigningKey, payloadHash, sign, stringToSign } from '../../src/sigv4/signing.ts'
import { verifySignature } from '../../src/sigv4/verify.ts'
import { mismatchText, refusal } from './refusal.ts'

interface Context {
  credentials: { access_key_id: string, secret_access_key: string, token?: string }
  normalize: boolean
  sign_body: boolean
  omit_session_token?: boolean
  timestamp: string
}

const directory = new URL('vectors/', import.meta.url)
const names = readdirSync(directory, { withFileTypes: true }).filter(entry => entry.isDirectory()).map(entry => entry.name)
const bytes = (name: string, file: string) => readFileSync(new URL(`${name}/${file}`, directory), 'latin1')
const contextOf = (name: string) => JSON.parse(bytes(name, 'context.json')) as Context

/** Reads an HTTP message as node's parser would, folded lines included. */
function parseMessage(text: string): SignedRequest {
  const end = text.search(/\n\n|$(?![\s\S])/)
  const [requestLine = '', ...lines] = text.slice(0, end).trimEnd().replaceAll(/\n(?=[ \t])/g, ' ').split('\n')
  const rawHeaders = lines.flatMap(line => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 1)])
  const [, method = '', url = ''] = /^(\S+) (.*) HTTP\/1\.1$/.exec(requestLine) ?? []
  return { method, url, rawHeaders, body: Buffer.from(text.slice(end + 2), 'latin1') }
}

const expected = (context: Context) => ({ region: 'us-east-1', services: ['service'], now: new Date(context.timestamp) })
const keyOf = (context: Context) => deriveSigningKey(Buffer.from(context.credentials.secret_access_key), '20150830', 'us-east-1', 'service')

it('there are 38 vectors', () => {
  expect(names).toHaveLength(38)
})

describe.each(names)('%s', name => {
  const context = contextOf(name)
  // Its token was put into the query after signing: Trent takes a token of the query only as part of what was signed.
  const forms = name === 'post-sts-header-after' ? (['header'] as const) : (['header', 'query'] as const)

  it.each(forms)('the %s form verifies', form => {
    const request = parseMessage(bytes(name, `${form}-signed-request.txt`))
    const authorization = parseAuthorization(request)
    expect(authorization).toMatchObject({ form, accessKeyId: 'AKIDEXAMPLE', sessionToken: context.credentials.token })
    verifySignature(request, authorization, keyOf(context), expected(context))
  })

  it.each(forms)('the canonical request and string to sign of the %s form are the published ones', form => {
    const request = parseMessage(bytes(name, `${form}-signed-request.txt`))
    const authorization = parseAuthorization(request)
    const { path, query } = splitUrl(request.url)
    const sortedQuery = canonicalQuery(parseQuery(query), 'X-Amz-Signature')
    const canonical = canonicalPaths(path).map(canonicalPath =>
      canonicalRequest(request, canonicalPath, sortedQuery, authorization.signedHeaders, payloadHash(request.body)))
    const chosen = context.normalize ? canonical[0] : canonical.at(-1)
    expect(chosen).toBe(bytes(name, `${form}-canonical-request.txt`))
    expect(stringToSign(chosen ?? '', authorization.amzDate, authorization)).toBe(bytes(name, `${form}-string-to-sign.txt`))
  })
})

const urlOf = (name: string, file: string) => parseMessage(bytes(name, file)).url

/** Normalised, the token signed, a URL that an HTTP client would send, and the same one before and after signing. */
const signable = names.filter(name => {
  const url = urlOf(name, 'request.txt')
  return contextOf(name).normalize && name !== 'post-sts-header-after' && /^[\x21-\x7e]+$/.test(url) && url === urlOf(name, 'header-signed-request.txt')
})

it.each(signable)('%s is signed with the published signature', name => {
  const context = contextOf(name)
  const request = parseMessage(bytes(name, 'request.txt'))
  const rawHeaders = context.sign_body ? [...request.rawHeaders, 'x-amz-content-sha256', payloadHash(request.body)] : [...request.rawHeaders]
  const headers = sign({ ...request, rawHeaders: rawHeaders.map(text => text.replaceAll('\n', ' ')) }, {
    accessKeyId: context.credentials.access_key_id,
    secret: Buffer.from(context.credentials.secret_access_key),
    sessionToken: context.credentials.token,
    region: 'us-east-1',
    service: 'service',
    time: new Date(context.timestamp),
  })
  const published = /^Authorization:(.*)$/m.exec(bytes(name, 'header-signed-request.txt'))?.[1]
  expect(headers[headers.indexOf('Authorization') + 1]).toBe(published)
})

it('a session token put into the query after signing is refused', () => {
  const context = contextOf('post-sts-header-after')
  const request = parseMessage(bytes('post-sts-header-after', 'query-signed-request.txt'))
  expect(refusal(() => verifySignature(request, parseAuthorization(request), keyOf(context), expected(context))))
    .toEqual({ code: 'InvalidSignatureException', text: mismatchText })
})
