// From whatever was thrown to what the client is told. What is expected has its own error; all else is KMSInternalException, with
// a log line that has the request id and no secret.
import { KmsError } from '../errors.ts'
import { HsmUnavailable, MaterialRefused } from '../hsm/hsm.ts'
import type { Operation } from '../operations/operation.ts'
import type { RequestEvent } from './event.ts'
import type { IncomingRequest, Resources } from './resources.ts'

/** Too much was asked for: SDKs wait and try again. */
export const throttled = (): KmsError =>
  new KmsError('ThrottlingException', 'You have exceeded the rate at which you may call KMS. Reduce the frequency of your calls.')

/** What went wrong is nothing the client can mend. */
export const internal = (): KmsError =>
  new KmsError('KMSInternalException', 'The request was rejected because an internal exception occurred. The request can be retried.')

/** The client's error for a thrown value, recorded; should recording fail, that failure takes its place. */
export async function refuse(resources: Resources, request: IncomingRequest, event: RequestEvent, thrown: unknown): Promise<KmsError> {
  const error = failureOf(resources, request, event, thrown)
  try {
    await event.record(error)
    return error
  } catch (unrecorded) {
    return failureOf(resources, request, event, unrecorded)
  }
}

function failureOf(resources: Resources, request: IncomingRequest, event: RequestEvent, thrown: unknown): KmsError {
  if (thrown instanceof KmsError) return thrown
  const details = { requestId: request.id, operation: event.name, err: thrown }
  if (thrown instanceof HsmUnavailable) {
    resources.log.warn(details, 'the HSM did not serve a request')
    return unavailable(thrown, event.operation)
  }
  if (thrown instanceof MaterialRefused) {
    resources.metrics.hsm.materialRefused()
    resources.log.error({ ...details, keys: event.keys.map(({ key }) => key.arn) }, 'ALARM: the HSM refuses a material row: the database was changed past Trent')
  } else resources.log.error(details, 'a request failed')
  return internal()
}

/** Errors that SDKs try again. Never DisabledException or KMSInvalidStateException for a fault: those they do not. */
function unavailable({ reason }: HsmUnavailable, operation: Operation | undefined): KmsError {
  if (reason === 'busy') return throttled()
  if (reason === 'deadline') return new KmsError('DependencyTimeoutException', 'The system timed out while trying to fulfill the request. You can retry the request.')
  const usesKey = operation?.kind === 'use' && Object.keys(operation.needs).length > 0
  return usesKey
    ? new KmsError('KeyUnavailableException', 'The request was rejected because the specified KMS key was not available. You can retry the request.')
    : internal()
}
