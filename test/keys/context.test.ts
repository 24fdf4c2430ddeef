import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { encodeContext } from '../../src/keys/context.ts'

/** The pairs of an encoded context, read by the format's description alone. */
function pairsOf(encoded: Buffer): [string, string][] {
  let offset = 0
  const take = (length: number): Buffer => {
    offset += length
    if (offset > encoded.length) throw new Error('cut off')
    return encoded.subarray(offset - length, offset)
  }
  const text = (): string => take(take(4).readUInt32BE()).toString()
  const pairs = Array.from({ length: take(4).readUInt32BE() }, (): [string, string] => [text(), text()])
  expect(offset).toBe(encoded.length)
  return pairs
}

const wellFormed = fc.string({ unit: 'grapheme' })
const contexts = fc.uniqueArray(fc.tuple(wellFormed, wellFormed), { selector: ([key]) => key, maxLength: 8 })

describe('encodeContext', () => {
  it('takes absent and empty for the same: no pairs', () => {
    expect(encodeContext(undefined)).toEqual(Buffer.from('00000000', 'hex'))
    expect(encodeContext(new Map())).toEqual(Buffer.from('00000000', 'hex'))
  })

  it('is count, then length and bytes of key and value, big-endian', () => {
    expect(encodeContext(new Map([['ab', 'c']])).toString('hex')).toBe('00000001' + '00000002' + '6162' + '00000001' + '63')
  })

  it('counts lengths in UTF-8 bytes, not in characters', () => {
    expect(encodeContext(new Map([['é', '😀']])).toString('hex')).toBe('00000001' + '00000002' + 'c3a9' + '00000004' + 'f09f9880')
  })

  it('orders keys by their UTF-8 bytes where UTF-16 units would order them the other way', () => {
    const [halfwidth, smile] = ['\uff61', '\u{1f600}']
    expect([halfwidth, smile].sort()).toEqual([smile, halfwidth])
    const encoded = encodeContext(new Map([[smile, '2'], [halfwidth, '1']]))
    expect(pairsOf(encoded)).toEqual([[halfwidth, '1'], [smile, '2']])
  })

  it('orders a key before the longer key that begins with it, and the empty key first', () => {
    expect(pairsOf(encodeContext(new Map([['ab', ''], ['a', ''], ['', '']])))).toEqual([['', ''], ['a', ''], ['ab', '']])
  })

  it('keeps keys that name members of Object.prototype, and empty values', () => {
    const pairs: [string, string][] = [['__proto__', 'x'], ['constructor', ''], ['toString', 'y']]
    expect(pairsOf(encodeContext(new Map(pairs)))).toEqual(pairs)
  })

  it('does not depend on the order of insertion', () => {
    fc.assert(fc.property(contexts, pairs => {
      expect(encodeContext(new Map([...pairs].reverse()))).toEqual(encodeContext(new Map(pairs)))
    }))
  })

  it('loses nothing: the pairs can be read back, in byte order', () => {
    fc.assert(fc.property(contexts, pairs => {
      const sorted = [...pairs].sort(([a], [b]) => Buffer.compare(Buffer.from(a), Buffer.from(b)))
      expect(pairsOf(encodeContext(new Map(pairs)))).toEqual(sorted)
    }))
  })

  it('moves no byte between key and value: neighbouring splits differ', () => {
    const splits = [['abc', ''], ['ab', 'c'], ['a', 'bc'], ['', 'abc']].map(([key = '', value = '']) => encodeContext(new Map([[key, value]])).toString('hex'))
    expect(new Set(splits).size).toBe(4)
  })
})
