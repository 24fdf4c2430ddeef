// From a signature to a caller. Nothing of the request counts before its signature has been verified over its raw bytes, and what
// costs the database or the HSM before that is held back for each source address.
import type { CallerEntry } from '../cache/caller-entry.ts'
import { KmsError, type ErrorCode } from '../errors.ts'
import { callerOf, type Caller } from '../identity/caller.ts'
import { parseAuthorization, type Authorization } from '../sigv4/authorization.ts'
import { unrecognizedClient } from '../sigv4/refusals.ts'
import { checkScope } from '../sigv4/scope.ts'
import { verifySignature } from '../sigv4/verify.ts'
import type { AuthnReason } from '../telemetry/metrics.ts'
import type { RequestEvent } from './event.ts'
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
  const owner = await ownerOf(resources, request, authorization)
  const signingKey = resources.signingKeys.get(owner, authorization.date, authorization.region, authorization.service)
  if (signingKey instanceof Promise) hold(resources, request)
  verifySignature(request, authorization, signingKey instanceof Promise ? await signingKey : signingKey, expected)
  return callerOf(owner)
}

/** An unknown, an inactive and a foreign access key get the same answer. A session token belongs to no access key of a user. */
async function ownerOf(resources: Resources, request: IncomingRequest, { accessKeyId, sessionToken }: Authorization): Promise<CallerEntry> {
  if (sessionToken !== undefined) throw unrecognizedClient()
  const known = resources.cache.accessKey(accessKeyId)
  if (known instanceof Promise) hold(resources, request)
  const owner = known instanceof Promise ? await known : known
  if (owner?.status !== 'Active') throw unrecognizedClient()
  return owner
}

/** @throws ThrottlingException when this address has caused too much work without showing who it is */
function hold(resources: Resources, request: IncomingRequest): void {
  if (!resources.gate.admit(request.address)) {
    throw new KmsError('ThrottlingException', 'You have exceeded the rate at which you may call KMS. Reduce the frequency of your calls.')
  }
}

const reasons: Readonly<Partial<Record<ErrorCode, AuthnReason>>> = {
  MissingAuthenticationTokenException: 'missing',
  IncompleteSignatureException: 'incomplete',
  UnrecognizedClientException: 'unknown-key',
  ThrottlingException: 'throttled',
}

const reasonOf = (error: KmsError): AuthnReason =>
  reasons[error.code] ?? (/^Signature (expired|not yet)/.test(error.message) ? 'skew' : 'signature')
