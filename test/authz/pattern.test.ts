import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { compileMatcher } from '../../src/authz/pattern.ts'

/** The meaning of patterns, said by a regular expression. */
const oracle = (pattern: string): RegExp =>
  new RegExp(`^${pattern.replace(/[.+^${}()|[\]\\/-]/g, '\\$&').replaceAll('*', '.*').replaceAll('?', '.')}$`, 's')

describe('a matcher', () => {
  test.each([
    ['*', '', true], ['*', 'kms:decrypt', true], ['kms:*', 'kms:', true], ['kms:*', 'kms', false], ['kms:*', 'xkms:a', false],
    ['kms:decrypt', 'kms:decrypt', true], ['kms:decrypt', 'kms:decryptx', false], ['kms:decrypt', 'kms:Decrypt', false],
    ['?', 'a', true], ['?', '', false], ['?', 'ab', false], ['*?', 'a', true], ['*?', '', false],
    ['a*a', 'a', false], ['a*a', 'aa', true], ['*ab*ab*', 'ab', false], ['*ab*ab*', 'xabab', true], ['ab*bc', 'abc', false],
    ['*a?c*', 'xxabxabc', true], ['a*b*c', 'acb', false], ['a**c', 'abc', true], ['', '', true], ['', 'a', false],
    ['a.c', 'abc', false], ['*\n', 'a\n', true],
  ])('compiled from %j says to %j: %j', (pattern, text, expected) => {
    expect(compileMatcher([pattern])(text)).toBe(expected)
  })

  test('agrees with a regular expression on any pattern and text', () => {
    const characters = fc.constantFrom('a', 'b', ':', '.', '*', '?', '\n')
    const pattern = fc.string({ unit: characters, maxLength: 12 })
    const text = fc.string({ unit: fc.constantFrom('a', 'b', ':', '.', '\n'), maxLength: 14 })
    fc.assert(fc.property(pattern, text, (p, t) => {
      expect(compileMatcher([p])(t)).toBe(oracle(p).test(t))
    }), { numRuns: 5_000 })
  })

  test('of several patterns is true where one of them is', () => {
    const pattern = fc.string({ unit: fc.constantFrom('a', 'b', '*', '?'), maxLength: 4 })
    const text = fc.string({ unit: fc.constantFrom('a', 'b'), maxLength: 5 })
    fc.assert(fc.property(fc.array(pattern, { maxLength: 4 }), text, (patterns, t) => {
      expect(compileMatcher(patterns)(t)).toBe(patterns.some((p) => oracle(p).test(t)))
    }), { numRuns: 2_000 })
  })

  test('of no patterns is never true', () => {
    expect(compileMatcher([])('')).toBe(false)
  })

  test('does not slow down on a pattern that makes regular expressions backtrack', () => {
    const matches = compileMatcher([`${'*a'.repeat(5_000)}*b`])
    const started = performance.now()
    expect(matches('a'.repeat(20_000))).toBe(false)
    expect(performance.now() - started).toBeLessThan(1_000)
  })
})
