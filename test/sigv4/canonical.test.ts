import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { canonicalPaths, canonicalQuery, decodeComponent, encodeComponent, normalizePath, parseQuery } from '../../src/sigv4/canonical.ts'
import { canonicalValue } from '../../src/sigv4/headers.ts'
import { refusal } from './refusal.ts'

describe('a path', () => {
  it.each([
    ['', '/'], ['/', '/'], ['//', '/'], ['/./', '/'], ['/..', '/'], ['/../..', '/'], ['/a/..', '/'], ['/a/../', '/'], ['/a/.', '/a'],
    ['/a//b/', '/a/b/'], ['/a/./b', '/a/b'], ['/a/../../b', '/b'], ['/a/.b', '/a/.b'], ['/a/..b', '/a/..b'], ['/%2e%2e/a', '/%2e%2e/a'],
  ])('%j is normalised to %j', (path, normal) => {
    expect(normalizePath(path)).toBe(normal)
  })

  it('is encoded once more on top of the client\'s encoding, but for its slashes', () => {
    expect(canonicalPaths('/a%3Ab/c d/@(*)~')).toEqual(['/a%253Ab/c%20d/%40%28%2A%29~'])
  })

  it('that is not normal may have been signed in either form', () => {
    expect(canonicalPaths('/a//b')).toEqual(['/a/b', '/a//b'])
  })

  it('once normal stays as it is', () => {
    const segment = fc.constantFrom('a', '.', '..', '', '...', '%2e', '.a')
    fc.assert(fc.property(fc.array(segment), segments => {
      const once = normalizePath(`/${segments.join('/')}`)
      expect(normalizePath(once)).toBe(once)
    }))
  })
})

describe('a query', () => {
  const canonical = (query: string) => canonicalQuery(parseQuery(query))

  it.each([
    ['b=2&a=1', 'a=1&b=2'],
    ['a=2&a=1', 'a=1&a=2'],
    ['a-=1&a=2', 'a=2&a-=1'],
    ['a', 'a='],
    ['a=&&b', 'a=&b='],
    ['=x', '=x'],
    ['a=b=c', 'a=b%3Dc'],
    ['a=%7e%2f%zz%4', 'a=~%2F%25zz%254'],
    ['a=x+y', 'a=x%20y'],
    ['B=1&a=1', 'B=1&a=1'],
    ['a=\u00c3\u00a9', 'a=%C3%A9'],
    ['', ''],
  ])('%j has the canonical form %j', (query, form) => {
    expect(canonical(query)).toBe(form)
  })

  it('is its own canonical form once it is canonical', () => {
    fc.assert(fc.property(fc.string({ unit: 'binary-ascii' }), query => {
      expect(canonical(canonical(query))).toBe(canonical(query))
    }))
  })

  it('never gives one canonical form to components that decode to different bytes', () => {
    fc.assert(fc.property(fc.uint8Array(), bytes => {
      const raw = Buffer.from(bytes).toString('latin1')
      const escaped = [...Buffer.from(bytes)].map(byte => `%${byte.toString(16).padStart(2, '0')}`).join('')
      expect(decodeComponent(encodeComponent(escaped))).toBe(raw)
    }))
  })

  it('of more than a thousand parameters is refused', () => {
    expect(parseQuery('a&'.repeat(999))).toHaveLength(999)
    expect(refusal(() => parseQuery('a&'.repeat(1000)))).toEqual({ code: 'IncompleteSignatureException', text: 'Too many query-string parameters.' })
  })
})

describe('a header value', () => {
  it.each([['a', 'a'], ['  a   b\t c ', 'a b c'], ['"a   b"', '"a b"'], ['a\n  b', 'a b'], [' ', ''], ['', ''], ['\u00a0a', '\u00a0a']])(
    '%j has the canonical form %j', (value, form) => {
      expect(canonicalValue(value)).toBe(form)
    })

  it('of 64 KiB takes no more than linear time', () => {
    const hostile = `${'a '.repeat(16_384)}  ${' '.repeat(16_384)}b`
    const start = performance.now()
    for (let round = 0; round < 10; round++) canonicalValue(hostile)
    expect(performance.now() - start).toBeLessThan(1000)
  })
})
