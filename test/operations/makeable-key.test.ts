import { describe, expect, it } from 'vitest'
import { KmsError } from '../../src/errors.ts'
import type { MakeableKeys } from '../../src/keys/makeable.ts'
import { CreateKey } from '../../src/operations/keys.ts'
import { refuseUnmakeable } from '../../src/operations/makeable-key.ts'

const makes: MakeableKeys = { wrapped: ['SYMMETRIC_DEFAULT/ENCRYPT_DECRYPT'], resident: ['SYMMETRIC_DEFAULT/ENCRYPT_DECRYPT', 'ECC_NIST_EDWARDS25519/SIGN_VERIFY'] }
const unsupported = new KmsError('UnsupportedOperationException', 'KeySpec ECC_NIST_EDWARDS25519 with KeyUsage SIGN_VERIFY is not supported by the HSM of this deployment (keys.residency: wrapped).')

describe('a key that the tokens', () => {
  it('can make and use is let through', () => {
    expect(() => { refuseUnmakeable({ makes, residency: 'wrapped' }, 'SYMMETRIC_DEFAULT', 'ENCRYPT_DECRYPT') }).not.toThrow()
    expect(() => { refuseUnmakeable({ makes, residency: 'resident' }, 'ECC_NIST_EDWARDS25519', 'SIGN_VERIFY') }).not.toThrow()
  })

  it('cannot make or use is refused, with what it was', () => {
    expect(() => { refuseUnmakeable({ makes, residency: 'wrapped' }, 'ECC_NIST_EDWARDS25519', 'SIGN_VERIFY') }).toThrow(unsupported)
    expect(() => { refuseUnmakeable({ makes: { wrapped: [], resident: [] }, residency: 'wrapped' }, 'SYMMETRIC_DEFAULT', 'ENCRYPT_DECRYPT') }).toThrow(KmsError)
  })

  it('have said nothing of is left to the HSM', () => {
    expect(() => { refuseUnmakeable({ makes: null, residency: 'wrapped' }, 'RSA_4096', 'SIGN_VERIFY') }).not.toThrow()
  })
})

it('CreateKey asks before it reads or writes a row', async () => {
  if (CreateKey.kind !== 'provision') throw new Error('CreateKey provisions')
  const settings = { residency: 'wrapped', cipherMode: 'direct', keyQuota: 1, makes: { wrapped: [], resident: [] } } as const
  // No transaction: the first statement would be a TypeError.
  const given = { input: {}, settings, notes: {}, keys: {}, locale: { region: 'onprem-1', accountId: '111122223333' } } as unknown as Parameters<typeof CreateKey.handle>[0]
  await expect(CreateKey.handle(given as never)).rejects.toMatchObject({ code: 'UnsupportedOperationException', text: 'KeySpec SYMMETRIC_DEFAULT with KeyUsage ENCRYPT_DECRYPT is not supported by the HSM of this deployment (keys.residency: wrapped).' })
})
