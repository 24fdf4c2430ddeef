// What a request says of its own signature: the Authorization header or the presigned query string, taken apart. Nothing here is
// verified yet. Adversary: whoever can reach the port; every string is hostile, and no work beyond one pass over it is done.
import { decodeComponent, parseQuery, splitUrl, type Parameter } from './canonical.ts'
import { soleHeader, type RawHeaders } from './headers.ts'
import { incomplete, invalid, mismatch, missingToken } from './refusals.ts'
import { parseTimestamp } from './timestamp.ts'

export const algorithm = 'AWS4-HMAC-SHA256'
const maxSignedHeaders = 100
const maxAuthorizationLength = 8192

/** A request as it came over the wire. Strings are latin1, as node's parser makes them. */
export interface SignedRequest {
  readonly method: string
  /** Path and query exactly as on the request line. */
  readonly url: string
  /** Flat list of name, value. */
  readonly rawHeaders: RawHeaders
  readonly body: Buffer
}

export interface Authorization {
  readonly form: 'header' | 'query'
  readonly accessKeyId: string
  /** The scope's date, YYYYMMDD when it passes checkScope. */
  readonly date: string
  readonly region: string
  readonly service: string
  /** `aws4_request` when it passes checkScope. */
  readonly terminator: string
  /** Lower case, sorted. */
  readonly signedHeaders: readonly string[]
  /** 32 bytes; empty when it was not 64 lower-case hexadecimal digits, which no signature equals. */
  readonly signature: Buffer
  readonly time: Date
  /** YYYYMMDD'T'HHMMSS'Z'. */
  readonly amzDate: string
  /** The header that `time` was read from, undefined in query form. */
  readonly dateHeader?: 'x-amz-date' | 'date'
  readonly sessionToken?: string
  /** X-Amz-Expires, seconds; query form only. */
  readonly expires?: number
}

/**
 * Reads who claims to have signed the request.
 * @throws MissingAuthenticationTokenException without any AWS4 credentials; IncompleteSignatureException for what is missing or
 * malformed; InvalidSignatureException where both forms or two of one header are there.
 */
export function parseAuthorization(request: SignedRequest): Authorization {
  const header = soleHeader(request.rawHeaders, 'authorization')
  const parameters = request.url.includes('?') ? parseQuery(splitUrl(request.url).query) : []
  const presigned = parameters.some(({ name }) => name === 'X-Amz-Algorithm')
  if (header !== undefined && presigned) {
    throw invalid("Found both 'X-Amz-Algorithm' as a query-string param and 'Authorization' as HTTP header.")
  }
  if (header?.startsWith('AWS4-')) return fromHeader(header, request.rawHeaders)
  if (header === undefined && parameters.some(({ name }) => queryParameters.includes(name))) return fromQuery(parameters)
  throw missingToken()
}

const headerParameters = ['Credential', 'Signature', 'SignedHeaders'] as const

function fromHeader(header: string, rawHeaders: RawHeaders): Authorization {
  if (header.length > maxAuthorizationLength) throw incomplete('Authorization header is too long.')
  const [scheme = '', ...pairs] = header.split(/[ ,]+/)
  const values = new Map<string, string>()
  for (const pair of pairs) {
    if (pair === '') continue
    const equals = pair.indexOf('=')
    if (equals < 0) throw incomplete(`'${pair}' not a valid key=value pair (missing equal-sign) in Authorization header: '${header}'.`)
    const name = pair.slice(0, equals)
    if (values.has(name)) throw mismatch()
    values.set(name, pair.slice(equals + 1))
  }
  const amzDate = soleHeader(rawHeaders, 'x-amz-date')
  const date = amzDate ?? soleHeader(rawHeaders, 'date')
  const credential = values.get('Credential')
  const signedHeaders = values.get('SignedHeaders')
  const signature = values.get('Signature')
  if (credential === undefined || signedHeaders === undefined || signature === undefined || date === undefined) {
    throw incomplete(`${missingParts(values, date)}Authorization=${header}`)
  }
  const timestamp = parseTimestamp(date)
  requireAlgorithm(scheme)
  return {
    form: 'header',
    ...parseCredential(credential),
    signedHeaders: parseSignedHeaders(signedHeaders),
    signature: parseSignature(signature),
    time: timestamp.time,
    amzDate: timestamp.amzDate,
    dateHeader: amzDate === undefined ? 'date' : 'x-amz-date',
    sessionToken: soleHeader(rawHeaders, 'x-amz-security-token'),
  }
}

