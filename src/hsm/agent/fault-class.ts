// What a CKR value means for what is done next. One table; a profile overrides rows of it where its vendor differs.
import { ckr } from './ckr.ts'
import type { TimedFunction } from './frames.ts'

/**
 * caller: wrong input, the session is fine. ambiguous: wrong input or a broken device, a canary decides. staleKey, staleSession,
 * login: make anew and try once more. busy: wait a little and try again. device: try elsewhere, replace the agent if a canary fails.
 * configuration: no repeat can help.
 */
export type FaultClass = 'caller' | 'ambiguous' | 'staleKey' | 'staleSession' | 'login' | 'busy' | 'device' | 'configuration'

const usual: Readonly<Record<FaultClass, readonly number[]>> = {
  caller: [
    ckr.ENCRYPTED_DATA_INVALID, ckr.ENCRYPTED_DATA_LEN_RANGE, ckr.AEAD_DECRYPT_FAILED, ckr.DATA_INVALID, ckr.DATA_LEN_RANGE,
    ckr.SIGNATURE_INVALID, ckr.SIGNATURE_LEN_RANGE, ckr.WRAPPED_KEY_INVALID, ckr.WRAPPED_KEY_LEN_RANGE, ckr.KEY_SIZE_RANGE,
  ],
  ambiguous: [],
  staleKey: [
    ckr.OBJECT_HANDLE_INVALID, ckr.KEY_HANDLE_INVALID, ckr.WRAPPING_KEY_HANDLE_INVALID, ckr.UNWRAPPING_KEY_HANDLE_INVALID,
  ],
  staleSession: [
    ckr.SESSION_HANDLE_INVALID, ckr.SESSION_CLOSED, ckr.OPERATION_ACTIVE, ckr.OPERATION_NOT_INITIALIZED, ckr.BUFFER_TOO_SMALL,
  ],
  login: [ckr.USER_NOT_LOGGED_IN],
  busy: [ckr.SESSION_COUNT, ckr.DEVICE_MEMORY, ckr.HOST_MEMORY],
  device: [
    ckr.DEVICE_ERROR, ckr.DEVICE_REMOVED, ckr.TOKEN_NOT_PRESENT, ckr.SLOT_ID_INVALID, ckr.CRYPTOKI_NOT_INITIALIZED,
    ckr.GENERAL_ERROR, ckr.FUNCTION_FAILED, ckr.TOKEN_NOT_RECOGNIZED, ckr.FUNCTION_CANCELED,
  ],
  configuration: [
    ckr.PIN_INCORRECT, ckr.PIN_LOCKED, ckr.PIN_EXPIRED, ckr.MECHANISM_INVALID, ckr.MECHANISM_PARAM_INVALID,
    ckr.KEY_FUNCTION_NOT_PERMITTED, ckr.TEMPLATE_INCOMPLETE, ckr.TEMPLATE_INCONSISTENT, ckr.KEY_TYPE_INCONSISTENT,
    ckr.ATTRIBUTE_TYPE_INVALID, ckr.ATTRIBUTE_VALUE_INVALID, ckr.ARGUMENTS_BAD, ckr.KEY_UNEXTRACTABLE, ckr.KEY_NOT_WRAPPABLE,
    ckr.FUNCTION_NOT_SUPPORTED, ckr.TOKEN_WRITE_PROTECTED, ckr.DOMAIN_PARAMS_INVALID, ckr.CURVE_NOT_SUPPORTED,
  ],
}

/** Where these mean a device everywhere else, at these calls they may as well mean what a stranger sent. */
const ambiguousCodes: ReadonlySet<number> = new Set([ckr.GENERAL_ERROR, ckr.FUNCTION_FAILED, ckr.ARGUMENTS_BAD])
const ambiguousCalls: ReadonlySet<string> = new Set<TimedFunction>(['C_Decrypt', 'C_UnwrapKey', 'C_Verify', 'C_DecapsulateKey'])

const usualByCode: ReadonlyMap<number, FaultClass> = new Map(
  Object.entries(usual).flatMap(([name, codes]) => codes.map(code => [code, name as FaultClass] as const)),
)

/** The class of a failed call; what a profile calls ambiguous is so where a stranger's input is read. A code that no table knows may be anything a vendor thought of: it is taken for the device's. */
export function classOf(overrides: ReadonlyMap<number, FaultClass>, call: string, value: number): FaultClass {
  const own = overrides.get(value)
  if (own !== undefined && own !== 'ambiguous') return own
  if (ambiguousCalls.has(call) && (own === 'ambiguous' || ambiguousCodes.has(value))) return 'ambiguous'
  return usualByCode.get(value) ?? 'device'
}
