// From the bytes of a request to one JSON object. The sender is not yet trusted with anything: the bytes may be no UTF-8, no
// JSON, nested without end, or hold a lone surrogate. AWS answers all of these SerializationException without a text.
import { KmsError } from '../errors.ts'

export interface JsonObject {
  readonly [member: string]: unknown
}

// ignoreBOM keeps a leading U+FEFF in the text, where JSON.parse refuses it.
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
const surrogateEscape = /\\u[dD][89a-fA-F]/
const loneSurrogate = /\p{Surrogate}/u

/**
 * Bytes → the object they hold. Of two members with one name the last counts. Throws SerializationException for everything
 * else: without a text for what is no JSON and for null, strings, numbers and booleans, with AWS's text for a list.
 */
export function readObject(body: Uint8Array): JsonObject {
  const value = parse(body)
  if (Array.isArray(value)) throw new KmsError('SerializationException', 'Start of list found where not expected')
  if (!isObject(value)) throw new KmsError('SerializationException')
  return value
}

export function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function parse(body: Uint8Array): unknown {
  let text: string
  let value: unknown
  try {
    text = utf8.decode(body)
    value = JSON.parse(text)
  } catch (cause) {
    // Only a TypeError of the decoder or a SyntaxError of the parser can come here, and both quote the body: not for the client.
    throw new KmsError('SerializationException', undefined, { cause: (cause as Error).name })
  }
  // Valid UTF-8 has no surrogates, so a lone one can only come from an escape; almost no request has any.
  if (text.includes('\\u') && surrogateEscape.test(text)) refuseLoneSurrogates(value)
  return value
}

/**
 * \ud800 and \ufffd have the same UTF-8 bytes. Two encryption contexts or two tag keys that differ as strings would become one
 * in the authenticated data and in Postgres, so such strings are refused wherever they stand, also in members nobody reads.
 * Walks with its own stack: JSON.parse takes any depth, the call stack does not.
 */
function refuseLoneSurrogates(root: unknown): void {
  const pending: unknown[] = [root]
  while (pending.length > 0) {
    const value = pending.pop()
    if (typeof value === 'string') {
      if (loneSurrogate.test(value)) throw new KmsError('SerializationException')
    } else if (Array.isArray(value)) {
      for (const element of value) pending.push(element)
    } else if (isObject(value)) {
      for (const name of Object.keys(value)) pending.push(name, value[name])
    }
  }
}
