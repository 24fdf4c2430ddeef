// C_EncapsulateKey and C_DecapsulateKey of PKCS#11 v3.2, which pkcs11js does not bind.
import koffi from 'koffi'
import type { Handle } from 'pkcs11js'
import { ckr } from './ckr.ts'
import { Fault } from './fault.ts'
import { attributesOf, handleOf, numberOf, pointerBytes } from './native-call.ts'
import type { Attributes } from './template.ts'

/** Places in CK_FUNCTION_LIST_3_2 after the version: 68 functions of v2.40, then 24 of v3.0. */
const [encapsulateIndex, decapsulateIndex] = [92, 93]
const version = Buffer.from([3, 2])

const fatInterface = koffi.struct('CK_INTERFACE', { pInterfaceName: 'void *', pFunctionList: 'void *', flags: 'unsigned long' })
const encapsulate = koffi.proto('unsigned long C_EncapsulateKey(unsigned long, CK_MECHANISM *, unsigned long, CK_ATTRIBUTE *, unsigned long, uint8_t *, _Inout_ unsigned long *, _Out_ unsigned long *)')
const decapsulate = koffi.proto('unsigned long C_DecapsulateKey(unsigned long, CK_MECHANISM *, unsigned long, CK_ATTRIBUTE *, unsigned long, uint8_t *, unsigned long, _Out_ unsigned long *)')

type Native = (...values: unknown[]) => number
interface Functions {
  readonly encapsulate: Native
  readonly decapsulate: Native
}

export interface Encapsulation {
  /** Path. */
  readonly library: string
  readonly session: Handle
  readonly mechanism: number
  /** The public key, or the private one to open what was made with it. */
  readonly key: Handle
  /** Of the secret key that comes out. */
  readonly attributes: Attributes
}

/** @throws Fault; CKR_FUNCTION_NOT_SUPPORTED from a library without the interface of v3.2 */
export function encapsulateKey(request: Encapsulation, ciphertextBytes: number): { ciphertext: Buffer; secret: Handle } {
  const ciphertext = Buffer.alloc(ciphertextBytes)
  const length = [ciphertextBytes]
  const secret = [0]
  const template = attributesOf(request.attributes)
  const result = functionsOf(request.library).encapsulate(numberOf(request.session), mechanismOf(request), numberOf(request.key), template, template.length, ciphertext, length, secret)
  if (result !== ckr.OK) throw new Fault('C_EncapsulateKey', result)
  return { ciphertext: ciphertext.subarray(0, Number(length[0])), secret: handleOf(secret) }
}

/** @throws Fault, as encapsulateKey */
export function decapsulateKey(request: Encapsulation, ciphertext: Buffer): Handle {
  const secret = [0]
  const template = attributesOf(request.attributes)
  const result = functionsOf(request.library).decapsulate(numberOf(request.session), mechanismOf(request), numberOf(request.key), template, template.length, ciphertext, ciphertext.length, secret)
  if (result !== ckr.OK) throw new Fault('C_DecapsulateKey', result)
  return handleOf(secret)
}

const mechanismOf = ({ mechanism }: Encapsulation) => ({ mechanism, pParameter: null, ulParameterLen: 0 })

const bound = new Map<string, Functions>()

function functionsOf(library: string): Functions {
  const known = bound.get(library)
  if (known !== undefined) return known
  const list = functionList(library)
  const at = (index: number, prototype: ReturnType<typeof koffi.proto>): Native =>
    koffi.decode(koffi.decode(list, pointerBytes * (1 + index), 'void *'), prototype) as Native
  const functions = { encapsulate: at(encapsulateIndex, encapsulate), decapsulate: at(decapsulateIndex, decapsulate) }
  bound.set(library, functions)
  return functions
}

function functionList(library: string): unknown {
  const found: unknown[] = [null]
  let result: number = ckr.FUNCTION_NOT_SUPPORTED
  try {
    const getInterface = koffi.load(library).func('unsigned long C_GetInterface(const char *, uint8_t *, _Out_ void **, unsigned long)')
    result = getInterface('PKCS 11', version, found, 0) as number
  } catch {
    // A library of v2.40 exports no such function.
  }
  if (result !== ckr.OK) throw new Fault('C_GetInterface', ckr.FUNCTION_NOT_SUPPORTED)
  return (koffi.decode(found[0], fatInterface) as { pFunctionList: unknown }).pFunctionList
}
