// What can be held against a signature before its key is known: clock, signed headers, credential scope. It runs before any work
// of the HSM or the database, in AWS's order.
import type { Authorization, SignedRequest } from './authorization.ts'
import { soleHeader } from './headers.ts'
import { invalid, mismatch, unrecognizedClient } from './refusals.ts'
import { formatTimestamp } from './timestamp.ts'

/** Seconds a client's clock may differ from ours, both ways. */
export const maxSkew = 300
/** Seconds a presigned request is good for at most. */
export const maxPresignedLife = 900

/** Services of AWS's one global endpoint: their clients may sign for us-east-1 wherever they are. */
const globalServices: ReadonlySet<string> = new Set(['iam', 'sts'])

export interface ExpectedScope {
  readonly region: string
  /** Names accepted in the scope; the first is the one that AWS's text names. */
  readonly services: readonly string[]
  readonly now: Date
}

/**
 * Refuses a request that cannot pass whatever its key: outside the clock's tolerance, decisive headers not signed, wrong scope.
 * @throws InvalidSignatureException with AWS's texts; UnrecognizedClientException for what cannot be an access key id.
 */
export function checkScope(authorization: Authorization, request: SignedRequest, expected: ExpectedScope): void {
  checkClock(authorization, expected.now)
  checkSignedHeaders(authorization, request)
  checkCredential(authorization, expected)
  if (!/^\w{1,128}$/.test(authorization.accessKeyId)) throw unrecognizedClient()
}

function checkClock(authorization: Authorization, clock: Date): void {
  const { time, amzDate } = authorization
  // Whole seconds, as both times are printed.
  const now = Math.floor(clock.getTime() / 1000)
  const life = lifeOf(authorization)
  const signed = time.getTime() / 1000
  if (signed < now - life) throw invalid(`Signature expired: ${amzDate} is now earlier than ${print(now - life)} (${print(now)} - ${span(life)})`)
  if (signed > now + maxSkew) {
    throw invalid(`Signature not yet current: ${amzDate} is still later than ${print(now + maxSkew)} (${print(now)} + ${span(maxSkew)})`)
  }
}

/**
 * Seconds. STS takes a presigned request for 15 minutes whatever X-Amz-Expires says (aws-iam-authenticator sends 60 and counts on
 * it); elsewhere X-Amz-Expires may shorten or lengthen the 5 minutes, up to those 15: a KMS request is not made to be kept.
 */
function lifeOf({ form, service, expires = maxSkew }: Authorization): number {
  if (form === 'header') return maxSkew
  return service === 'sts' ? maxPresignedLife : Math.min(expires, maxPresignedLife)
}

const print = (seconds: number): string => formatTimestamp(new Date(seconds * 1000))
const span = (seconds: number): string => seconds % 60 === 0 ? `${seconds / 60} min.` : `${seconds} sec.`

/**
 * Headers that decide what a request does or who it comes from, and their names in AWS's text. Present but not signed, a proxy
 * could put another in its place: Encrypt would become ScheduleKeyDeletion.
 */
const decisiveHeaders: readonly (readonly [string, string])[] = [
  ['x-amz-target', 'X-Amz-Target'],
  ['x-amz-source-arn', 'X-Amz-Source-Arn'],
  ['x-amz-source-account', 'X-Amz-Source-Account'],
]

function checkSignedHeaders({ signedHeaders, dateHeader }: Authorization, { rawHeaders }: SignedRequest): void {
  if (!signedHeaders.includes('host')) throw invalid("'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization.")
  if (soleHeader(rawHeaders, 'host') === undefined) throw mismatch()
  if (dateHeader !== undefined && !signedHeaders.includes(dateHeader)) throw unsigned(dateHeader === 'date' ? 'Date' : 'X-Amz-Date')
  for (const [name, printed] of decisiveHeaders) {
    if (soleHeader(rawHeaders, name) !== undefined && !signedHeaders.includes(name)) throw unsigned(printed)
  }
}

const unsigned = (name: string) => invalid(`'${name}' must be a 'SignedHeader' in the AWS Authorization.`)

function checkCredential(authorization: Authorization, expected: ExpectedScope): void {
  const { region, service, terminator, date, amzDate } = authorization
  const day = amzDate.slice(0, 8)
  const faults: string[] = []
  if (region !== expected.region && !(region === 'us-east-1' && globalServices.has(service))) {
    faults.push('Credential should be scoped to a valid region. ')
  }
  if (!expected.services.includes(service)) faults.push(`Credential should be scoped to correct service: '${expected.services[0] ?? ''}'. `)
  if (terminator !== 'aws4_request') faults.push(`Credential should be scoped with a valid terminator: 'aws4_request', not '${terminator}'. `)
  if (date !== day) {
    faults.push(`Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: '${date}' != '${day}', from '${amzDate}'.`)
  }
  if (faults.length > 0) throw invalid(faults.join(''))
}
