// CKR values out of what pkcs11js throws: some calls throw an error with .code, others one whose text is "CKR_X:16".
import pkcs11 from 'pkcs11js'

/** A PKCS#11 call that did not answer CKR_OK. */
export class Fault extends Error {
  override readonly name = 'Fault'
  readonly ckr: number
  readonly call: string

  constructor(call: string, ckr: number) {
    super(`${call}: ${ckrName(ckr)}`)
    this.call = call
    this.ckr = ckr
  }
}

const vendorDefined = 0x80000000

/** The CKR of a thrown value, or CKR_FUNCTION_FAILED where it names none. */
export function ckrOf(thrown: unknown): number {
  if (!(thrown instanceof Error)) return pkcs11.CKR_FUNCTION_FAILED
  if ('code' in thrown && typeof thrown.code === 'number') return thrown.code
  const [, digits] = /:([0-9]+)$/.exec(thrown.message) ?? []
  return digits === undefined ? pkcs11.CKR_FUNCTION_FAILED : Number(digits)
}

const names = new Map<number, string>(
  Object.entries(pkcs11).flatMap(([name, value]) => (name.startsWith('CKR_') && typeof value === 'number' ? [[value, name]] : [])),
)

/** The standard's name, or the number for what it does not name. */
export function ckrName(ckr: number): string {
  const name = names.get(ckr)
  return name === undefined || ckr === vendorDefined ? `0x${ckr.toString(16)}` : name
}
