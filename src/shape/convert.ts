// From JSON values to typed values, or SerializationException. All members of a request are converted before any constraint is
// looked at, as AWS does: a request with a type error and a range error gets the type error alone. Of several type errors AWS's
// streaming reader presumably names the first on the wire; here it is the first in the order of declaration, so that parsed
// inputs have few hidden classes. The texts were recorded on other services of the same front end (Athena, SES, X-Ray,
// DynamoDB); none was recorded on KMS.
import { KmsError } from '../errors.ts'
import { isObject } from './json.ts'
import type { JsonObject } from './json.ts'
import { bare } from './shape.ts'
import type { ListShape, ScalarShape, Shape, Shapes } from './shape.ts'
import { wipe } from './wipe.ts'

/** JSON value, neither null nor undefined → typed value. Throws SerializationException. */
export type Convert = (value: unknown) => unknown

const farthestMs = 8.64e15

const scalars: Readonly<Record<ScalarShape['kind'], Convert>> = {
  text: toText,
  enumeration: toText,
  blob: toBlob,
  integer: toInteger,
  boolean: toBoolean,
  timestamp: toTimestamp,
}

export function converterOf(shape: Shape): Convert {
  switch (shape.kind) {
    case 'list':
      return listConverter(shape)
    case 'map':
      return toMap
    case 'structure':
      return structureConverter(shape.members)
    case 'text':
    case 'enumeration':
    case 'blob':
    case 'integer':
    case 'boolean':
    case 'timestamp':
      return scalars[shape.kind]
  }
}

/** Reads the declared members only: unknown and wrong-case members are ignored, null is the same as absent. */
export function structureConverter(shapes: Shapes): (value: unknown) => JsonObject {
  const members = Object.entries(shapes).map(([name, shape]) => ({ name, convert: converterOf(bare(shape)) }))
  return value => {
    if (Array.isArray(value)) throw unexpected(value)
    if (!isObject(value)) throw new KmsError('SerializationException', 'Expected null')
    const input: Record<string, unknown> = {}
    try {
      for (const { name, convert } of members) {
        const member = value[name]
        if (member !== undefined && member !== null) input[name] = convert(member)
      }
    } catch (refusal) {
      // A plaintext may have been decoded before the member that is wrong.
      wipe(input)
      throw refusal
    }
    return input
  }
}

/** A null among the elements stays null: it is a violation, which the constraints report. */
function listConverter(shape: ListShape): Convert {
  const convert = converterOf(shape.member)
  return value => {
    if (isObject(value)) throw unexpected(value)
    if (!Array.isArray(value)) throw new KmsError('SerializationException', 'Expected list or null')
    return value.map(element => element === null ? null : convert(element))
  }
}

/**
 * Values that are no strings are refused: the developer guide says that a number in an encryption context counts as its literal
 * text, but JSON.parse has lost that text (1.0, 1e2 and a 20-digit number would all come out changed), and a context that is not
 * byte for byte what the caller wrote makes ciphertext that nobody can open. Null stays null, as in a list.
 */
function toMap(value: unknown): ReadonlyMap<string, string | null> {
  if (Array.isArray(value)) throw unexpected(value)
  if (!isObject(value)) throw new KmsError('SerializationException', 'Expected map or null')
  const entries = new Map<string, string | null>()
  for (const key of Object.keys(value)) {
    const element = value[key]
    entries.set(key, element === null ? null : toText(element))
  }
  return entries
}

function toText(value: unknown): string {
  if (typeof value !== 'string') throw unexpected(value, 'a String')
  return value
}

/** Fractions are cut off; beyond 32 bits the nearest bound is taken, as DynamoDB does, so that the range check answers. */
function toInteger(value: unknown): number {
  if (typeof value !== 'number') throw unexpected(value, 'an Integer')
  return Math.min(Math.max(value, -0x80000000), 0x7fffffff) | 0
}

/** Strings are refused: elsewhere AWS reads "false" as false or as true, and a DryRun that is misread is a real call. */
function toBoolean(value: unknown): boolean {
  if (typeof value !== 'boolean') throw unexpected(value, 'a Boolean')
  return value
}

function toTimestamp(value: unknown): Date {
  const target = 'milliseconds since epoch'
  if (typeof value !== 'number') throw unexpected(value, target)
  const ms = Math.round(value * 1000)
  if (Math.abs(ms) > farthestMs) throw unexpected(value, target)
  return new Date(ms)
}

/**
 * Only the one base64 text of these bytes is taken: standard alphabet, padded, no white space, no stray last bits. Node's
 * decoder skips what it does not know, takes the URL alphabet and cuts wide characters down to their low byte, so the result is
 * encoded again and compared. The text is not quoted in the error: it may be a plaintext.
 */
function toBlob(value: unknown): Buffer {
  if (typeof value !== 'string') throw unexpected(value, 'a Blob')
  const bytes = Buffer.from(value, 'base64')
  if (bytes.toString('base64') !== value) {
    bytes.fill(0)
    throw unexpected(value, 'a Blob')
  }
  return bytes
}

function unexpected(value: unknown, target = ''): KmsError {
  if (Array.isArray(value)) return new KmsError('SerializationException', 'Start of list found where not expected')
  if (typeof value === 'object') return new KmsError('SerializationException', 'Start of structure or map found where not expected.')
  const token = typeof value === 'boolean' ? (value ? 'TRUE' : 'FALSE') : (typeof value).toUpperCase()
  return new KmsError('SerializationException', `${token}_VALUE can not be converted to ${target}`)
}
