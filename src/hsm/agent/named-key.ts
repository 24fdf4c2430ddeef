// A key open on the token, and what its ciphertexts call it.
import type { Handle } from 'pkcs11js'
import type { CiphertextHeader } from '../../keys/ciphertext.ts'
import type { Material } from '../../keys/material.ts'

/** What of an authenticated row stands in the header of each of its ciphertexts. */
export type MaterialName = Omit<CiphertextHeader, 'iv' | 'mode'>

export interface NamedKey {
  readonly handle: Handle
  readonly mode: Material['cipherMode']
  readonly name: MaterialName
}
