// The computing half of Signature Version 4, the same for verifying callers and for signing requests of our own.
import { createHmac, hash } from 'node:crypto'
import { algorithm, type SignedRequest } from './authorization.ts'
import { canonicalHeaders } from './headers.ts'
import { canonicalPaths, canonicalQuery, parseQuery, splitUrl } from './canonical.ts'
import { formatTimestamp } from './timestamp.ts'

export interface Scope {
  readonly date: string
  readonly region: string
  readonly service: string
}

/**
 * The signing key of one day, Region and service, 32 bytes. The caller zeroes `secret`, which holds the secret's ASCII characters;
 * what is made on the way is zeroed here.
 */
export function deriveSigningKey(secret: Buffer, date: string, region: string, service: string): Buffer {
  let key = Buffer.concat([Buffer.from('AWS4'), secret])
  for (const part of [date, region, service, 'aws4_request']) {
    const next = createHmac('sha256', key).update(part).digest()
    key.fill(0)
    key = next
  }
  return key
}

/** The canonical request with one of the paths that canonicalPaths gives; `payloadHash` is 64 hexadecimal digits. */
export function canonicalRequest(request: SignedRequest, path: string, query: string, signedHeaders: readonly string[], payloadHash: string): string {
  const headers = canonicalHeaders(request.rawHeaders, signedHeaders)
  return `${request.method}\n${path}\n${query}\n${headers}\n${signedHeaders.join(';')}\n${payloadHash}`
}

export function stringToSign(canonical: string, amzDate: string, { date, region, service }: Scope): string {
  // latin1: one character is one byte of the wire, in header values too.
  return `${algorithm}\n${amzDate}\n${date}/${region}/${service}/aws4_request\n${hash('sha256', Buffer.from(canonical, 'latin1'))}`
}

/** 32 bytes. */
export const signatureOf = (text: string, signingKey: Buffer): Buffer => createHmac('sha256', signingKey).update(text, 'latin1').digest()

/** 64 hexadecimal digits. */
export const payloadHash = (body: Buffer): string => hash('sha256', body)

export interface Signer {
  readonly accessKeyId: string
  /** ASCII characters of the secret access key; zeroed by its owner. */
  readonly secret: Buffer
  readonly sessionToken?: string
  readonly region: string
  readonly service: string
  readonly time: Date
}

/** What proxies may change on the way, and what is not there before signing. */
const unsignedHeaders: ReadonlySet<string> = new Set([
  'authorization', 'connection', 'expect', 'keep-alive', 'te', 'trailer', 'transfer-encoding', 'upgrade', 'user-agent', 'x-amzn-trace-id',
])

/**
 * Signs a request in header form. Returns its whole raw header list, with X-Amz-Date, X-Amz-Security-Token and Authorization in
 * the place of any that were there. Every other header that a proxy leaves alone is signed.
 * @throws RangeError for a request without Host, or with characters in URL or headers that are not printable ASCII: what is signed must
 * be what the HTTP client puts on the wire.
 */
export function sign(request: SignedRequest, signer: Signer): string[] {
  const amzDate = formatTimestamp(signer.time)
  const scope = { date: amzDate.slice(0, 8), region: signer.region, service: signer.service }
  const rawHeaders = withoutSignature(request.rawHeaders)
  rawHeaders.push('X-Amz-Date', amzDate)
  if (signer.sessionToken !== undefined) rawHeaders.push('X-Amz-Security-Token', signer.sessionToken)
  const names = new Set(rawHeaders.filter((_, index) => index % 2 === 0).map(name => name.toLowerCase()))
  const signedHeaders = [...names].filter(name => !unsignedHeaders.has(name)).sort()
  if (!names.has('host')) throw new RangeError('a request without Host cannot be signed')
  if (unsignable.test(request.url) || rawHeaders.some(text => unsignable.test(text.replaceAll(/[ \t]/g, '')))) {
    throw new RangeError('a request to be signed must be printable ASCII')
  }
  const { path, query } = splitUrl(request.url)
  const [canonicalPath = '/'] = canonicalPaths(path)
  const canonical = canonicalRequest(
    { ...request, rawHeaders }, canonicalPath, canonicalQuery(parseQuery(query)), signedHeaders, payloadHash(request.body))
  const signingKey = deriveSigningKey(signer.secret, scope.date, scope.region, scope.service)
  const signature = signatureOf(stringToSign(canonical, amzDate, scope), signingKey).toString('hex')
  signingKey.fill(0)
  const credential = `${signer.accessKeyId}/${scope.date}/${scope.region}/${scope.service}/aws4_request`
  return [...rawHeaders, 'Authorization', `${algorithm} Credential=${credential}, SignedHeaders=${signedHeaders.join(';')}, Signature=${signature}`]
}

const unsignable = /[^\x21-\x7e]/

const replaced: ReadonlySet<string> = new Set(['authorization', 'x-amz-date', 'x-amz-security-token'])

function withoutSignature(rawHeaders: readonly string[]): string[] {
  return rawHeaders.filter((_, index) => !replaced.has((rawHeaders[index - index % 2] ?? '').toLowerCase()))
}
