// What of AWS's key specs the tokens of this deployment can make and use, as their probe found it.
import { KmsError } from '../errors.ts'
import { isMakeable } from '../keys/makeable.ts'
import type { KeySpecName, KeyUsage } from '../keys/spec.ts'
import type { Settings } from './operation.ts'

/**
 * While no agent has served yet nothing is known: what the HSM cannot make then fails there.
 * @throws UnsupportedOperationException
 */
export function refuseUnmakeable({ makes, residency }: Pick<Settings, 'makes' | 'residency'>, spec: KeySpecName, usage: KeyUsage): void {
  if (makes === null || isMakeable(makes, residency, spec, usage)) return
  throw new KmsError('UnsupportedOperationException', `KeySpec ${spec} with KeyUsage ${usage} is not supported by the HSM of this deployment (keys.residency: ${residency}).`)
}
