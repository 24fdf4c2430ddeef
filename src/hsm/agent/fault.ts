// CKR values out of what pkcs11js throws: some calls throw an error with .code, others one whose text is "CKR_X:16".
import { ckr, ckrName } from './ckr.ts'

/** A PKCS#11 call that did not answer CKR_OK. */
export class Fault extends Error {
  override readonly name = 'Fault'
  readonly ckr: number
  readonly call: string

  constructor(call: string, value: number) {
    super(`${call}: ${ckrName(value)}`)
    this.call = call
    this.ckr = value
  }
}

/** The CKR of a thrown value, or CKR_FUNCTION_FAILED where it names none. */
export function ckrOf(thrown: unknown): number {
  if (!(thrown instanceof Error)) return ckr.FUNCTION_FAILED
  if ('code' in thrown && typeof thrown.code === 'number') return thrown.code
  const [, digits] = /:([0-9]+)$/.exec(thrown.message) ?? []
  return digits === undefined ? ckr.FUNCTION_FAILED : Number(digits)
}
