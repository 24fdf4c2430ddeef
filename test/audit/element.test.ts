import { describe, expect, it } from 'vitest'
import { element } from '../../src/audit/element.ts'

describe('an element of a record', () => {
  it('spells the members of structures with a small first letter, at every depth', () => {
    expect(element({ AWSAccountId: '1', Tags: [{ TagKey: 'K', TagValue: 'V' }], Inner: { Deep: { More: true } } }))
      .toEqual({ aWSAccountId: '1', tags: [{ tagKey: 'K', tagValue: 'V' }], inner: { deep: { more: true } } })
  })

  it('leaves the names of an encryption context as the caller wrote them', () => {
    const shown = element(new Map([['Tenant', 'Blue'], ['__proto__', 'kept']])) as object
    expect(Object.entries(shown)).toEqual([['Tenant', 'Blue'], ['__proto__', 'kept']])
  })

  it('writes dates as CloudTrail does, in UTC', () => {
    expect(element(new Date('2022-08-10T22:38:27.123Z'))).toBe('Aug 10, 2022, 10:38:27 PM')
    expect(element({ DeletionDate: new Date('2031-01-02T00:00:09Z') })).toEqual({ deletionDate: 'Jan 2, 2031, 12:00:09 AM' })
  })

  it('never shows bytes', () => {
    expect(JSON.stringify(element({ Plaintext: Buffer.from('secret'), KeyId: 'k', All: [Buffer.from('secret')] }))).toBe('{"keyId":"k","all":[null]}')
  })

  it('leaves scalars alone', () => {
    for (const value of ['Text', 5, true, null, undefined]) expect(element(value)).toBe(value)
  })
})
