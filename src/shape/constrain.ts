// The constraints of an input, all looked at before one ValidationException names every violation. What is known of AWS's
// order: constraints of one member as in rules.ts (recorded). Between members AWS follows the order of a hash table, which
// differs by service and was never recorded for KMS; here it is the order of declaration, a list's own length before its
// elements. A list or map of scalars is reported once as a whole, a list of structures element by element (recorded).
import { KmsError } from '../errors.ts'
import { isObject } from './json.ts'
import { lengthRules, notNull, rulesOf } from './rules.ts'
import type { Rule } from './rules.ts'
import { bare } from './shape.ts'
import type { ListShape, MapShape, ScalarShape, Shape, Shapes, StructureShape } from './shape.ts'

/** Adds to `found` every violation of `value`, which is converted and not undefined. */
type Check = (value: unknown, path: string, found: string[]) => void

// DynamoDB stops at ten. Without a bound a megabyte of empty tags would be answered with ten megabytes of clauses.
const mostViolations = 10

/** A checker for the members of one input. Throws ValidationException with AWS's text. */
export function constraintsOf(shapes: Shapes): (input: unknown) => void {
  const check = membersCheck(shapes)
  return input => {
    const found: string[] = []
    check(input, '', found)
    if (found.length === 0) return
    const count = `${found.length} validation ${found.length === 1 ? 'error' : 'errors'} detected: `
    throw new KmsError('ValidationException', count + found.join('; '))
  }
}

function membersCheck(shapes: Shapes): Check {
  const members = Object.entries(shapes).map(([name, shape]) => ({
    name,
    path: name.charAt(0).toLowerCase() + name.slice(1),
    needed: shape.kind === 'required',
    // A sensitive member's value is left out even when it is null; any other null is printed bare (recorded).
    missing: isSensitive(bare(shape)) ? 'Value' : 'Value null',
    check: checkOf(bare(shape)),
  }))
  return (value, prefix, found) => {
    if (!isObject(value)) return
    for (const { name, path, needed, missing, check } of members) {
      const member = value[name]
      if (member === undefined && !needed) continue
      const full = prefix === '' ? path : `${prefix}.${path}`
      if (member === undefined) report(found, missing, full, notNull)
      else check(member, full, found)
    }
  }
}

function checkOf(shape: Shape): Check {
  switch (shape.kind) {
    case 'structure':
      return membersCheck(shape.members)
    case 'map':
      return mapCheck(shape)
    case 'list':
      return shape.member.kind === 'structure' ? structuresCheck(shape, shape.member) : scalarsCheck(shape, shape.member)
    case 'text':
    case 'blob':
    case 'integer':
    case 'boolean':
    case 'timestamp':
    case 'enumeration':
      return rulesCheck(rulesOf(shape), hides(shape))
  }
}

/** Blobs and sensitive members are never echoed: the value may be a plaintext or a password. */
function hides(shape: ScalarShape): boolean {
  return shape.kind === 'blob' || isSensitive(shape)
}

function isSensitive(shape: Shape): boolean {
  return 'sensitive' in shape && shape.sensitive === true
}

function rulesCheck(rules: readonly Rule[], hidden: boolean): Check {
  return (value, path, found) => {
    for (const rule of rules) {
      if (!rule.holds(value)) report(found, hidden ? 'Value' : shown(value), path, rule.clause)
    }
  }
}

function scalarsCheck(shape: ListShape, member: ScalarShape): Check {
  const rules = [...listLengthRules(shape), ...partRules(member, 'Member', elementsOf)]
  return rulesCheck(rules, hides(member))
}

function mapCheck(shape: MapShape): Check {
  const rules = [
    ...partRules(shape.key, 'Map keys', value => value instanceof Map ? value.keys() : []),
    ...partRules(shape.value, 'Map value', value => value instanceof Map ? value.values() : []),
  ]
  return rulesCheck(rules, hides(shape.key) || hides(shape.value))
}

/**
 * The parts of a list or map as one rule whose clause lists all that is asked of a part (recorded on CloudFormation, Lambda and
 * ACM). KMS's words for a null among the parts are not known; the clause is the one those services list.
 */
function partRules(shape: ScalarShape, parts: string, partsOf: (value: unknown) => Iterable<unknown>): readonly Rule[] {
  const rules = rulesOf(shape)
  const clauses = rules.map(rule => rule.clause).join(', ')
  const wellFormed = everyPart(part => part === null || rules.every(rule => rule.holds(part)))
  const present = { clause: `${parts} must satisfy constraint: [${notNull}]`, holds: everyPart(part => part !== null) }
  return rules.length === 0 ? [present] : [{ clause: `${parts} must satisfy constraint: [${clauses}]`, holds: wellFormed }, present]

  function everyPart(holds: (part: unknown) => boolean): (value: unknown) => boolean {
    return value => {
      for (const part of partsOf(value)) if (!holds(part)) return false
      return true
    }
  }
}

/** Each element by its 1-based position. Java would print the list with its classes' names, so a wrong length goes without a value. */
function structuresCheck(shape: ListShape, member: StructureShape): Check {
  const lengths = rulesCheck(listLengthRules(shape), true)
  const check = membersCheck(member.members)
  return (value, path, found) => {
    lengths(value, path, found)
    elementsOf(value).forEach((element, index) => {
      const full = `${path}.${index + 1}.member`
      if (element === null) report(found, 'Value null', full, notNull)
      else check(element, full, found)
    })
  }
}

function listLengthRules(shape: ListShape): readonly Rule[] {
  return lengthRules(shape, value => elementsOf(value).length)
}

function elementsOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : []
}

function report(found: string[], value: string, path: string, clause: string): void {
  if (found.length < mostViolations) found.push(`${value} at '${path}' failed to satisfy constraint: ${clause}`)
}

/** The value as Java prints it, in full however long (recorded with tags of 257 characters). */
function shown(value: unknown): string {
  if (Array.isArray(value)) return `Value '[${value.map(String).join(', ')}]'`
  if (value instanceof Map) return `Value '{${[...value].map(([key, element]) => `${key}=${String(element)}`).join(', ')}}'`
  return `Value '${String(value)}'`
}
