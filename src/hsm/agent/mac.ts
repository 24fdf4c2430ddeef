// HMAC in the HSM. The key's spec alone says with which hash: each has one.
import { isMacAlgorithm, keySpecs, macAlgorithms } from '../../keys/spec.ts'
import type { OpenKey } from './keys-in-use.ts'
import { Refused } from './refused.ts'
import type { Session } from './session.ts'
import { mechanisms } from './template.ts'

/** The longest MAC, SHA-512's. */
const macLimitBytes = 64

/** The whole MAC, as long as the hash. @throws Refused for a key of another spec; Fault from the HSM */
export function mac(session: Session, { handle, spec }: OpenKey, message: Buffer): Buffer {
  const [algorithm = ''] = keySpecs[spec].usages.GENERATE_VERIFY_MAC ?? []
  if (!isMacAlgorithm(algorithm)) throw new Refused(`no MAC with a key of spec ${spec}`)
  return Buffer.from(session.sign(mechanisms.hmac(macAlgorithms[algorithm].hash), handle, message, macLimitBytes))
}
