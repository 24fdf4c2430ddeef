// The life of an STS request: the steps of serve.ts that apply to it. No STS operation here needs a permission.
import type { KmsError } from '../errors.ts'
import { stsOperations, stsVersion } from '../sts/table.ts'
import { authenticate } from './authenticate.ts'
import { RequestEvent } from './event.ts'
import { refuse } from './failure.ts'
import type { Answer, IncomingRequest, Resources } from './resources.ts'

/** What the query protocol says of an action, once the form has been read; or the error of reading it. */
export type StsCall = { readonly action: string; readonly version: string | undefined; readonly unknown: KmsError } | { readonly unreadable: KmsError }

/** Serves a request; never rejects. */
export async function serveSts(resources: Resources, request: IncomingRequest, call: StsCall): Promise<Answer<Readonly<Record<string, string>>>> {
  const event = new RequestEvent(resources, request, 'sts.amazonaws.com')
  let answer: Answer<Readonly<Record<string, string>>> | undefined
  try {
    if ('unreadable' in call) throw call.unreadable
    const operation = call.version === stsVersion ? stsOperations.get(call.action) : undefined
    if (operation === undefined) throw call.unknown
    event.name = call.action
    event.readOnly = operation.readOnly
    const caller = (event.caller = await authenticate(resources, request, event, ['sts']))
    const output = operation.handle(caller)
    await event.record()
    answer = { output }
  } catch (thrown) {
    answer = { error: await refuse(resources, request, event, thrown) }
  } finally {
    event.finish(answer?.error)
  }
  return answer
}
