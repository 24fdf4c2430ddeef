import { describe, expect, it } from 'vitest'
import { KmsError } from '../../src/errors.ts'
import { keyStates, stateError } from '../../src/keys/state.ts'

const arn = 'arn:aws:kms:onprem-1:111122223333:key/d3adbeef-0123-4567-89ab-cdef01234567'

describe('stateError', () => {
  it.each([
    ['Disabled', 'DisabledException', `${arn} is disabled.`],
    ['Enabled', 'KMSInvalidStateException', `${arn} is enabled.`],
    ['Creating', 'KMSInvalidStateException', `${arn} is creating.`],
    ['PendingDeletion', 'KMSInvalidStateException', `${arn} is pending deletion.`],
    ['PendingImport', 'KMSInvalidStateException', `${arn} is pending import.`],
    ['PendingReplicaDeletion', 'KMSInvalidStateException', `${arn} is pending replica deletion.`],
    ['Unavailable', 'KMSInvalidStateException', `${arn} is unavailable.`],
    ['Updating', 'KMSInvalidStateException', `${arn} is updating.`],
  ] as const)('names %s by %s and a sentence', (state, code, text) => {
    const error = stateError(arn, state)
    expect(error).toBeInstanceOf(KmsError)
    expect(error).toMatchObject({ code, text, status: 400 })
  })

  it('has a sentence of its own for every state', () => {
    expect(new Set(keyStates.map(state => stateError(arn, state).text)).size).toBe(keyStates.length)
  })
})
