// Whether an answer is one that its request may have: never 5xx, never a connection that just ends, always a known error in AWS's
// form or a result with exactly the declared members.
import { errorStatus, type ErrorCode } from '../../src/errors.ts'
import type { Case, Expected, Json } from './case.ts'
import type { Outcome, WireAnswer } from './connection.ts'
import { faultOfResult } from './results.ts'

export interface Verdict {
  /** undefined: all is well. */
  readonly fault: string | undefined
  readonly requestId: string | undefined
  /** The error's type, 'OK', or what came instead of an answer. */
  readonly kind: string
  /** The result, where there is one. */
  readonly output?: Json
}

const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/

export function judge({ expected }: Case, outcome: Outcome): Verdict {
  if (typeof outcome === 'string') {
    const may = outcome === 'closed' && expected.protocol === 'broken'
    return { fault: may ? undefined : `the connection was ${outcome}`, requestId: undefined, kind: outcome }
  }
  const requestId = outcome.headers.get('x-amzn-requestid')
  const said = (kind: string, fault: string | undefined, output?: Json): Verdict => ({ fault, requestId, kind, ...(output === undefined ? {} : { output }) })
  if (outcome.status >= 500) return said(`HTTP ${outcome.status}`, `status ${outcome.status}`)
  // Node's own parser has answered: there was no request yet.
  if (requestId === undefined) return said(`HTTP ${outcome.status}`, expected.protocol === 'broken' ? undefined : 'no request id')
  if (!uuid.test(requestId)) return said('malformed', 'the request id is no UUID')
  if (outcome.status === 404) return said('HTTP 404', expected.protocol === undefined ? 'status 404' : undefined)
  if (outcome.headers.get('content-type') !== 'application/x-amz-json-1.1') return said('malformed', 'the content type is not AWS JSON 1.1')
  return outcome.status === 200 ? judgeResult(expected, outcome, said) : judgeError(expected, outcome, said)
}

type Say = (kind: string, fault: string | undefined, output?: Json) => Verdict

function judgeResult({ result, holds, protocol }: Expected, { body }: WireAnswer, said: Say): Verdict {
  if (protocol === 'broken') return said('OK', undefined)
  if (result === undefined) return said('OK', 'it succeeded')
  const output = body.length === 0 ? {} : read(body)
  if (output === undefined) return said('OK', 'the result is not a JSON object')
  return said('OK', faultOfResult(result, body.length === 0, output) ?? holds?.(output), output)
}

function judgeError({ errors, text, protocol }: Expected, { status, body }: WireAnswer, said: Say): Verdict {
  const error = read(body)
  const type = error?.__type
  if (error === undefined || typeof type !== 'string' || !Object.hasOwn(errorStatus, type)) return said('malformed', 'the error has no known __type')
  const code = type as ErrorCode
  const capital = code === 'AccessDeniedException' ? 'Message' : 'message'
  const strays = Object.keys(error).filter(name => name !== '__type' && name !== capital)
  const message = error[capital]
  if (strays.length > 0) return said(code, `the error has members that none has: ${strays.join(', ')}`)
  if (errorStatus[code] !== status) return said(code, `status ${status}`)
  if (message !== undefined && (typeof message !== 'string' || innards.test(message))) return said(code, 'the message shows what is inside')
  if (!errors.includes(code) && protocol !== 'broken') return said(code, `${code} is not among what was expected`)
  if (text !== undefined && (text ?? undefined) !== message) return said(code, `the text should be ${JSON.stringify(text)}`)
  return said(code, undefined)
}

/** A stack, a file, a word of the engines below. */
const innards = /\n {4}at |node:internal|\.js:\d+|CKR_|postgres(ql)?:\/\/|syntax error at or near/

function read(body: Buffer): Json | undefined {
  try {
    const value: unknown = JSON.parse(body.toString())
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? value as Json : undefined
  } catch {
    return undefined
  }
}
