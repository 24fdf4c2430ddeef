// The case of a seed and an index: which concern, then what of it.
import { blobCase } from './blobs.ts'
import type { Case } from './case.ts'
import { httpCase } from './http.ts'
import { jsonCase } from './json.ts'
import { Random } from './random.ts'
import { manyViolations, oneViolation, refusedOperation, validCase } from './shapes.ts'
import { sigv4Case } from './sigv4.ts'
import type { World } from './world.ts'

type Maker = (random: Random, world: World) => Case

const concerns: readonly (readonly [weight: number, make: Maker])[] = [
  [22, validCase], [20, oneViolation], [8, manyViolations], [2, refusedOperation], [18, jsonCase], [15, blobCase], [14, sigv4Case], [1, httpCase],
]

export function caseOf(seed: number, index: number, world: World): Case {
  const random = new Random(seed, index)
  return random.weighted(concerns)(random, world)
}
