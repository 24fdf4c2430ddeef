// EnableKey, DisableKey, UpdateKeyDescription: changes of a key's own row. Each locks it first and checks its state again, since
// what the cache said may be 100 ms old.
import { required } from '../shape/shape.ts'
import type { KeyState } from '../keys/state.ts'
import { updateKeyDescription, updateKeyState } from '../store/keys.ts'
import { checkDescription } from './description.ts'
import { description, keyId } from './members.ts'
import { from, operation, type KeyNeed } from './operation.ts'

const need = (permission: `kms:${string}`, states: readonly KeyState[]): KeyNeed => ({
  key: from('KeyId'), permission, states, aliases: false, otherAccounts: false, grantable: false,
})

export const EnableKey = operation({
  kind: 'write',
  input: { KeyId: required(keyId) },
  needs: { key: need('kms:EnableKey', ['Enabled', 'Disabled']) },
  readOnly: false,
  audit: [],
  async handle({ keys, tx, notes }) {
    await updateKeyState(tx, keys.key.key.id, ['Enabled', 'Disabled'], 'Enabled', null)
    notes.responseElements = { keyId: keys.key.key.arn }
    return undefined
  },
})

export const DisableKey = operation({
  kind: 'write',
  input: { KeyId: required(keyId) },
  needs: { key: need('kms:DisableKey', ['Enabled', 'Disabled']) },
  readOnly: false,
  audit: [],
  async handle({ keys, tx, notes }) {
    await updateKeyState(tx, keys.key.key.id, ['Enabled', 'Disabled'], 'Disabled', null)
    notes.responseElements = { keyId: keys.key.key.arn }
    return undefined
  },
})

export const UpdateKeyDescription = operation({
  kind: 'write',
  input: { KeyId: required(keyId), Description: required(description) },
  needs: { key: need('kms:UpdateKeyDescription', ['Enabled', 'Disabled', 'PendingImport', 'Unavailable', 'Creating', 'Updating']) },
  readOnly: false,
  audit: ['Description'],
  check({ Description }) {
    checkDescription(Description)
  },
  async handle({ input, keys, tx, notes }) {
    await updateKeyDescription(tx, keys.key.key.id, input.Description)
    notes.responseElements = { keyId: keys.key.key.arn }
    return undefined
  },
})
