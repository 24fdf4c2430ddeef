// Wrong values for every member of a declared input, with the words that AWS has for each: one wrong JSON type or one broken bound at a
// time. What is expected is put together here from the facts, not by asking src/shape.
import { bare, type ListShape, type ScalarShape, type Shape, type Shapes, type StructureShape, type TextShape } from '../../src/shape/shape.ts'

/** A value for one member of the input, and what is said of it. */
export interface Probe {
  readonly member: string
  readonly value: unknown
  readonly text: string
}

const startOfList = 'Start of list found where not expected'
const startOfStructure = 'Start of structure or map found where not expected.'
const kinds = { text: 'a String', enumeration: 'a String', blob: 'a Blob', integer: 'an Integer', boolean: 'a Boolean', timestamp: 'milliseconds since epoch' } as const

type Wrong = readonly (readonly [value: unknown, text: string])[]

const wrongScalars: readonly (readonly [value: unknown, token: string, takenBy: readonly string[]])[] = [
  ['no base64!', 'STRING', ['text', 'enumeration']], [7, 'NUMBER', ['integer', 'timestamp']], [true, 'TRUE', ['boolean']], [false, 'FALSE', ['boolean']],
]

/** Values of a wrong JSON type for a shape, inner ones included. */
function wrongTypes(shape: Shape): Wrong {
  switch (shape.kind) {
    case 'list':
      return [['text', 'Expected list or null'], [7, 'Expected list or null'], [{}, startOfStructure], ...wrongTypes(shape.member).map(([value, text]) => [[value], text] as const)]
    case 'map':
      return [['text', 'Expected map or null'], [[], startOfList], ...wrongTypes(shape.value).map(([value, text]) => [{ key: value }, text] as const)]
    case 'structure':
      return [['text', 'Expected null'], [[], startOfList], ...Object.entries(shape.members).flatMap(([name, member]) =>
        wrongTypes(bare(member)).map(([value, text]) => [{ ...sampleOf(shape) as object, [name]: value }, text] as const))]
    case 'text': case 'enumeration': case 'blob': case 'integer': case 'boolean': case 'timestamp': {
      const scalars = wrongScalars.filter(([, , takenBy]) => !takenBy.includes(shape.kind)).map(([value, token]) => [value, `${token}_VALUE can not be converted to ${kinds[shape.kind]}`] as const)
      return [...scalars, [[], startOfList], [{}, startOfStructure]]
    }
  }
}

export const typeProbes = (shapes: Shapes): Probe[] =>
  Object.entries(shapes).flatMap(([member, shape]) => wrongTypes(bare(shape)).map(([value, text]) => ({ member, value, text })))

const matches = (pattern: string, value: string): boolean => new RegExp(`^(?:${pattern})$`, 'u').test(value)

/** A text of a length, of characters that the pattern takes where there are such. */
function textOf({ pattern = '', min = 0 }: TextShape, length = Math.max(min, 1)): string {
  const letter = ['a', 'A', '1'].find(one => pattern === '' || matches(pattern, one.repeat(length))) ?? 'a'
  return letter.repeat(length)
}

/** A value within all bounds. */
export function sampleOf(shape: Shape): unknown {
  switch (shape.kind) {
    case 'text': return textOf(shape)
    case 'blob': return Buffer.alloc(Math.max(shape.min ?? 0, 1)).toString('base64')
    case 'integer': return shape.min ?? 1
    case 'boolean': return false
    case 'timestamp': return 1_700_000_000
    case 'enumeration': return shape.values[0]
    case 'list': return Array.from({ length: Math.max(shape.min ?? 0, 1) }, () => sampleOf(shape.member))
    case 'map': return { key: 'value' }
    case 'structure': return Object.fromEntries(Object.entries(shape.members).map(([name, member]) => [name, sampleOf(bare(member))]))
  }
}

/** What bounds say, the upper one first. */
function boundClauses({ min, max }: { readonly min?: number; readonly max?: number }, of: string, measured: number): string[] {
  return [
    ...(max !== undefined && measured > max ? [`Member must have ${of} less than or equal to ${max}`] : []),
    ...(min !== undefined && measured < min ? [`Member must have ${of} greater than or equal to ${min}`] : []),
  ]
}

function clausesOf(shape: ScalarShape, value: unknown): string[] {
  if (shape.kind === 'integer') return boundClauses(shape, 'value', value as number)
  if (shape.kind === 'blob') return boundClauses(shape, 'length', Buffer.from(value as string, 'base64').length)
  if (shape.kind === 'enumeration') return [`Member must satisfy enum value set: [${shape.listed.join(', ')}]`]
  if (shape.kind !== 'text') return []
  const broken = shape.pattern !== undefined && !matches(shape.pattern, value as string) ? [`Member must satisfy regular expression pattern: ${shape.pattern}`] : []
  return [...boundClauses(shape, 'length', (value as string).length), ...broken]
}

function scalarsBeyond(shape: ScalarShape): unknown[] {
  switch (shape.kind) {
    case 'text': {
      const odd = ['\u2603', '!', '\u0000'].map(letter => letter.repeat(Math.max(shape.min ?? 0, 1))).find(text => shape.pattern !== undefined && !matches(shape.pattern, text))
      return [...beyond(shape).map(length => textOf(shape, length)), ...(odd === undefined ? [] : [odd])]
    }
    case 'blob': return beyond(shape).map(length => Buffer.alloc(length).toString('base64'))
    case 'integer': return [...(shape.min === undefined ? [] : [shape.min - 1]), ...(shape.max === undefined ? [] : [shape.max + 1])]
    case 'enumeration': return ['NO_SUCH_VALUE', shape.values[0]?.toLowerCase()]
    case 'boolean': case 'timestamp': return []
  }
}

