// Key states and what each says to an operation that does not take it.
// Source: AWS KMS developer guide, "Key states of AWS KMS keys".
import { KmsError } from '../errors.ts'

export const keyStates = [
  'Creating', 'Enabled', 'Disabled', 'PendingDeletion', 'PendingImport', 'PendingReplicaDeletion', 'Unavailable', 'Updating',
] as const
export type KeyState = (typeof keyStates)[number]

/** The states in which a key encrypts, decrypts and makes data keys. Updating is a multi-Region key whose primary is being moved. */
export const usable = ['Enabled', 'Updating'] as const satisfies readonly KeyState[]

const phrases: Readonly<Record<Exclude<KeyState, 'Enabled' | 'Disabled'>, string>> = {
  Creating: 'is creating.',
  PendingDeletion: 'is pending deletion.',
  PendingImport: 'is pending import.',
  PendingReplicaDeletion: 'is pending replica deletion.',
  Unavailable: 'is unavailable.',
  Updating: 'is updating.',
}

/** The error for a key whose state an operation does not take: DisabledException for Disabled, else KMSInvalidStateException. */
export function stateError(arn: string, state: KeyState): KmsError {
  if (state === 'Disabled') return new KmsError('DisabledException', `${arn} is disabled.`)
  if (state === 'Enabled') return new KmsError('KMSInvalidStateException', `${arn} is enabled.`)
  return new KmsError('KMSInvalidStateException', `${arn} ${phrases[state]}`)
}
