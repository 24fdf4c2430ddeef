// What pkcs11js cannot call, called by koffi on the library that pkcs11js has loaded already, so that sessions and handles are the same.
// PKCS#11's structures as they lie on 64-bit Linux; all numbers are CK_ULONG.
import koffi from 'koffi'
import type { Handle } from 'pkcs11js'
import { attributeType, type AttributeName, type Attributes } from './template.ts'

export const pointerBytes = 8

const attribute = koffi.struct('CK_ATTRIBUTE', { type: 'unsigned long', pValue: 'void *', ulValueLen: 'unsigned long' })
/** By name in prototypes. */
koffi.struct('CK_MECHANISM', { mechanism: 'unsigned long', pParameter: 'void *', ulParameterLen: 'unsigned long' })

interface NativeAttribute {
  readonly type: number
  readonly pValue: Buffer
  readonly ulValueLen: number
}

export function attributesOf(attributes: Attributes): NativeAttribute[] {
  return Object.entries(attributes).map(([name, value]) => {
    const bytes = valueBytes(value)
    return { type: attributeType(name as AttributeName), pValue: bytes, ulValueLen: bytes.length }
  })
}

/**
 * One behind the other, as an array that is itself the value of an attribute. The array holds bare addresses: the values lie behind it in the
 * same memory, since nothing else would keep them from the garbage collector.
 */
export function nestedAttributes(attributes: Attributes): Buffer {
  const entries = attributesOf(attributes)
  const arrayBytes = koffi.sizeof(attribute) * entries.length
  const whole = Buffer.alloc(entries.reduce((sum, { pValue }) => sum + pValue.length, arrayBytes))
  let at = arrayBytes
  entries.forEach(({ pValue, ...entry }, i) => {
    const value = whole.subarray(at, at += pValue.length)
    pValue.copy(value)
    koffi.encode(whole, i * koffi.sizeof(attribute), attribute, { ...entry, pValue: value })
  })
  return whole.subarray(0, arrayBytes)
}

export const numberOf = (handle: Handle): bigint => handle.readBigUInt64LE()

/** From what koffi writes into an `_Out_ unsigned long *`. */
export function handleOf([value = 0]: readonly (number | bigint)[]): Handle {
  const handle = Buffer.alloc(8)
  handle.writeBigUInt64LE(BigInt(value))
  return handle
}

function valueBytes(value: boolean | number | string | Buffer): Buffer {
  if (Buffer.isBuffer(value)) return value
  if (typeof value === 'string') return Buffer.from(value)
  if (typeof value === 'boolean') return Buffer.from([value ? 1 : 0])
  const bytes = Buffer.alloc(8)
  bytes.writeBigUInt64LE(BigInt(value))
  return bytes
}
