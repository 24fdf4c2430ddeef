import { randomBytes } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { decodeMaterial, encodeMaterial, materialLabel, type Material } from '../../src/keys/material.ts'

const text = fc.string({ unit: 'grapheme', maxLength: 30 })
const bytes = (...lengths: number[]): fc.Arbitrary<Buffer> =>
  fc.constantFrom(...lengths).chain(length => fc.uint8Array({ minLength: length, maxLength: length })).map(one => Buffer.from(one))
const u32 = fc.nat({ max: 0xffffffff })
const materials: fc.Arbitrary<Material> = fc.record({
  accountId: text, region: text, keyId: fc.oneof(fc.uuid(), bytes(16).map(id => `mrk-${id.toString('hex')}`)), materialId: bytes(32), backing: u32, origin: text, spec: text, usage: text,
  cipherMode: fc.constantFrom('direct', 'derived', 'none'), residency: fc.constantFrom('wrapped', 'resident'), ckaId: bytes(16), domainId: bytes(0, 16),
  domainVersion: u32, spkiDigest: bytes(0, 32), blob: fc.uint8Array({ maxLength: 100 }).map(one => Buffer.from(one)),
})

const material: Material = {
  accountId: '111122223333', region: 'onprem-1', keyId: 'd3adbeef-0123-4567-89ab-cdef01234567', materialId: Buffer.alloc(32, 1), backing: 1, origin: 'AWS_KMS',
  spec: 'SYMMETRIC_DEFAULT', usage: 'ENCRYPT_DECRYPT', cipherMode: 'direct', residency: 'wrapped', ckaId: Buffer.alloc(16), domainId: Buffer.alloc(16, 2),
  domainVersion: 1, spkiDigest: Buffer.alloc(0), blob: Buffer.alloc(40, 3),
}

const field = (value: Buffer | string): Buffer => {
  const length = Buffer.alloc(4)
  length.writeUInt32BE(Buffer.byteLength(value))
  return Buffer.concat([length, Buffer.from(value as string)])
}

/** The fields of an encoded row, without the label. */
function fieldsOf(row: Buffer): Buffer[] {
  const fields: Buffer[] = []
  for (let offset = 0; offset < row.length;) {
    const end = offset + 4 + row.readUInt32BE(offset)
    fields.push(row.subarray(offset + 4, end))
    offset = end
  }
  return fields
}

/** The row of `material` with one field replaced by other bytes. */
function withField(index: number, value: Buffer | string): Buffer {
  return Buffer.concat(fieldsOf(encodeMaterial(material)).map((one, i) => field(i === index ? value as Buffer : one)))
}

describe('encodeMaterial', () => {
  it('begins with its label and gives every field its length, in the order that cannot change', () => {
    expect(encodeMaterial(material).toString('hex')).toBe(Buffer.concat([
      field('trent/material/1'), field('111122223333'), field('onprem-1'), field('d3adbeef-0123-4567-89ab-cdef01234567'), field(Buffer.alloc(32, 1)),
      field(Buffer.from('00000001', 'hex')), field('AWS_KMS'), field('SYMMETRIC_DEFAULT'), field('ENCRYPT_DECRYPT'), field('direct'), field('wrapped'),
      field(Buffer.alloc(16)), field(Buffer.alloc(16, 2)), field(Buffer.from('00000001', 'hex')), field(''), field(Buffer.alloc(40, 3)),
    ]).toString('hex'))
    expect(materialLabel).toBe('trent/material/1')
  })

  it('differs for whatever differs: no two materials have the same row', () => {
    fc.assert(fc.property(materials, materials, (one, other) => {
      const same = Object.keys(one).every(name => {
        const [a, b] = [one[name as keyof Material], other[name as keyof Material]]
        return Buffer.isBuffer(a) && Buffer.isBuffer(b) ? a.equals(b) : a === b
      })
      expect(encodeMaterial(one).equals(encodeMaterial(other))).toBe(same)
    }))
  })

  it('changes with each byte of each field', () => {
    fc.assert(fc.property(materials, fc.nat(), fc.nat(), fc.integer({ min: 1, max: 255 }), (given, which, where, change) => {
      const names = (Object.keys(given) as (keyof Material)[]).filter(name => {
        const value = given[name]
        return Buffer.isBuffer(value) && value.length > 0
      })
      const name = names[which % names.length] ?? 'materialId'
      const changed = Buffer.from(given[name] as Buffer)
      const at = where % changed.length
      changed[at] = (changed[at] ?? 0) ^ change
      expect(encodeMaterial({ ...given, [name]: changed })).not.toEqual(encodeMaterial(given))
    }))
  })

  it.each([
    ['account and Region', { accountId: '1111', region: '22223333onprem-1' }],
    ['spec and usage', { spec: 'SYMMETRIC_DEFAULTENCRYPT', usage: '_DECRYPT' }],
    ['CKA_ID and domain', { ckaId: Buffer.alloc(15), domainId: Buffer.concat([Buffer.alloc(1), Buffer.alloc(16, 2)]) }],
    ['SPKI and blob', { spkiDigest: Buffer.alloc(32, 3), blob: Buffer.alloc(8, 3) }],
  ])('tells a byte that moved between %s', (_what, moved) => {
    const joined = (row: Buffer): string => Buffer.concat(fieldsOf(row)).toString('hex')
    const other = encodeMaterial({ ...material, ...moved })
    expect(other).not.toEqual(encodeMaterial(material))
    // The trap is real only where the fields without their lengths would be alike.
    if (!('accountId' in moved)) expect(joined(other)).toBe(joined(encodeMaterial(material)))
  })
})

