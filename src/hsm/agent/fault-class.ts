// What a CKR value means for what is done next. One table; a profile overrides rows of it where its vendor differs.
import pkcs11 from 'pkcs11js'
import type { TimedFunction } from './frames.ts'

/**
 * caller: wrong input, the session is fine. ambiguous: wrong input or a broken device, a canary decides. staleKey, staleSession,
 * login: make anew and try once more. busy: wait a little and try again. device: try elsewhere, replace the agent if a canary fails.
 * configuration: no repeat can help.
 */
export type FaultClass = 'caller' | 'ambiguous' | 'staleKey' | 'staleSession' | 'login' | 'busy' | 'device' | 'configuration'

/** Codes that pkcs11js has no name for, or another name. */
const CKR_AEAD_DECRYPT_FAILED = 0x42
const CKR_CURVE_NOT_SUPPORTED = 0x140

const usual: Readonly<Record<FaultClass, readonly number[]>> = {
  caller: [
    pkcs11.CKR_ENCRYPTED_DATA_INVALID, pkcs11.CKR_ENCRYPTED_DATA_LEN_RANGE, CKR_AEAD_DECRYPT_FAILED, pkcs11.CKR_DATA_INVALID, pkcs11.CKR_DATA_LEN_RANGE,
    pkcs11.CKR_SIGNATURE_INVALID, pkcs11.CKR_SIGNATURE_LEN_RANGE, pkcs11.CKR_WRAPPED_KEY_INVALID, pkcs11.CKR_WRAPPED_KEY_LEN_RANGE, pkcs11.CKR_KEY_SIZE_RANGE,
  ],
  ambiguous: [],
  staleKey: [
    pkcs11.CKR_OBJECT_HANDLE_INVALID, pkcs11.CKR_KEY_HANDLE_INVALID, pkcs11.CKR_WRAPPING_KEY_HANDLE_INVALID, pkcs11.CKR_UNWRAPPING_KEY_HANDLE_INVALID,
  ],
  staleSession: [
    pkcs11.CKR_SESSION_HANDLE_INVALID, pkcs11.CKR_SESSION_CLOSED, pkcs11.CKR_OPERATION_ACTIVE, pkcs11.CKR_OPERATION_NOT_INITIALIZED, pkcs11.CKR_BUFFER_TOO_SMALL,
  ],
  login: [pkcs11.CKR_USER_NOT_LOGGED_IN],
  busy: [pkcs11.CKR_SESSION_COUNT, pkcs11.CKR_DEVICE_MEMORY, pkcs11.CKR_HOST_MEMORY],
  device: [
    pkcs11.CKR_DEVICE_ERROR, pkcs11.CKR_DEVICE_REMOVED, pkcs11.CKR_TOKEN_NOT_PRESENT, pkcs11.CKR_SLOT_ID_INVALID, pkcs11.CKR_CRYPTOKI_NOT_INITIALIZED,
    pkcs11.CKR_GENERAL_ERROR, pkcs11.CKR_FUNCTION_FAILED, pkcs11.CKR_TOKEN_NOT_RECOGNIZED, pkcs11.CKR_FUNCTION_CANCELED,
  ],
  configuration: [
    pkcs11.CKR_PIN_INCORRECT, pkcs11.CKR_PIN_LOCKED, pkcs11.CKR_PIN_EXPIRED, pkcs11.CKR_MECHANISM_INVALID, pkcs11.CKR_MECHANISM_PARAM_INVALID,
    pkcs11.CKR_KEY_FUNCTION_NOT_PERMITTED, pkcs11.CKR_TEMPLATE_INCOMPLETE, pkcs11.CKR_TEMPLATE_INCONSISTENT, pkcs11.CKR_KEY_TYPE_INCONSISTENT,
    pkcs11.CKR_ATTRIBUTE_TYPE_INVALID, pkcs11.CKR_ATTRIBUTE_VALUE_INVALID, pkcs11.CKR_ARGUMENTS_BAD, pkcs11.CKR_KEY_UNEXTRACTABLE, pkcs11.CKR_KEY_NOT_WRAPPABLE,
    pkcs11.CKR_FUNCTION_NOT_SUPPORTED, pkcs11.CKR_TOKEN_WRITE_PROTECTED, pkcs11.CKR_DOMAIN_PARAMS_INVALID, CKR_CURVE_NOT_SUPPORTED,
  ],
}

/** Where these mean a device everywhere else, at these calls they may as well mean what a stranger sent. */
const ambiguousCodes: ReadonlySet<number> = new Set([pkcs11.CKR_GENERAL_ERROR, pkcs11.CKR_FUNCTION_FAILED, pkcs11.CKR_ARGUMENTS_BAD])
const ambiguousCalls: ReadonlySet<string> = new Set<TimedFunction>(['C_Decrypt', 'C_UnwrapKey'])

const usualByCode: ReadonlyMap<number, FaultClass> = new Map(
  Object.entries(usual).flatMap(([name, codes]) => codes.map(code => [code, name as FaultClass] as const)),
)

/** The class of a failed call. A code that no table knows may be anything a vendor thought of: it is taken for the device's. */
export function classOf(overrides: ReadonlyMap<number, FaultClass>, call: string, ckr: number): FaultClass {
  const own = overrides.get(ckr)
  if (own !== undefined) return own
  if (ambiguousCalls.has(call) && ambiguousCodes.has(ckr)) return 'ambiguous'
  return usualByCode.get(ckr) ?? 'device'
}
