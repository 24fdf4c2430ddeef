// What a code means, by the call that gave it and by the token's profile. Numbers are PKCS#11's own, not read from ckr.ts.
import { describe, expect, it } from 'vitest'
import { ckrName } from '../../../src/hsm/agent/ckr.ts'
import { Fault, ckrOf } from '../../../src/hsm/agent/fault.ts'
import { classOf, type FaultClass } from '../../../src/hsm/agent/fault-class.ts'
import { profiles } from '../../../src/hsm/agent/profile.ts'

const overrides = (profile: string): ReadonlyMap<number, FaultClass> => profiles.get(profile)?.faults ?? new Map()
const usually = (call: string, value: number): FaultClass => classOf(new Map(), call, value)

describe('the class of a code', () => {
  it.each<[FaultClass, readonly number[]]>([
    ['caller', [0x40, 0x41, 0x42, 0x20, 0x21, 0xc0, 0xc1, 0x110, 0x112, 0x62]],
    ['staleKey', [0x82, 0x60, 0x113, 0xf0]],
    ['staleSession', [0xb3, 0xb0, 0x90, 0x91, 0x150]],
    ['login', [0x101]],
    ['busy', [0xb1, 0x31, 0x02]],
    ['device', [0x30, 0x32, 0xe0, 0x03, 0x190, 0x05, 0x06, 0xe1, 0x50]],
    ['configuration', [0xa0, 0xa4, 0xa3, 0x70, 0x71, 0x68, 0xd0, 0xd1, 0x63, 0x12, 0x13, 0x07, 0x6a, 0x69, 0x54, 0xe2, 0x130, 0x140]],
  ])('is %s', (expected, codes) => {
    expect(codes.map(code => [code, usually('C_Encrypt', code)])).toEqual(codes.map(code => [code, expected]))
  })

  it.each(['C_Decrypt', 'C_UnwrapKey', 'C_Verify', 'C_DecapsulateKey'])('is ambiguous for what may be the input\'s fault or the device\'s at %s, and nowhere else', call => {
    expect([0x05, 0x06, 0x07].map(code => usually(call, code))).toEqual(['ambiguous', 'ambiguous', 'ambiguous'])
    expect([0x05, 0x06, 0x07].map(code => usually('C_DecryptInit', code))).toEqual(['device', 'device', 'configuration'])
    expect(usually(call, 0x30)).toBe('device')
  })

  it('is the device\'s for what no table knows, the vendors\' own codes included', () => {
    expect([0x200, 0x7fffffff, 0x80000000, 0xce534351].map(code => usually('C_Decrypt', code))).toEqual(['device', 'device', 'device', 'device'])
  })

  it('is ambiguous by the profile only where a stranger\'s input is read', () => {
    // Kryoptic says so of a wrong OAEP padding.
    const kryoptic = overrides('kryoptic')
    expect(['C_Decrypt', 'C_UnwrapKey', 'C_Sign', 'C_DecryptInit'].map(call => classOf(kryoptic, call, 0x30))).toEqual(['ambiguous', 'ambiguous', 'device', 'device'])
  })

  it('is what the profile says, at every call', () => {
    const cloudhsm = overrides('cloudhsm')
    // CloudHSM's client says so that it is throttled.
    expect(['C_Encrypt', 'C_Decrypt'].map(call => [classOf(cloudhsm, call, 0x06), classOf(cloudhsm, call, 0x90)])).toEqual([['busy', 'busy'], ['busy', 'busy']])
    expect(classOf(cloudhsm, 'C_Decrypt', 0x05)).toBe('ambiguous')
    expect([classOf(overrides('luna'), 'C_Encrypt', 0x06), classOf(overrides('luna'), 'C_Encrypt', 0x90)]).toEqual(['device', 'staleSession'])
  })
})

describe('the code of what pkcs11js throws', () => {
  it('is its .code, or the number at the end of its text, or "the function failed"', () => {
    expect(ckrOf(Object.assign(new Error('CKR_VENDOR_DEFINED'), { code: 0x80000123 }))).toBe(0x80000123)
    expect(ckrOf(new Error('CKR_ATTRIBUTE_READ_ONLY:16'))).toBe(0x10)
    expect([ckrOf(new Error('something else')), ckrOf('CKR_ATTRIBUTE_READ_ONLY:16')]).toEqual([0x06, 0x06])
  })

  it('is named as the standard does, and by number where that has no name', () => {
    expect([0x05, 0x190, 0x80000123, 0x80000000].map(ckrName)).toEqual(['CKR_GENERAL_ERROR', 'CKR_CRYPTOKI_NOT_INITIALIZED', '0x80000123', '0x80000000'])
    expect(new Fault('C_Sign', 0x30)).toMatchObject({ message: 'C_Sign: CKR_DEVICE_ERROR', call: 'C_Sign', ckr: 0x30 })
  })
})
