import { describe, expect, it } from 'vitest'
import { KmsError } from '../../src/errors.ts'
import type { MakeableKeys } from '../../src/keys/makeable.ts'
import { CreateKey } from '../../src/operations/keys.ts'
import { residencyOf } from '../../src/operations/makeable-key.ts'

const makes: MakeableKeys = { wrapped: ['SYMMETRIC_DEFAULT/ENCRYPT_DECRYPT'], resident: ['SYMMETRIC_DEFAULT/ENCRYPT_DECRYPT', 'ECC_NIST_EDWARDS25519/SIGN_VERIFY'] }
const unsupported = new KmsError('UnsupportedOperationException', 'KeySpec ECC_NIST_EDWARDS25519 with KeyUsage SIGN_VERIFY is not supported by the HSM of this deployment (keys.residency: wrapped).')

describe('a key that the tokens', () => {
  it('can make and use lives where the configuration says', () => {
    expect(residencyOf({ makes, residency: 'wrapped', tokens: 2 }, 'SYMMETRIC_DEFAULT', 'ENCRYPT_DECRYPT')).toBe('wrapped')
    expect(residencyOf({ makes, residency: 'resident', tokens: 1 }, 'ECC_NIST_EDWARDS25519', 'SIGN_VERIFY')).toBe('resident')
  })

  it('cannot wrap lives on the token where there is one alone', () => {
    expect(residencyOf({ makes, residency: 'wrapped', tokens: 1 }, 'ECC_NIST_EDWARDS25519', 'SIGN_VERIFY')).toBe('resident')
  })

  it('cannot make or use is refused, with what it was', () => {
    expect(() => residencyOf({ makes, residency: 'wrapped', tokens: 2 }, 'ECC_NIST_EDWARDS25519', 'SIGN_VERIFY')).toThrow(unsupported)
    expect(() => residencyOf({ makes: { wrapped: [], resident: [] }, residency: 'wrapped', tokens: 1 }, 'SYMMETRIC_DEFAULT', 'ENCRYPT_DECRYPT')).toThrow(KmsError)
  })

  it('have said nothing of is left to the HSM', () => {
    expect(residencyOf({ makes: null, residency: 'wrapped', tokens: 1 }, 'RSA_4096', 'SIGN_VERIFY')).toBe('wrapped')
  })
})

it('CreateKey asks before it reads or writes a row', async () => {
  if (CreateKey.kind !== 'provision') throw new Error('CreateKey provisions')
  const settings = { residency: 'wrapped', tokens: 1, cipherMode: 'direct', keyQuota: 1, makes: { wrapped: [], resident: [] } } as const
  // No transaction: the first statement would be a TypeError.
  const given = { input: {}, settings, notes: {}, keys: {}, locale: { region: 'onprem-1', accountId: '111122223333' } } as unknown as Parameters<typeof CreateKey.handle>[0]
  await expect(CreateKey.handle(given as never)).rejects.toMatchObject({ code: 'UnsupportedOperationException', text: 'KeySpec SYMMETRIC_DEFAULT with KeyUsage ENCRYPT_DECRYPT is not supported by the HSM of this deployment (keys.residency: wrapped).' })
})
