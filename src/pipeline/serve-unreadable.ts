// Requests that reach no service: a Content-Type that is no protocol of ours, a body beyond the limits. They change nothing, and
// leave a record like every other.
import type { KmsError } from '../errors.ts'
import { RequestEvent } from './event.ts'
import { refuse } from './failure.ts'
import type { IncomingRequest, Resources } from './resources.ts'

/** Resolves to the error to answer with, once it is recorded. */
export async function serveUnreadable(resources: Resources, request: IncomingRequest, unreadable: KmsError): Promise<KmsError> {
  const event = new RequestEvent(resources, request, 'kms.amazonaws.com')
  const error = await refuse(resources, request, event, unreadable)
  event.finish(error)
  return error
}
