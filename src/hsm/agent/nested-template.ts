// C_UnwrapKey with a nested CKA_UNWRAP_TEMPLATE, which pkcs11js cannot express: the domain ceremony's rare path alone.
// koffi opens the library that pkcs11js has loaded already, so sessions and handles are the same.
import koffi from 'koffi'
import type { Handle } from 'pkcs11js'
import pkcs11 from 'pkcs11js'
import { Fault } from './fault.ts'
import { attributeType, type AttributeName, type Attributes } from './template.ts'

const CKA_UNWRAP_TEMPLATE = 0x40000212
/** Place of C_UnwrapKey in CK_FUNCTION_LIST (PKCS#11 v2.40, section 3.6), after the version. */
const unwrapKeyIndex = 61
const pointerBytes = 8

const attribute = koffi.struct('CK_ATTRIBUTE', { type: 'unsigned long', pValue: 'void *', ulValueLen: 'unsigned long' })
const oaepParameters = koffi.struct('CK_RSA_PKCS_OAEP_PARAMS', {
  hashAlg: 'unsigned long', mgf: 'unsigned long', source: 'unsigned long', pSourceData: 'void *', ulSourceDataLen: 'unsigned long',
})
koffi.struct('CK_MECHANISM', { mechanism: 'unsigned long', pParameter: 'void *', ulParameterLen: 'unsigned long' })
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
  const inner = attributesOf(request.unwrapTemplate)
  const innerBytes = Buffer.alloc(koffi.sizeof(attribute) * inner.length)
  inner.forEach((entry, i) => koffi.encode(innerBytes, i * koffi.sizeof(attribute), attribute, entry))
  const outer = [...attributesOf(request.attributes), { type: CKA_UNWRAP_TEMPLATE, pValue: innerBytes, ulValueLen: innerBytes.length }]
  const sha1 = request.oaepHash === 'SHA-1'
  const parameters = Buffer.alloc(koffi.sizeof(oaepParameters))
  koffi.encode(parameters, oaepParameters, {
    hashAlg: sha1 ? pkcs11.CKM_SHA_1 : pkcs11.CKM_SHA256, mgf: sha1 ? pkcs11.CKG_MGF1_SHA1 : pkcs11.CKG_MGF1_SHA256,
    source: 1, pSourceData: null, ulSourceDataLen: 0,
  })
  const result = [0]
  const ckr = call(request.library)(
    request.session.readBigUInt64LE(), { mechanism: pkcs11.CKM_RSA_PKCS_OAEP, pParameter: parameters, ulParameterLen: parameters.length },
    request.unwrappingKey.readBigUInt64LE(), request.blob, request.blob.length, outer, outer.length, result,
  )
  if (ckr !== pkcs11.CKR_OK) throw new Fault('C_UnwrapKey', ckr)
  const handle = Buffer.alloc(8)
  handle.writeBigUInt64LE(BigInt(result[0] ?? 0))
  return handle
}

function call(library: string): (...args: unknown[]) => number {
  const getFunctionList = koffi.load(library).func('unsigned long C_GetFunctionList(_Out_ void **)')
  const list: unknown[] = [null]
  const ckr = getFunctionList(list) as number
  if (ckr !== pkcs11.CKR_OK) throw new Fault('C_GetFunctionList', ckr)
  const pointer: unknown = koffi.decode(list[0], pointerBytes * (1 + unwrapKeyIndex), 'void *')
  return koffi.decode(pointer, unwrapKey) as (...args: unknown[]) => number
}

function attributesOf(attributes: Attributes): { type: number; pValue: Buffer; ulValueLen: number }[] {
  return Object.entries(attributes).map(([name, value]) => {
    const bytes = valueBytes(value)
    return { type: attributeType(name as AttributeName), pValue: bytes, ulValueLen: bytes.length }
  })
}

function valueBytes(value: boolean | number | string | Buffer): Buffer {
  if (Buffer.isBuffer(value)) return value
  if (typeof value === 'string') return Buffer.from(value)
  if (typeof value === 'boolean') return Buffer.from([value ? 1 : 0])
  const bytes = Buffer.alloc(8)
  bytes.writeBigUInt64LE(BigInt(value))
  return bytes
}
