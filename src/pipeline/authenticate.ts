// From a signature to a caller. Nothing of the request counts before its signature has been verified over its raw bytes, and what
// costs the database or the HSM before that is held back for each source address, before it begins.
import type { CallerEntry } from '../cache/caller-entry.ts'
import { KmsError, type ErrorCode } from '../errors.ts'
import { callerOf, type Caller } from '../identity/caller.ts'
import { parseAuthorization, type Authorization } from '../sigv4/authorization.ts'
import { unrecognizedClient } from '../sigv4/refusals.ts'
import { checkScope, type ExpectedScope } from '../sigv4/scope.ts'
import { verifySignature } from '../sigv4/verify.ts'
import type { AuthnReason } from '../telemetry/metrics.ts'
import type { RequestEvent } from './event.ts'
import { throttled } from './failure.ts'
import type { IncomingRequest, Resources } from './resources.ts'

/** @throws the errors of SigV4 with AWS's texts; ThrottlingException */
export async function authenticate(resources: Resources, request: IncomingRequest, event: RequestEvent, services: readonly string[]): Promise<Caller> {
  try {
    return await establish(resources, request, event, services)
  } catch (thrown) {
    if (thrown instanceof KmsError) resources.metrics.requests.unauthenticated(reasonOf(thrown))
    throw thrown
  }
}

async function establish(resources: Resources, request: IncomingRequest, event: RequestEvent, services: readonly string[]): Promise<Caller> {
  const authorization = parseAuthorization(request)
  event.claimedAccessKey = authorization.accessKeyId
  const expected = { region: resources.region, services, now: resources.now() }
  checkScope(authorization, request, expected)
  const owner = await ownerOf(resources, request, authorization, expected)
  const signingKey = resources.signingKeys.get(owner, authorization, () => { hold(resources, request) })
  verifySignature(request, authorization, signingKey instanceof Promise ? await signingKey : signingKey, expected)
  return callerOf(owner)
}

/** An unknown, an inactive and a foreign access key get the same answer. A session token belongs to no access key of a user. */
async function ownerOf(resources: Resources, request: IncomingRequest, authorization: Authorization, expected: ExpectedScope): Promise<CallerEntry> {
  if (authorization.sessionToken !== undefined) throw unrecognizedClient()
  const known = resources.cache.accessKey(authorization.accessKeyId, () => {
    if (!hasBeenCaller(resources, request, authorization, expected)) hold(resources, request)
  })
  const owner = known instanceof Promise ? await known : known
  if (owner?.status !== 'Active') throw unrecognizedClient()
  return owner
}

/**
 * Whether the request is signed by a key that has verified a caller this day. It proves nothing of what holds now (the access key may
 * be gone), but whoever made it is no stranger: while LISTEN is lost, every look-up reads Postgres, and callers must not be held back.
 */
function hasBeenCaller({ signingKeys }: Resources, request: IncomingRequest, authorization: Authorization, expected: ExpectedScope): boolean {
  const signingKey = signingKeys.peek(authorization.accessKeyId, authorization)
  if (signingKey === undefined) return false
  try {
    verifySignature(request, authorization, signingKey, expected)
    return true
  } catch {
    return false
  }
}

/** @throws ThrottlingException when this address has caused too much work without showing who it is */
function hold(resources: Resources, request: IncomingRequest): void {
  if (!resources.gate.admit(request.address)) throw throttled()
}

const reasons: Readonly<Partial<Record<ErrorCode, AuthnReason>>> = {
  MissingAuthenticationTokenException: 'missing',
  IncompleteSignatureException: 'incomplete',
  UnrecognizedClientException: 'unknown-key',
  ThrottlingException: 'throttled',
}

const reasonOf = (error: KmsError): AuthnReason =>
  reasons[error.code] ?? (/^Signature (expired|not yet)/.test(error.message) ? 'skew' : 'signature')
