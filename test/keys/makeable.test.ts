import { expect, it } from 'vitest'
import { isMakeable, makeableOnEach, type MakeableKeys } from '../../src/keys/makeable.ts'

const one: MakeableKeys = { wrapped: ['HMAC_256/GENERATE_VERIFY_MAC', 'RSA_2048/SIGN_VERIFY'], resident: ['HMAC_256/GENERATE_VERIFY_MAC', 'RSA_2048/SIGN_VERIFY'] }
const other: MakeableKeys = { wrapped: ['HMAC_256/GENERATE_VERIFY_MAC'], resident: ['HMAC_256/GENERATE_VERIFY_MAC', 'RSA_2048/SIGN_VERIFY', 'ECC_NIST_EDWARDS25519/SIGN_VERIFY'] }

it('tokens together make what each of them makes', () => {
  expect(makeableOnEach([one, other])).toEqual({ wrapped: ['HMAC_256/GENERATE_VERIFY_MAC'], resident: ['HMAC_256/GENERATE_VERIFY_MAC', 'RSA_2048/SIGN_VERIFY'] })
  expect(makeableOnEach([other, one])).toEqual(makeableOnEach([one, other]))
  expect(makeableOnEach([one])).toEqual(one)
  expect(makeableOnEach([])).toEqual({ wrapped: [], resident: [] })
})

it('a key is makeable by its spec, usage and residency together', () => {
  expect(isMakeable(other, 'resident', 'RSA_2048', 'SIGN_VERIFY')).toBe(true)
  expect(isMakeable(other, 'wrapped', 'RSA_2048', 'SIGN_VERIFY')).toBe(false)
  expect(isMakeable(other, 'resident', 'RSA_2048', 'ENCRYPT_DECRYPT')).toBe(false)
  expect(isMakeable(other, 'resident', 'RSA_3072', 'SIGN_VERIFY')).toBe(false)
})
