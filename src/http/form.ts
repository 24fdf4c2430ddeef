// application/x-www-form-urlencoded, the way in of the AWS Query protocol: bytes or a query string to pairs, and pairs with
// dotted names (`Tags.member.1.Key`) to the members that shapes declare. The sender is anyone; names are only ever looked up.
import { KmsError } from '../errors.ts'
import type { JsonObject } from '../shape/json.ts'
import { bare } from '../shape/shape.ts'
import type { ListShape, MapShape, Shape, Shapes } from '../shape/shape.ts'

/** Decoded names and values. Of two pairs with one name the first counts, as measured on STS. */
export type Form = ReadonlyMap<string, string>

const mostPairs = 1000
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/**
 * A body or a query string (without its question mark) → pairs. Throws SerializationException, which the protocol calls
 * MalformedInput, for percent signs that encode nothing, for bytes that are no UTF-8 and for more than 1,000 pairs.
 */
export function readForm(source: Uint8Array | string): Form {
  const pairs = textOf(source).split('&', mostPairs + 1)
  if (pairs.length > mostPairs) throw new KmsError('SerializationException')
  const form = new Map<string, string>()
  for (const pair of pairs) {
    if (pair === '') continue
    const equals = pair.indexOf('=')
    const name = decode(equals < 0 ? pair : pair.slice(0, equals))
    if (!form.has(name)) form.set(name, equals < 0 ? '' : decode(pair.slice(equals + 1)))
  }
  return form
}

function textOf(source: Uint8Array | string): string {
  if (typeof source === 'string') return source
  try {
    return utf8.decode(source)
  } catch {
    throw new KmsError('SerializationException')
  }
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text.replaceAll('+', ' '))
  } catch {
    throw new KmsError('SerializationException')
  }
}

/**
 * The members of `shapes` out of a form, for `Parser.accept`: lists by `Name.member.N`, maps by `Name.entry.N.key` and `.value`,
 * numbers and booleans read from their text. Unknown names are ignored. Throws SerializationException for a text that is no such
 * value: with AWS's words for an empty number, without any otherwise, as measured on STS.
 */
export function formMembers(form: Form, shapes: Shapes, prefix = ''): JsonObject {
  const members: [string, unknown][] = []
  for (const [name, shape] of Object.entries(shapes)) {
    const member = formMember(form, bare(shape), prefix + name)
    if (member !== undefined) members.push([name, member])
  }
  return Object.fromEntries(members)
}

function formMember(form: Form, shape: Shape, path: string): unknown {
  if (shape.kind === 'list') return formList(form, shape, path)
  if (shape.kind === 'map') return formMap(form, shape, path)
  if (shape.kind === 'structure') {
    const members = formMembers(form, shape.members, `${path}.`)
    return Object.keys(members).length > 0 || holdsBelow(form, path) ? members : undefined
  }
  const text = form.get(path)
  return text === undefined ? undefined : readers[shape.kind](text)
}

/** `Name=` is how clients write an empty list. */
function formList(form: Form, shape: ListShape, path: string): unknown {
  const positions = positionsBelow(form, `${path}.member.`)
  if (positions.length === 0) return form.has(path) ? [] : undefined
  return positions.map(position => formMember(form, shape.member, `${path}.member.${position}`) ?? null)
}

function formMap(form: Form, shape: MapShape, path: string): unknown {
  const positions = positionsBelow(form, `${path}.entry.`)
  if (positions.length === 0) return form.has(path) ? {} : undefined
  return Object.fromEntries(positions.map(position => {
    const entry = `${path}.entry.${position}`
    return [formMember(form, shape.key, `${entry}.key`) ?? '', formMember(form, shape.value, `${entry}.value`) ?? null]
  }))
}

/** The numbers that follow a prefix, ascending: clients may leave gaps and write them in any order. */
function positionsBelow(form: Form, prefix: string): readonly number[] {
  const positions = new Set<number>()
  for (const name of form.keys()) {
    if (!name.startsWith(prefix)) continue
    const [position = ''] = name.slice(prefix.length).split('.', 1)
    if (/^[1-9]\d{0,5}$/.test(position)) positions.add(Number(position))
  }
  return [...positions].sort((a, b) => a - b)
}

function holdsBelow(form: Form, path: string): boolean {
  for (const name of form.keys()) if (name.startsWith(`${path}.`)) return true
  return false
}

const readers = {
  text: (text: string) => text,
  enumeration: (text: string) => text,
  blob: (text: string) => text,
  integer: readInteger,
  boolean: readBoolean,
  timestamp: readTimestamp,
}

/** A sign and leading zeros are taken, a fraction and what 32 bits cannot hold are not. */
function readInteger(text: string): number {
  if (text === '') throw new KmsError('SerializationException', 'missing value for decimal type')
  const value = Number(text)
  if (!/^[+-]?\d+$/.test(text) || value !== (value | 0)) throw new KmsError('SerializationException')
  return value | 0
}

function readBoolean(text: string): boolean {
  if (text !== 'true' && text !== 'false') throw new KmsError('SerializationException')
  return text === 'true'
}

/** ISO 8601 in UTC → epoch seconds, which is what the shapes read. */
function readTimestamp(text: string): number {
  const ms = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?Z$/.test(text) ? Date.parse(text) : NaN
  if (Number.isNaN(ms)) throw new KmsError('SerializationException')
  return ms / 1000
}
