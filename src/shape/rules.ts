// The constraints of a scalar, each with AWS's clause for it. A rule looks at a converted value and says whether it holds.
import type { ScalarShape, TextShape } from './shape.ts'

export interface Rule {
  readonly clause: string
  readonly holds: (value: unknown) => boolean
}

export const notNull = 'Member must not be null'

/** The rules of a scalar in the order in which AWS names violations of one member. */
export function rulesOf(shape: ScalarShape): readonly Rule[] {
  switch (shape.kind) {
    case 'text':
      return textRules(shape)
    case 'blob':
      return lengthRules(shape, byteLength)
    case 'integer':
      return boundRules(shape, 'value', value => typeof value === 'number' ? value : NaN)
    case 'enumeration': {
      const values = new Set<unknown>(shape.values)
      return [{ clause: `Member must satisfy enum value set: [${shape.listed.join(', ')}]`, holds: value => values.has(value) }]
    }
    case 'boolean':
    case 'timestamp':
      return []
  }
}

/** Bounds on a length. `lengthOf` gives NaN for what has none, which holds no bound. */
export function lengthRules(bounds: Bounds, lengthOf: (value: unknown) => number): readonly Rule[] {
  return boundRules(bounds, 'length', lengthOf)
}

interface Bounds {
  readonly min?: number
  readonly max?: number
}

function boundRules({ min, max }: Bounds, of: 'length' | 'value', measure: (value: unknown) => number): readonly Rule[] {
  const rules: Rule[] = []
  const clause = `Member must have ${of}`
  if (max !== undefined) rules.push({ clause: `${clause} less than or equal to ${max}`, holds: value => measure(value) <= max })
  if (min !== undefined) rules.push({ clause: `${clause} greater than or equal to ${min}`, holds: value => measure(value) >= min })
  return rules
}

function byteLength(value: unknown): number {
  return value instanceof Uint8Array ? value.length : NaN
}

function textRules(shape: TextShape): readonly Rule[] {
  const lengths = textLengthRules(shape)
  if (shape.pattern === undefined) return lengths
  const regex = wholeMatch(shape.pattern)
  const pattern: Rule = {
    clause: `Member must satisfy regular expression pattern: ${shape.pattern}`,
    holds: value => typeof value === 'string' && regex.test(value),
  }
  return shape.patternFirst === true ? [pattern, ...lengths] : [...lengths, pattern]
}

/**
 * Lengths count code points, as the Smithy model defines and as was measured on STS (2,048 emoji are not too long for 2,048).
 * A string has at most as many code points as UTF-16 units and at least half as many, so almost none needs to be counted.
 */
function textLengthRules(bounds: Bounds): readonly Rule[] {
  const { min = 0, max = Infinity } = bounds
  const [units, points] = [boundRules(bounds, 'length', utf16Length), boundRules(bounds, 'length', codePoints)]
  return units.map((rule, index) => ({
    clause: rule.clause,
    holds: value => {
      const length = utf16Length(value)
      const decided = length <= max && length >= 2 * min || length > 2 * max || length < min
      return decided ? rule.holds(value) : points[index]?.holds(value) === true
    },
  }))
}

function utf16Length(value: unknown): number {
  return typeof value === 'string' ? value.length : NaN
}

function codePoints(value: unknown): number {
  if (typeof value !== 'string') return NaN
  let pairs = 0
  for (let index = 0; index < value.length; index++) if ((value.charCodeAt(index) & 0xfc00) === 0xdc00) pairs++
  return value.length - pairs
}

/**
 * Java's Matcher.matches() takes the whole string whether or not the model's pattern is anchored (`[\w]+`, `cluster-[2-7a-zA-Z]{11,16}`).
 * Java's \s is six ASCII characters where JavaScript's takes every Unicode space.
 */
function wholeMatch(pattern: string): RegExp {
  return new RegExp(`^(?:${pattern.replace(/\\[\\s]/g, escape => escape === '\\s' ? javaSpace : escape)})$`, 'u')
}

const javaSpace = ' \\t\\n\\v\\f\\r'
