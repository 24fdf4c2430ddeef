import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { KmsError } from '../../src/errors.ts'
import { cutPage, readPage } from '../../src/operations/paging.ts'

const listing = ['ListKeys', '111122223333']
const same = (entry: string): string => entry

function markerAfter(id: string, of: readonly string[] = listing): string {
  const { more: { NextMarker } } = cutPage(of, [id, 'and one more'], 1, same)
  return NextMarker ?? ''
}

function refusal(marker: string, of: readonly string[] = listing): unknown {
  try {
    return readPage(of, marker, undefined, 10)
  } catch (thrown) {
    return thrown
  }
}

const invalid = expect.objectContaining({ code: 'InvalidMarkerException', text: undefined }) as unknown

describe('a marker', () => {
  it('with a NUL in its id is refused, however well it was made', () => {
    expect(refusal(markerAfter('a\0b'))).toEqual(invalid)
  })
})

describe('a page', () => {
  it('is the last one when nothing was found behind it, and then has no marker', () => {
    expect(cutPage(listing, ['a', 'b'], 2, same)).toEqual({ entries: ['a', 'b'], more: { Truncated: false } })
    expect(cutPage(listing, [], 2, same)).toEqual({ entries: [], more: { Truncated: false } })
  })

  it('is cut at its limit, with a marker that goes on behind its last entry', () => {
    const { entries, more } = cutPage(listing, ['a', 'b', 'c'], 2, same)
    expect(entries).toEqual(['a', 'b'])
    expect(more.Truncated).toBe(true)
    expect(readPage(listing, more.NextMarker, undefined, 10)).toEqual({ after: 'b', limit: 10 })
  })

  it('takes the limit that was sent before the default', () => {
    expect(readPage(listing, undefined, 3, 10)).toEqual({ after: undefined, limit: 3 })
    expect(readPage(listing, undefined, undefined, 10)).toEqual({ after: undefined, limit: 10 })
  })

  it('walks every list whole, each entry once, whatever the size of the pages', () => {
    fc.assert(fc.property(fc.uniqueArray(fc.string({ minLength: 1, unit: 'grapheme' })), fc.integer({ min: 1, max: 7 }), (ids, limit) => {
      const seen: string[] = []
      for (let marker: string | undefined; ;) {
        const { after } = readPage(listing, marker, limit, 10)
        const start = after === undefined ? 0 : ids.indexOf(after) + 1
        const { entries, more } = cutPage(listing, ids.slice(start, start + limit + 1), limit, same)
        seen.push(...entries)
        if (!more.Truncated) break
        marker = more.NextMarker
      }
      expect(seen).toEqual(ids)
    }))
  })
})

describe('a marker', () => {
  it('is refused in another operation, account, key or filter', () => {
    const marker = markerAfter('a')
    for (const other of [['ListAliases', '111122223333'], ['ListKeys', '444455556666'], ['ListKeys'], ['ListKeys', '111122223333', ''], ['ListKeys111122223333']]) {
      expect(refusal(marker, other)).toEqual(invalid)
    }
  })

  it('cannot be shifted between the parts that it is bound to', () => {
    expect(refusal(markerAfter('a', ['ab', 'c']), ['a', 'bc'])).toEqual(invalid)
  })

  it('is refused when a character is changed, added or taken away from what binds it', () => {
    const marker = markerAfter('11111111-2222-3333-4444-555555555555')
    expect(refusal(marker)).toEqual({ after: '11111111-2222-3333-4444-555555555555', limit: 10 })
    for (let at = 0; at < 12; at++) {
      expect(refusal(marker.slice(0, at) + (marker[at] === 'A' ? 'B' : 'A') + marker.slice(at + 1)), String(at)).toEqual(invalid)
      expect(refusal(marker.slice(0, at) + marker.slice(at + 1)), String(at)).toEqual(invalid)
    }
    for (const odd of ['', ' ', `${marker} `, `${marker}=`, ` ${marker}`, marker.replace(/=*$/, '==='), '%', Buffer.alloc(9).toString('base64')]) expect(refusal(odd), odd).toEqual(invalid)
  })

  it('that somebody made up is refused, never misread', () => {
    fc.assert(fc.property(fc.string({ maxLength: 64 }), made => {
      expect(refusal(made)).toBeInstanceOf(KmsError)
    }))
  })

  it('stays within 1,024 characters of the printable kind, for the longest name of an alias', () => {
    const marker = markerAfter(`alias/${'x'.repeat(250)}`)
    expect(marker.length).toBeLessThanOrEqual(1024)
    expect(marker).toMatch(/^[\u0020-\u00ff]+$/)
  })
})
