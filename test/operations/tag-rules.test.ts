import { describe, expect, it } from 'vitest'
import { KmsError } from '../../src/errors.ts'
import { readTags } from '../../src/operations/tag-rules.ts'

type Tags = Parameters<typeof readTags>[0]
const named = (...names: readonly string[]): Tags => names.map(TagKey => ({ TagKey, TagValue: 'v' }))

function refusal(tags: Tags): readonly [code: string, text: string | undefined] | undefined {
  try {
    readTags(tags)
    return undefined
  } catch (thrown) {
    if (!(thrown instanceof KmsError)) throw thrown
    return [thrown.code, thrown.text]
  }
}

describe('readTags', () => {
  it('reads tags in their order, and none where none are sent', () => {
    expect([...readTags(named('b', 'a', '__proto__', 'constructor')).keys()]).toEqual(['b', 'a', '__proto__', 'constructor'])
    expect(readTags(undefined).size).toBe(0)
    expect(readTags([]).size).toBe(0)
  })

  it('tells names apart by case', () => {
    expect(readTags(named('a', 'A')).size).toBe(2)
  })

  it.each(['aws:', 'aws:x', 'AWS:x', 'aWs:cloudformation:stack'])('refuses %s, whose prefix is reserved in any case', name => {
    expect(refusal(named('x', name))).toEqual(['TagException', 'Tags beginning with aws: are reserved'])
  })

  it.each(['aws', 'awsome:x', 'x-aws:', ' aws:'])('takes %j, which has no reserved prefix', name => {
    expect(refusal(named(name))).toBeUndefined()
  })

  it('refuses a NUL in a name and in a value', () => {
    const refused = ['TagException', 'The request was rejected because one or more tags are not valid.']
    expect(refusal(named('a\0b'))).toEqual(refused)
    expect(refusal([{ TagKey: 'a', TagValue: '\0' }])).toEqual(refused)
  })

  it('refuses a name twice, also with two values', () => {
    expect(refusal([{ TagKey: 'a', TagValue: '1' }, { TagKey: 'b', TagValue: '' }, { TagKey: 'a', TagValue: '2' }])).toEqual(['TagException', 'Duplicate tag keys'])
  })

  it('takes 50 tags and refuses 51', () => {
    const names = Array.from({ length: 51 }, (_, index) => `k${index}`)
    expect(refusal(named(...names.slice(0, 50)))).toBeUndefined()
    expect(refusal(named(...names))).toEqual(['TagException', 'Too many tags'])
  })
})