/** The lengths just outside. */
function beyond({ min = 0, max }: { readonly min?: number; readonly max?: number }): number[] {
  return [...(min > 0 ? [min - 1] : []), ...(max === undefined ? [] : [max + 1])]
}

const sensitive = (shape: Shape): boolean => shape.kind === 'blob' || ('sensitive' in shape && shape.sensitive === true)

function sentence(clauses: readonly string[], path: string, shown: string | undefined): string {
  const value = shown === undefined ? 'Value' : `Value '${shown}'`
  const each = clauses.map(clause => `${value} at '${path}' failed to satisfy constraint: ${clause}`)
  return `${clauses.length} validation ${clauses.length === 1 ? 'error' : 'errors'} detected: ${each.join('; ')}`
}

/** Values of the right type beyond a bound, with the whole text of the ValidationException. */
function violations(shape: Shape, path: string): (readonly [value: unknown, text: string])[] {
  switch (shape.kind) {
    case 'list': return listViolations(shape, path)
    case 'structure': return structureViolations(shape, path)
    case 'map': return []
    case 'text': case 'enumeration': case 'blob': case 'integer': case 'boolean': case 'timestamp':
      return scalarsBeyond(shape).map(value => [value, sentence(clausesOf(shape, value), path, sensitive(shape) ? undefined : String(value))] as const)
  }
}

function listViolations(shape: ListShape, path: string): (readonly [value: unknown, text: string])[] {
  const { member } = shape
  const lengths = beyond(shape).map(length => {
    const value = Array.from({ length }, () => sampleOf(member))
    return [value, sentence(boundClauses(shape, 'length', length), path, member.kind === 'structure' ? undefined : `[${value.join(', ')}]`)] as const
  })
  if (member.kind === 'structure') {
    return [...lengths, ...violations(member, `${path}.2.member`).map(([value, text]) => [[sampleOf(member), value], text] as const)]
  }
  // Of a list of scalars AWS names all that is asked of an element, whichever it breaks.
  const asked = member.kind === 'enumeration' ? clausesOf(member, '') : [
    ...('max' in member && member.max !== undefined ? [`Member must have length less than or equal to ${member.max}`] : []),
    ...('min' in member && member.min !== undefined ? [`Member must have length greater than or equal to ${member.min}`] : []),
    ...('pattern' in member && member.pattern !== undefined ? [`Member must satisfy regular expression pattern: ${member.pattern}`] : []),
  ]
  return [...lengths, ...scalarsBeyond(member).map(value =>
    [[value], sentence([`Member must satisfy constraint: [${asked.join(', ')}]`], path, sensitive(member) ? undefined : `[${String(value)}]`)] as const)]
}

function structureViolations(shape: StructureShape, path: string): (readonly [value: unknown, text: string])[] {
  const whole = sampleOf(shape) as Record<string, unknown>
  return Object.entries(shape.members).flatMap(([name, member]) => {
    const inner = `${path}.${camelCase(name)}`
    const broken = violations(bare(member), inner).map(([value, text]) => [{ ...whole, [name]: value }, text] as const)
    if (member.kind !== 'required') return broken
    return [...broken, [{ ...whole, [name]: null }, missing(member.shape, inner)] as const]
  })
}

const missing = (shape: Shape, path: string): string =>
  `1 validation error detected: ${'sensitive' in shape && shape.sensitive === true ? 'Value' : 'Value null'} at '${path}' failed to satisfy constraint: Member must not be null`

const camelCase = (name: string): string => name.charAt(0).toLowerCase() + name.slice(1)

export const boundProbes = (shapes: Shapes): Probe[] => Object.entries(shapes).flatMap(([member, shape]) => {
  const path = camelCase(member)
  const broken = violations(bare(shape), path).map(([value, text]) => ({ member, value, text }))
  return shape.kind === 'required' ? [...broken, { member, value: null, text: missing(shape.shape, path) }] : broken
})

/** Values that just keep the bounds. */
export const edgeValues = (shapes: Shapes): Pick<Probe, 'member' | 'value'>[] =>
  Object.entries(shapes).flatMap(([member, shape]) => edges(bare(shape)).map(value => ({ member, value })))

function edges(shape: Shape): unknown[] {
  const lengths = 'min' in shape || 'max' in shape ? [shape.min, shape.max].filter(length => length !== undefined) : []
  switch (shape.kind) {
    case 'text': return lengths.map(length => textOf(shape, length)).filter(text => shape.pattern === undefined || matches(shape.pattern, text))
    case 'blob': return lengths.map(length => Buffer.alloc(length).toString('base64'))
    case 'integer': return lengths
    case 'enumeration': return [...shape.values]
    case 'list': return [...lengths.map(length => Array.from({ length }, () => sampleOf(shape.member))), ...edges(shape.member).map(value => [value])]
    case 'structure': return Object.entries(shape.members).flatMap(([name, member]) => edges(bare(member)).map(value => ({ ...sampleOf(shape) as object, [name]: value })))
    case 'boolean': case 'map': case 'timestamp': return []
  }
}
