import { describe, expect, it } from 'vitest'
import { KmsError } from '../../src/errors.ts'
import { keySpecNames, keySpecs, keyUsages } from '../../src/keys/spec.ts'
import { refuseUnbuilt, specOf, usageOf, type NewKeyInput } from '../../src/operations/new-key.ts'

function refusal(work: () => unknown): readonly [code: string, text: string | undefined] | undefined {
  try {
    work()
    return undefined
  } catch (thrown) {
    if (!(thrown instanceof KmsError)) throw thrown
    return [thrown.code, thrown.text]
  }
}

describe('specOf', () => {
  it('takes KeySpec, its deprecated twin, or neither', () => {
    expect([{}, { KeySpec: 'RSA_2048' }, { CustomerMasterKeySpec: 'HMAC_256' }].map(input => specOf(input as NewKeyInput))).toEqual(['SYMMETRIC_DEFAULT', 'RSA_2048', 'HMAC_256'])
  })

  it('refuses both, even when they agree', () => {
    expect(refusal(() => specOf({ KeySpec: 'RSA_2048', CustomerMasterKeySpec: 'RSA_2048' })))
      .toEqual(['ValidationException', 'You cannot specify KeySpec and CustomerMasterKeySpec in the same request. CustomerMasterKeySpec is deprecated.'])
  })
})

describe('usageOf', () => {
  it('is ENCRYPT_DECRYPT for a symmetric key, said or not', () => {
    expect(usageOf({})).toBe('ENCRYPT_DECRYPT')
    expect(usageOf({ KeySpec: 'SYMMETRIC_DEFAULT', KeyUsage: 'ENCRYPT_DECRYPT' })).toBe('ENCRYPT_DECRYPT')
  })

  it('must be said for every other spec, HMAC with its one usage included', () => {
    for (const KeySpec of keySpecNames.filter(name => name !== 'SYMMETRIC_DEFAULT')) {
      expect(refusal(() => usageOf({ KeySpec })), KeySpec).toEqual(['ValidationException', 'You must specify a KeyUsage value for all KMS keys except for symmetric encryption keys.'])
    }
  })

  it('is taken exactly where the spec has algorithms for it', () => {
    const taken = keySpecNames.flatMap(KeySpec => keyUsages.filter(KeyUsage => refusal(() => usageOf({ KeySpec, KeyUsage })) === undefined).map(KeyUsage => `${KeySpec} ${KeyUsage}`))
    // AWS KMS developer guide, "Key spec reference".
    expect(taken.sort()).toEqual([
      'SYMMETRIC_DEFAULT ENCRYPT_DECRYPT',
      ...['HMAC_224', 'HMAC_256', 'HMAC_384', 'HMAC_512'].map(spec => `${spec} GENERATE_VERIFY_MAC`),
      ...['RSA_2048', 'RSA_3072', 'RSA_4096'].flatMap(spec => [`${spec} ENCRYPT_DECRYPT`, `${spec} SIGN_VERIFY`]),
      ...['ECC_NIST_P256', 'ECC_NIST_P384', 'ECC_NIST_P521'].flatMap(spec => [`${spec} KEY_AGREEMENT`, `${spec} SIGN_VERIFY`]),
      'ECC_SECG_P256K1 SIGN_VERIFY', 'ECC_NIST_EDWARDS25519 SIGN_VERIFY',
      ...['ML_DSA_44', 'ML_DSA_65', 'ML_DSA_87'].map(spec => `${spec} SIGN_VERIFY`),
      ...['ML_KEM_512', 'ML_KEM_768', 'ML_KEM_1024'].map(spec => `${spec} ENCAPSULATE_DECAPSULATE`),
      'SM2 ENCRYPT_DECRYPT', 'SM2 KEY_AGREEMENT', 'SM2 SIGN_VERIFY',
    ].sort())
  })

  it('names usage and spec of a pair that does not fit', () => {
    expect(refusal(() => usageOf({ KeySpec: 'RSA_2048', KeyUsage: 'KEY_AGREEMENT' }))).toEqual(['ValidationException', 'KeyUsage KEY_AGREEMENT is not compatible with KeySpec RSA_2048'])
    expect(refusal(() => usageOf({ KeyUsage: 'SIGN_VERIFY' }))).toEqual(['ValidationException', 'KeyUsage SIGN_VERIFY is not compatible with KeySpec SYMMETRIC_DEFAULT'])
  })
})

describe('refuseUnbuilt', () => {
  it('lets every spec pass that the table says is built, and names every other', () => {
    for (const KeySpec of keySpecNames) {
      const expected = keySpecs[KeySpec].built === undefined ? ['UnsupportedOperationException', `KeySpec ${KeySpec} is not supported by this version of Trent.`] : undefined
      expect(refusal(() => { refuseUnbuilt({ KeySpec }) })).toEqual(expected)
    }
  })

  it.each<readonly [NewKeyInput, string, string | undefined]>([
    [{ XksKeyId: 'x' }, 'ValidationException', 'The XksKeyId parameter is valid only when Origin is EXTERNAL_KEY_STORE.'],
    [{ XksKeyId: 'x', Origin: 'AWS_KMS' }, 'ValidationException', 'The XksKeyId parameter is valid only when Origin is EXTERNAL_KEY_STORE.'],
    [{ XksKeyId: 'x', Origin: 'EXTERNAL_KEY_STORE', CustomKeyStoreId: 'cks-1' }, 'CustomKeyStoreNotFoundException', undefined],
    [{ Origin: 'AWS_CLOUDHSM' }, 'CustomKeyStoreNotFoundException', undefined],
    [{ CustomKeyStoreId: 'cks-1' }, 'CustomKeyStoreNotFoundException', undefined],
    [{ Origin: 'EXTERNAL' }, 'UnsupportedOperationException', 'Origin EXTERNAL is not supported by this version of Trent.'],
    [{ MultiRegion: true }, 'UnsupportedOperationException', 'Multi-Region keys are not supported by this version of Trent.'],
  ])('refuses %j', (input, code, text) => {
    expect(refusal(() => { refuseUnbuilt(input) })).toEqual([code, text])
  })

  it('lets a key of this version pass', () => {
    expect(refusal(() => { refuseUnbuilt({ KeySpec: 'SYMMETRIC_DEFAULT', Origin: 'AWS_KMS', MultiRegion: false }) })).toBeUndefined()
  })
})
