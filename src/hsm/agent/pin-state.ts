// What a token says of its user PIN (the flags of C_GetTokenInfo), and how bad that is. Free of PKCS#11 bindings: primary and agent both
// judge by it.

/** count-low: a wrong PIN was given since the last login. final-try: the next wrong one locks it. A token that tells none of it is 'usual'. */
export type PinState = 'usual' | 'count-low' | 'final-try' | 'locked'

const CKF_USER_PIN_COUNT_LOW = 0x10000
const CKF_USER_PIN_FINAL_TRY = 0x20000
const CKF_USER_PIN_LOCKED = 0x40000

/** The worst that the flags of a CK_TOKEN_INFO say. Source: PKCS #11 v2.40, table 11. */
export function pinStateOf(flags: number): PinState {
  if ((flags & CKF_USER_PIN_LOCKED) !== 0) return 'locked'
  if ((flags & CKF_USER_PIN_FINAL_TRY) !== 0) return 'final-try'
  return (flags & CKF_USER_PIN_COUNT_LOW) !== 0 ? 'count-low' : 'usual'
}

export const pinFlagNames: Readonly<Record<Exclude<PinState, 'usual'>, string>> = {
  'count-low': 'CKF_USER_PIN_COUNT_LOW', 'final-try': 'CKF_USER_PIN_FINAL_TRY', locked: 'CKF_USER_PIN_LOCKED',
}

const order: readonly PinState[] = ['usual', 'count-low', 'final-try', 'locked']

export const isWorse = (state: PinState, than: PinState): boolean => order.indexOf(state) > order.indexOf(than)
