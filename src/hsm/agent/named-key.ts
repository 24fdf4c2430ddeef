// A key open on the token, and what its ciphertexts call it.
import type { Handle } from 'pkcs11js'
import type { CiphertextHeader, MaterialMode } from '../../keys/ciphertext.ts'

/** What of an authenticated row stands in the header of each of its ciphertexts. */
export type MaterialName = Omit<CiphertextHeader, 'iv' | 'mode'>

export interface NamedKey {
  readonly handle: Handle
  readonly mode: MaterialMode
  readonly name: MaterialName
}
