// Values for declared shapes: within their bounds, or of a JSON type that they are not.
import type { ScalarShape, Shape, StructureShape, TextShape } from '../../src/shape/shape.ts'
import { bare } from '../../src/shape/shape.ts'
import type { Random } from './random.ts'

/** A value that keeps all bounds; blobs as base64. */
export function within(random: Random, shape: Shape): unknown {
  switch (shape.kind) {
    case 'text': return textWithin(random, shape)
    case 'blob': return random.bytes(lengthWithin(random, shape, 4096)).toString('base64')
    case 'integer': return random.chance(0.2) ? random.pick([shape.min ?? 0, shape.max ?? 0x7fffffff]) : random.between(shape.min ?? -1000, Math.min(shape.max ?? 1000, 5000))
    case 'boolean': return random.chance(0.5)
    case 'timestamp': return random.bits() + random.below(1000) / 1000
    case 'enumeration': return random.pick(shape.values)
    case 'list': return Array.from({ length: lengthWithin(random, shape, 12) }, () => within(random, shape.member))
    case 'map': return Object.fromEntries(Array.from({ length: random.length(12) }, () => [textWithin(random, shape.key), textWithin(random, shape.value)]))
    case 'structure': return structureWithin(random, shape)
  }
}

function structureWithin(random: Random, { members }: StructureShape): Record<string, unknown> {
  const chosen = Object.entries(members).filter(([, member]) => member.kind === 'required' || random.chance(0.5))
  return Object.fromEntries(chosen.map(([name, member]) => [name, within(random, bare(member))]))
}

/** At a bound now and then. `usual`: the longest that is common where the bound is far. */
function lengthWithin(random: Random, { min = 0, max = Infinity }: { readonly min?: number; readonly max?: number }, usual: number): number {
  const edge = random.chance(0.03)
  if (edge && max <= 10_000) return random.pick([min, max])
  return min + random.length(Math.min(max, usual) - min)
}

function textWithin(random: Random, shape: TextShape): string {
  const length = lengthWithin(random, shape, 200)
  if (shape.pattern === undefined) return random.text(length)
  const pattern = new RegExp(`^(?:${shape.pattern})$`, 'u')
  const text = random.text(length)
  return pattern.test(text) ? text : random.pick(['a', 'Zz9', 'x_1']).repeat(Math.max(1, shape.min ?? 0))
}

const takes: Readonly<Record<ScalarShape['kind'] | 'list' | 'map' | 'structure', string>> = {
  text: 'string', enumeration: 'string', blob: 'string', integer: 'number', timestamp: 'number', boolean: 'boolean', list: 'list', map: 'object', structure: 'object',
}

const samples: Readonly<Record<string, (random: Random) => unknown>> = {
  string: random => random.text(random.length(40)),
  number: random => random.pick([0, -1, 1.5, 2 ** 53, 1e300, random.bits()]),
  boolean: random => random.chance(0.5),
  list: random => Array.from({ length: random.below(4) }, () => random.pick([null, 1, 'x', []])),
  object: random => Object.fromEntries(Array.from({ length: random.below(4) }, () => [random.text(random.length(10)), random.pick([null, 1, 'x', {}])])),
}

/** A value of a JSON type that the shape does not take; never null, which is the same as absent. */
export function ofAnotherType(random: Random, shape: Shape): unknown {
  const kind = random.pick(Object.keys(samples).filter(one => one !== takes[shape.kind]))
  return samples[kind]?.(random)
}
