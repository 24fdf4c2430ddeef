// Headers as node gives them raw: a flat list of name, value, name, value in the order of arrival, one character a byte (latin1).
// A parsed header object has lost order, duplicates and case, so nothing here reads one.
import { mismatch } from './refusals.ts'

export type RawHeaders = readonly string[]

/**
 * The trimmed value of a header that decides something, or undefined.
 * Adversary: a proxy that adds a second one, so that one part of Trent reads the first and another the last.
 * @throws InvalidSignatureException when it stands there twice.
 */
export function soleHeader(rawHeaders: RawHeaders, name: string): string | undefined {
  let found: string | undefined
  for (let index = 0; index + 1 < rawHeaders.length; index += 2) {
    if (!isNamed(rawHeaders[index] ?? '', name)) continue
    if (found !== undefined) throw mismatch()
    found = canonicalValue(rawHeaders[index + 1] ?? '')
  }
  return found
}

/**
 * The canonical headers of the specification: `name:value\n` for each signed name, values of the same name joined in order of
 * arrival with a comma.
 * @throws InvalidSignatureException for a signed name that the request does not carry: an absent header is not an empty one.
 */
export function canonicalHeaders(rawHeaders: RawHeaders, signedHeaders: readonly string[]): string {
  let lines = ''
  for (const name of signedHeaders) {
    const value = joinedValue(rawHeaders, name)
    if (value === undefined) throw mismatch()
    lines += `${name}:${value}\n`
  }
  return lines
}

function joinedValue(rawHeaders: RawHeaders, name: string): string | undefined {
  let joined: string | undefined
  for (let index = 0; index + 1 < rawHeaders.length; index += 2) {
    if (!isNamed(rawHeaders[index] ?? '', name)) continue
    const value = canonicalValue(rawHeaders[index + 1] ?? '')
    joined = joined === undefined ? value : `${joined},${value}`
  }
  return joined
}

/** `name` is in lower case. Most headers differ in length already. */
const isNamed = (header: string, name: string): boolean => header.length === name.length && header.toLowerCase() === name

const whitespaceRuns = /[ \t\r\n\f\v]+/g
const plain = /^(?:[^\s]+(?: [^\s]+)*)?$/

/** Trimmed, each inner run of white space one space. */
export function canonicalValue(value: string): string {
  if (plain.test(value)) return value
  const collapsed = value.replaceAll(whitespaceRuns, ' ')
  return collapsed.slice(collapsed.startsWith(' ') ? 1 : 0, collapsed.length > 1 && collapsed.endsWith(' ') ? -1 : undefined)
}