describe('decodeMaterial', () => {
  it('gives back every material that was encoded', () => {
    fc.assert(fc.property(materials, given => {
      expect(decodeMaterial(encodeMaterial(given))).toEqual(given)
    }))
  })

  it('throws nothing but RangeError, and takes nothing that is not exactly one encoded row', () => {
    const mutated = fc.tuple(materials, fc.array(fc.tuple(fc.nat(), fc.nat({ max: 255 })), { minLength: 1, maxLength: 3 }), fc.integer({ min: -6, max: 6 })).map(([given, changes, cut]) => {
      const row = Buffer.from(encodeMaterial(given))
      for (const [where, value] of changes) row[where % row.length] = value
      return cut < 0 ? row.subarray(0, cut) : Buffer.concat([row, Buffer.alloc(cut)])
    })
    fc.assert(fc.property(fc.oneof(fc.uint8Array({ maxLength: 400 }).map(one => Buffer.from(one)), mutated), row => {
      try {
        expect(encodeMaterial(decodeMaterial(row))).toEqual(row)
      } catch (thrown) {
        expect(thrown).toBeInstanceOf(RangeError)
      }
    }), { numRuns: 1000 })
  })

  it.each([
    ['nothing', Buffer.alloc(0)],
    ['another label', withField(0, 'trent/material/2')],
    ['a key id that is none', withField(3, 'D3ADBEEF-0123-4567-89AB-CDEF01234567')],
    ['a material id of 31 bytes', withField(4, Buffer.alloc(31))],
    ['a backing number of 3 bytes', withField(5, Buffer.alloc(3))],
    ['a backing number of 5 bytes', withField(5, Buffer.alloc(5))],
    ['an account that is no UTF-8', withField(1, randomBytes(3).fill(0xff))],
    ['an unknown cipher mode', withField(9, 'ecb')],
    ['an unknown residency', withField(10, 'elsewhere')],
    ['a CKA_ID of 15 bytes', withField(11, Buffer.alloc(15))],
    ['a domain id of 15 bytes', withField(12, Buffer.alloc(15))],
    ['a domain version of 8 bytes', withField(13, Buffer.alloc(8))],
    ['a public key digest of 31 bytes', withField(14, Buffer.alloc(31))],
    ['a field too many', Buffer.concat([encodeMaterial(material), field('')])],
    ['a trailing byte', Buffer.concat([encodeMaterial(material), Buffer.alloc(1)])],
    ['a row that is cut off', encodeMaterial(material).subarray(0, -1)],
  ])('refuses %s', (_what, row) => {
    expect(() => decodeMaterial(row)).toThrow(RangeError)
  })
})
