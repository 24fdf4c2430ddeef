// CKR values that say that a call failed, and nothing of what the token would have answered: no refusal may be read out of one.
import { ckr } from './ckr.ts'

const transient: ReadonlySet<number> = new Set([
  ckr.HOST_MEMORY, ckr.DEVICE_ERROR, ckr.DEVICE_MEMORY, ckr.DEVICE_REMOVED, ckr.TOKEN_NOT_PRESENT, ckr.TOKEN_NOT_RECOGNIZED, ckr.SLOT_ID_INVALID,
  ckr.FUNCTION_CANCELED, ckr.CRYPTOKI_NOT_INITIALIZED, ckr.USER_NOT_LOGGED_IN, ckr.OPERATION_ACTIVE, ckr.OPERATION_NOT_INITIALIZED,
  ckr.SESSION_CLOSED, ckr.SESSION_COUNT, ckr.SESSION_HANDLE_INVALID, ckr.OBJECT_HANDLE_INVALID, ckr.KEY_HANDLE_INVALID,
  ckr.WRAPPING_KEY_HANDLE_INVALID, ckr.UNWRAPPING_KEY_HANDLE_INVALID,
])

export const isTransient = (value: number): boolean => transient.has(value)
