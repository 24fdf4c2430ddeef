// What of AWS's key specs the tokens of this deployment can make and use, as their probe found it.
import { KmsError } from '../errors.ts'
import { isMakeable } from '../keys/makeable.ts'
import type { Residency } from '../keys/material.ts'
import type { KeySpecName, KeyUsage } from '../keys/spec.ts'
import type { Settings } from './operation.ts'

/**
 * Where the material of a new key lives: as the configuration says or, where the token wraps no such key, on the token. With several
 * tokens it cannot: it would be on one alone, and the others could not take its calls.
 * While no agent has served yet nothing is known: what the HSM cannot make then fails there.
 * @throws UnsupportedOperationException
 */
export function residencyOf({ makes, residency, tokens }: Pick<Settings, 'makes' | 'residency' | 'tokens'>, spec: KeySpecName, usage: KeyUsage): Residency {
  if (makes === null || isMakeable(makes, residency, spec, usage)) return residency
  if (tokens === 1 && isMakeable(makes, 'resident', spec, usage)) return 'resident'
  throw new KmsError('UnsupportedOperationException', `KeySpec ${spec} with KeyUsage ${usage} is not supported by the HSM of this deployment (keys.residency: ${residency}).`)
}
