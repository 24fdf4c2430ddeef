// The public key of a key, once the HSM has found the row authentic that holds its digest.
import type { KeyEntry } from '../cache/key-entry.ts'
import { KmsError } from '../errors.ts'
import type { Hsm } from '../hsm/hsm.ts'
import type { PublicKey } from '../keys/public-key.ts'
import { currentOf } from './current-material.ts'

/** @throws UnsupportedOperationException for a key that has no public half; MaterialRefused, HsmUnavailable */
export function publicKeyOf(hsm: Hsm, entry: KeyEntry): Promise<PublicKey> {
  if (entry.spki === undefined) throw new KmsError('UnsupportedOperationException')
  return hsm.publicKey(currentOf(entry), entry.spki)
}
