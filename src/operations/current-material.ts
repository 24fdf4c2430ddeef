// The material that new ciphertexts are made with.
import type { KeyEntry } from '../cache/key-entry.ts'
import { KmsError } from '../errors.ts'
import type { SealedMaterial } from '../keys/material.ts'

/** @throws KeyUnavailableException when there is none: admit() lets only keys pass that should have one */
export function currentOf({ current }: KeyEntry): SealedMaterial {
  if (current === undefined) throw new KmsError('KeyUnavailableException')
  return current
}
