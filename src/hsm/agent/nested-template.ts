// C_UnwrapKey with a nested CKA_UNWRAP_TEMPLATE, which pkcs11js cannot express: the domain ceremony's rare path alone.
import koffi from 'koffi'
import type { Handle } from 'pkcs11js'
import pkcs11 from 'pkcs11js'
import { Fault } from './fault.ts'
import { attributesOf, handleOf, nestedAttributes, numberOf, pointerBytes } from './native-call.ts'
import type { Attributes } from './template.ts'

const CKA_UNWRAP_TEMPLATE = 0x40000212
/** Place of C_UnwrapKey in CK_FUNCTION_LIST (PKCS#11 v2.40, section 3.6), after the version. */
const unwrapKeyIndex = 61

const oaepParameters = koffi.struct('CK_RSA_PKCS_OAEP_PARAMS', {
  hashAlg: 'unsigned long', mgf: 'unsigned long', source: 'unsigned long', pSourceData: 'void *', ulSourceDataLen: 'unsigned long',
})
const unwrapKey = koffi.proto('unsigned long C_UnwrapKey(unsigned long, CK_MECHANISM *, unsigned long, uint8_t *, unsigned long, CK_ATTRIBUTE *, unsigned long, _Out_ unsigned long *)')

export interface NestedUnwrap {
  readonly library: string
  readonly session: Handle
  readonly oaepHash: 'SHA-1' | 'SHA-256'
  readonly unwrappingKey: Handle
  readonly blob: Buffer
  readonly attributes: Attributes
  /** What every key unwrapped by the new key must have: CKA_UNWRAP_TEMPLATE. */
  readonly unwrapTemplate: Attributes
}

/** Unwraps an RSA-OAEP blob as a session object that carries CKA_UNWRAP_TEMPLATE. @throws Fault */
export function unwrapWithTemplate(request: NestedUnwrap): Handle {
  const inner = nestedAttributes(request.unwrapTemplate)
  const outer = [...attributesOf(request.attributes), { type: CKA_UNWRAP_TEMPLATE, pValue: inner, ulValueLen: inner.length }]
  const sha1 = request.oaepHash === 'SHA-1'
  const parameters = Buffer.alloc(koffi.sizeof(oaepParameters))
  koffi.encode(parameters, oaepParameters, {
    hashAlg: sha1 ? pkcs11.CKM_SHA_1 : pkcs11.CKM_SHA256, mgf: sha1 ? pkcs11.CKG_MGF1_SHA1 : pkcs11.CKG_MGF1_SHA256,
    source: 1, pSourceData: null, ulSourceDataLen: 0,
  })
  const result = [0]
  const ckr = call(request.library)(
    numberOf(request.session), { mechanism: pkcs11.CKM_RSA_PKCS_OAEP, pParameter: parameters, ulParameterLen: parameters.length },
    numberOf(request.unwrappingKey), request.blob, request.blob.length, outer, outer.length, result,
  )
  if (ckr !== pkcs11.CKR_OK) throw new Fault('C_UnwrapKey', ckr)
  return handleOf(result)
}

function call(library: string): (...args: unknown[]) => number {
  const getFunctionList = koffi.load(library).func('unsigned long C_GetFunctionList(_Out_ void **)')
  const list: unknown[] = [null]
  const ckr = getFunctionList(list) as number
  if (ckr !== pkcs11.CKR_OK) throw new Fault('C_GetFunctionList', ckr)
  const pointer: unknown = koffi.decode(list[0], pointerBytes * (1 + unwrapKeyIndex), 'void *')
  return koffi.decode(pointer, unwrapKey) as (...args: unknown[]) => number
}
