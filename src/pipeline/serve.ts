// The life of a KMS request, from its bytes to its answer. Read this file first.
//
// AWS's order of checks: target, signature, JSON, types, constraints, key names, existence and permission, state, usage,
// algorithm; then the work. Nothing leaves before its audit record is durable.
import type { Output } from '../operations/operation.ts'
import { admit } from './admit.ts'
import { authenticate } from './authenticate.ts'
import { authorize } from './authorize.ts'
import { RequestEvent } from './event.ts'
import { refuse } from './failure.ts'
import { findOperation, requireBuilt } from './find.ts'
import { perform } from './perform.ts'
import { resolve } from './resolve.ts'
import type { Answer, IncomingRequest, Resources } from './resources.ts'
import { wipe } from '../shape/wipe.ts'

/** Serves a request; never rejects. */
export async function serve(resources: Resources, request: IncomingRequest): Promise<Answer<Output>> {
  const event = new RequestEvent(resources, request, 'kms.amazonaws.com')
  let answer: Answer<Output> | undefined
  try {
    const { name, entry } = findOperation(request.target)
    event.name = name
    const caller = (event.caller = await authenticate(resources, request, event, ['kms']))
    const operation = (event.operation = requireBuilt(entry))
    const input = (event.input = operation.parse(request.body))
    operation.check?.(input)
    const resolved = await resolve(resources, operation, input, caller)
    const keys = authorize(operation, input, resolved, caller, resources.region)
    event.keys = Object.values(keys)
    admit(input, resolved, keys)
    answer = { output: await perform(resources, { operation, input, caller, keys }, event) }
  } catch (thrown) {
    answer = { error: await refuse(resources, request, event, thrown) }
  } finally {
    wipe(event.input)
    event.finish(answer?.error)
  }
  return answer
}