function missingParts(values: ReadonlyMap<string, string>, date: string | undefined): string {
  const missing = headerParameters.filter(name => !values.has(name)).map(name => `Authorization header requires '${name}' parameter. `)
  if (date === undefined) missing.push("Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header. ")
  return missing.join('')
}

const requiredQueryParameters = ['X-Amz-Algorithm', 'X-Amz-Credential', 'X-Amz-Signature', 'X-Amz-SignedHeaders', 'X-Amz-Date']
const queryParameters = [...requiredQueryParameters, 'X-Amz-Expires', 'X-Amz-Security-Token']

function fromQuery(parameters: readonly Parameter[]): Authorization {
  const values = new Map<string, string>()
  for (const { name, value } of parameters) {
    if (!queryParameters.includes(name)) continue
    if (values.has(name)) throw mismatch()
    values.set(name, decodeComponent(value))
  }
  const missing = requiredQueryParameters.filter(name => !values.has(name)).map(name => `AWS query-string parameters must include '${name}'. `)
  if (missing.length > 0) throw incomplete(`${missing.join('')}Re-examine the query-string parameters.`)
  const timestamp = parseTimestamp(values.get('X-Amz-Date') ?? '')
  requireAlgorithm(values.get('X-Amz-Algorithm') ?? '')
  return {
    form: 'query',
    ...parseCredential(values.get('X-Amz-Credential') ?? ''),
    signedHeaders: parseSignedHeaders(values.get('X-Amz-SignedHeaders') ?? ''),
    signature: parseSignature(values.get('X-Amz-Signature') ?? ''),
    ...timestamp,
    sessionToken: values.get('X-Amz-Security-Token'),
    expires: parseExpires(values.get('X-Amz-Expires')),
  }
}

function requireAlgorithm(name: string): void {
  if (name !== algorithm) throw incomplete(`Unsupported AWS 'algorithm': '${name}' (only ${algorithm} for now). `)
}

function parseCredential(credential: string): Pick<Authorization, 'accessKeyId' | 'date' | 'region' | 'service' | 'terminator'> {
  const [accessKeyId, date, region, service, terminator, ...more] = credential.split('/', 6)
  if (accessKeyId === undefined || date === undefined || region === undefined || service === undefined || terminator === undefined || more.length > 0) {
    throw incomplete(`Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term, got '${credential}'`)
  }
  return { accessKeyId, date, region, service, terminator }
}

function parseSignedHeaders(list: string): readonly string[] {
  const names = list === '' ? [] : list.toLowerCase().split(';', maxSignedHeaders + 1)
  if (names.length > maxSignedHeaders) throw incomplete(`SignedHeaders must not name more than ${maxSignedHeaders} headers.`)
  return names.sort()
}

const hexSignature = /^[0-9a-f]{64}$/
const noSignature = Buffer.alloc(0)

function parseSignature(text: string): Buffer {
  return hexSignature.test(text) ? Buffer.from(text, 'hex') : noSignature
}

/** AWS's bounds for a presigned request: 1 second to 7 days. */
function parseExpires(text: string | undefined): number | undefined {
  if (text === undefined) return undefined
  const seconds = /^\d{1,6}$/.test(text) ? Number(text) : 0
  if (seconds < 1 || seconds > 604_800) throw incomplete(`X-Amz-Expires must be a number of seconds from 1 to 604800. Got '${text}'.`)
  return seconds
}
