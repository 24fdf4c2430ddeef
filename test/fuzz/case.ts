// What a case is: a request, and what its answer may be. Expectations come from how the request was made, never from the code that
// serves it.
import type { ErrorCode } from '../../src/errors.ts'
import { sign } from '../../src/sigv4/signing.ts'
import { region, type Credentials } from '../support/aws.ts'
import type { WireRequest } from './connection.ts'
import type { World } from './world.ts'

export type Json = Readonly<Record<string, unknown>>

export interface Expected {
  /** The operation whose result may come; undefined: no result may. */
  readonly result?: string
  /** What is asked of the result beyond its declared members; gives the fault. */
  readonly holds?: (output: Json) => string | undefined
  readonly errors: readonly ErrorCode[]
  /** The exact text of the error; null: none. */
  readonly text?: string | null
  /** Where the request may be none that AWS JSON answers: 404 in XML. broken: HTTP itself is broken, and the connection may end. */
  readonly protocol?: 'unknown' | 'broken'
}

export interface Case {
  /** The concern and what was done, `sigv4/other-day`. */
  readonly name: string
  readonly request: WireRequest
  readonly expected: Expected
  /** The bytes, where they are not those of `request`. */
  readonly raw?: Buffer
  /** Gone before the answer: nothing is expected. */
  readonly abandoned?: boolean
  /** From an address of its own: it may be throttled there, and others must not suffer. */
  readonly stranger?: boolean
  /** What no two requests at once may be about: who comes second may be told to try again. */
  readonly about?: string
  /** A second request that depends on the result of this one. */
  readonly next?: (output: Json) => Case | undefined
}

export const succeeds = (result: string, holds?: (output: Json) => string | undefined): Expected => ({ result, errors: [], ...(holds === undefined ? {} : { holds }) })
export const refused = (...errors: readonly ErrorCode[]): Expected => ({ errors })
export const either = (result: string, ...errors: readonly ErrorCode[]): Expected => ({ result, errors })

/** A request to an operation as a client makes it, not signed yet. */
export const draft = (world: World, operation: string, body: string | Buffer): WireRequest => ({
  method: 'POST', url: '/', headers: ['Host', world.host, 'Content-Type', 'application/x-amz-json-1.1', 'X-Amz-Target', `TrentService.${operation}`],
  body: Buffer.isBuffer(body) ? body : Buffer.from(body),
})

/** The request with its signature; seconds shift the client's clock. */
export function signed(request: WireRequest, { accessKeyId, secretAccessKey }: Credentials, seconds = 0): WireRequest {
  const { method, url, headers: rawHeaders, body } = request
  const time = new Date(Date.now() + seconds * 1000)
  return { ...request, headers: sign({ method, url, rawHeaders, body }, { accessKeyId, secret: Buffer.from(secretAccessKey), region, service: 'kms', time }) }
}

/** A call signed by the administrator; `input` that is no text is sent as JSON. */
export function call(world: World, name: string, operation: string, input: Json | string | Buffer, expected: Expected): Case {
  const body = typeof input === 'string' || Buffer.isBuffer(input) ? input : JSON.stringify(input)
  return { name, request: signed(draft(world, operation, body), world.admin), expected }
}
