import { describe, expect, expectTypeOf, it } from 'vitest'
import { KmsError } from '../../src/errors.ts'
import { compile } from '../../src/shape/parse.ts'
import { blob, boolean, enumeration, integer, list, map, required, structure, text, timestamp } from '../../src/shape/shape.ts'
import type { Infer, Shapes } from '../../src/shape/shape.ts'

const keyId = text({ min: 1, max: 2048, pattern: String.raw`^\p{ASCII}+$` })
const alias = text({ min: 1, max: 256, pattern: '^[a-zA-Z0-9:/_-]+$' })
const tags = list(structure({ TagKey: required(text({ min: 1, max: 128 })), TagValue: required(text({ min: 0, max: 256 })) }))
const grantTokens = list(text({ min: 1, max: 8192 }), { min: 0, max: 10 })
const sample = {
  KeyId: required(keyId),
  Plaintext: required(blob({ min: 1, max: 4096, sensitive: true })),
  EncryptionContext: map(text(), text()),
  GrantTokens: grantTokens,
  Limit: integer({ min: 1, max: 1000 }),
  DryRun: boolean(),
  ValidTo: timestamp(),
  MacAlgorithm: enumeration(['HMAC_SHA_224', 'HMAC_SHA_256'], { listed: ['HMAC_SHA_256', 'HMAC_SHA_224'] }),
  Tags: tags,
}

/** What the shapes refuse a body with, as `Code: text`; the body may be given as JSON text. */
function refusal(shapes: Shapes, body: unknown): string {
  const bytes = Buffer.isBuffer(body) ? body : Buffer.from(typeof body === 'string' ? body : JSON.stringify(body))
  try {
    compile(shapes).parse(bytes)
  } catch (error) {
    if (error instanceof KmsError) return error.text === undefined ? error.code : `${error.code}: ${error.text}`
    throw error
  }
  return 'accepted'
}

/** Parses a body that holds the two required members of `sample` and what is given. */
function parsed(members: string) {
  return compile(sample).parse(Buffer.from(`{"KeyId":"k","Plaintext":"AAAA"${members}}`))
}

const one = 'ValidationException: 1 validation error detected: '
const two = 'ValidationException: 2 validation errors detected: '

describe('what is parsed', () => {
  it('gives every kind of member its type', () => {
    const input = compile(sample).parse(Buffer.from(JSON.stringify({
      KeyId: 'k', Plaintext: 'aGVsbG8=', EncryptionContext: { a: 'b' }, GrantTokens: ['t'], Limit: 7, DryRun: true,
      ValidTo: 1499288695.918, MacAlgorithm: 'HMAC_SHA_256', Tags: [{ TagKey: 'x', TagValue: '' }],
    })))
    expect(input).toEqual({
      KeyId: 'k', Plaintext: Buffer.from('hello'), EncryptionContext: new Map([['a', 'b']]), GrantTokens: ['t'], Limit: 7, DryRun: true,
      ValidTo: new Date('2017-07-05T21:04:55.918Z'), MacAlgorithm: 'HMAC_SHA_256', Tags: [{ TagKey: 'x', TagValue: '' }],
    })
  })

  it('is typed by the shapes alone', () => {
    expectTypeOf<Infer<typeof sample>>().toEqualTypeOf<{
      readonly KeyId: string
      readonly Plaintext: Buffer
      readonly EncryptionContext?: ReadonlyMap<string, string>
      readonly GrantTokens?: readonly string[]
      readonly Limit?: number
      readonly DryRun?: boolean
      readonly ValidTo?: Date
      readonly MacAlgorithm?: 'HMAC_SHA_224' | 'HMAC_SHA_256'
      readonly Tags?: readonly { readonly TagKey: string; readonly TagValue: string }[]
    }>()
  })

  it('ignores unknown and wrong-case members and takes null for absent', () => {
    const input = parsed(',"keyid":5,"Unknown":{"a":[1]},"Limit":null,"EncryptionContext":null,"Tags":null')
    expect(Object.keys(input)).toEqual(['KeyId', 'Plaintext'])
  })

  it('lets the last of two members with one name count', () => {
    expect(parsed(',"KeyId":"second"').KeyId).toBe('second')
  })

  it('cuts fractions off integers and takes the nearest 32-bit value for what lies beyond', () => {
    const { parse } = compile({ N: integer() })
    const read = (number: string) => parse(Buffer.from(`{"N":${number}}`)).N
    expect(['1.9', '-1.9', '-0.5', '1e3', '9007199254740993', '-1e400'].map(read)).toEqual([1, -1, 0, 1000, 2147483647, -2147483648])
  })

  it('keeps __proto__ and constructor as ordinary keys of a map', () => {
    const context = parsed(',"EncryptionContext":{"__proto__":"a","constructor":"b","toString":"c"}').EncryptionContext
    expect([...context ?? []]).toEqual([['__proto__', 'a'], ['constructor', 'b'], ['toString', 'c']])
    expect(({} as Record<string, unknown>).a).toBeUndefined()
  })

  it('does not take members from a __proto__ in the body', () => {
    expect(refusal({ KeyId: required(keyId) }, '{"__proto__":{"KeyId":"k"}}'))
      .toBe(`${one}Value null at 'keyId' failed to satisfy constraint: Member must not be null`)
  })

  it('keeps characters outside the basic plane, escaped or not', () => {
    expect([...parsed(String.raw`,"EncryptionContext":{"\ud83d\ude00":"😀"}`).EncryptionContext ?? []]).toEqual([['😀', '😀']])
  })

  it('survives any depth of nesting in members it does not read', () => {
    const deep = 200_000
    expect(parsed(`,"X":${'['.repeat(deep)}${']'.repeat(deep)}`).KeyId).toBe('k')
    expect(parsed(String.raw`,"Y":"\ud83d\ude00","X":${'{"a":'.repeat(deep)}1${'}'.repeat(deep)}`).KeyId).toBe('k')
  })
})

describe('bytes that are no JSON object', () => {
  it.each([
    ['an empty body', ''],
    ['null', 'null'],
    ['a bare string', '"x"'],
    ['a number', '1'],
    ['a boolean', 'true'],
    ['a truncated object', '{"KeyId":"k"'],
    ['a trailing comma', '{"KeyId":"k",}'],
    ['two objects', '{}{}'],
    ['a byte order mark', '\ufeff{"KeyId":"k","Plaintext":"AAAA"}'],
    ['bytes that are no UTF-8', Buffer.from('7b224b65794964223a22c328227d', 'hex')],
    ['an overlong encoding', Buffer.from('7b224b65794964223a22c0af227d', 'hex')],
    ['a surrogate encoded as UTF-8', Buffer.from('7b224b65794964223a22eda080227d', 'hex')],
  ])('refuses %s without a text', (_name, body) => {
    expect(refusal(sample, body)).toBe('SerializationException')
  })

  it('names the list when the body is one', () => {
    expect(refusal(sample, '[]')).toBe('SerializationException: Start of list found where not expected')
  })

  it.each([
    ['a value', String.raw`{"KeyId":"\ud800","Plaintext":"AAAA"}`],
    ['a key of a map', String.raw`{"KeyId":"k","Plaintext":"AAAA","EncryptionContext":{"a\uDFFF":"b"}}`],
    ['a list', String.raw`{"KeyId":"k","Plaintext":"AAAA","GrantTokens":["\ude00\ud83d"]}`],
    ['a member nobody reads', String.raw`{"KeyId":"k","Plaintext":"AAAA","X":[{"y":{"\ud83d":1}}]}`],
  ])('refuses a lone surrogate in %s', (_name, body) => {
    expect(refusal(sample, body)).toBe('SerializationException')
  })

  it('does not take an escaped backslash for a surrogate', () => {
    expect(parsed(String.raw`,"EncryptionContext":{"a":"\\ud800"}`).EncryptionContext?.get('a')).toBe(String.raw`\ud800`)
  })
})

describe('types', () => {
  const all = {
    Text: text(), Enum: enumeration(['A']), Blob: blob(), Integer: integer(), Boolean: boolean(), Time: timestamp(),
    Map: map(text(), text()), List: list(text()), Structure: structure({ Inner: text() }),
  }
  it.each([
    ['Text', 1, 'NUMBER_VALUE can not be converted to a String'],
    ['Text', true, 'TRUE_VALUE can not be converted to a String'],
    ['Text', [], 'Start of list found where not expected'],
    ['Text', {}, 'Start of structure or map found where not expected.'],
    ['Enum', false, 'FALSE_VALUE can not be converted to a String'],
    ['Blob', 5, 'NUMBER_VALUE can not be converted to a Blob'],
    ['Integer', '1', 'STRING_VALUE can not be converted to an Integer'],
    ['Integer', true, 'TRUE_VALUE can not be converted to an Integer'],
    ['Integer', [1], 'Start of list found where not expected'],
    ['Boolean', 1, 'NUMBER_VALUE can not be converted to a Boolean'],
    ['Boolean', 'true', 'STRING_VALUE can not be converted to a Boolean'],
    ['Time', '2026-01-01T00:00:00Z', 'STRING_VALUE can not be converted to milliseconds since epoch'],
    ['Time', 8.64e12 + 1, 'NUMBER_VALUE can not be converted to milliseconds since epoch'],
    ['Map', 'x', 'Expected map or null'],
    ['Map', [], 'Start of list found where not expected'],
    ['Map', { a: 1 }, 'NUMBER_VALUE can not be converted to a String'],
    ['Map', { a: false }, 'FALSE_VALUE can not be converted to a String'],
    ['Map', { a: { b: 'c' } }, 'Start of structure or map found where not expected.'],
    ['List', 'x', 'Expected list or null'],
    ['List', {}, 'Start of structure or map found where not expected.'],
    ['List', [1], 'NUMBER_VALUE can not be converted to a String'],
    ['List', [['x']], 'Start of list found where not expected'],
    ['Structure', 'x', 'Expected null'],
    ['Structure', [], 'Start of list found where not expected'],
    ['Structure', { Inner: 1 }, 'NUMBER_VALUE can not be converted to a String'],
  ])('%s given %j: %s', (member, value, message) => {
    expect(refusal(all, { [member]: value })).toBe(`SerializationException: ${message}`)
  })

  it('come before constraints', () => {
    expect(refusal(sample, { KeyId: '', Limit: '0' })).toBe('SerializationException: STRING_VALUE can not be converted to an Integer')
  })

  it.each([
    ['no padding', 'aGVsbG8'],
    ['too much padding', 'aGVsbG8=='],
    ['the URL alphabet', '_-8='],
    ['white space', 'aGVs bG8='],
    ['a line break', 'aGVsbG8=\n'],
    ['stray last bits', 'aGVsbG9='],
    ['padding inside', 'aG==VsbG8='],
    ['wide characters that end in a base64 byte', 'šššš'],
    ['one character', 'a'],
  ])('refuses base64 with %s and does not quote it', (_name, value) => {
    expect(refusal({ Blob: blob() }, { Blob: value })).toBe('SerializationException: STRING_VALUE can not be converted to a Blob')
  })

  it('takes the empty text for no bytes', () => {
    expect(compile({ Blob: blob() }).parse(Buffer.from('{"Blob":""}')).Blob).toEqual(Buffer.alloc(0))
  })
})

describe('constraints, as recorded', () => {
  const keySpecs = ['RSA_2048', 'SYMMETRIC_DEFAULT'] as const
  const longTag = 'v'.repeat(257)
  it.each<[string, Shapes, unknown, string]>([
    ['a number below its range', { NumberOfBytes: integer({ min: 1, max: 1024 }) }, { NumberOfBytes: 0 },
      "Value '0' at 'numberOfBytes' failed to satisfy constraint: Member must have value greater than or equal to 1"],
    ['a number above its range', { NumberOfBytes: integer({ min: 1, max: 1024 }) }, { NumberOfBytes: 1025 },
      "Value '1025' at 'numberOfBytes' failed to satisfy constraint: Member must have value less than or equal to 1024"],
    ['a value outside its enum, listed in the given order', { MacAlgorithm: sample.MacAlgorithm }, { MacAlgorithm: 'INVALID' },
      "Value 'INVALID' at 'macAlgorithm' failed to satisfy constraint: Member must satisfy enum value set: [HMAC_SHA_256, HMAC_SHA_224]"],
    ['an enum that lists members it does not take', { KeySpec: enumeration(['AES_256'], { listed: keySpecs }) }, { KeySpec: 'RSA_2048' },
      "Value 'RSA_2048' at 'keySpec' failed to satisfy constraint: Member must satisfy enum value set: [RSA_2048, SYMMETRIC_DEFAULT]"],
    ['a plaintext that is too long', { Plaintext: sample.Plaintext }, { Plaintext: Buffer.alloc(4097).toString('base64') },
      "Value at 'plaintext' failed to satisfy constraint: Member must have length less than or equal to 4096"],
    ['a plaintext that is missing', { Plaintext: sample.Plaintext }, {},
      "Value at 'plaintext' failed to satisfy constraint: Member must not be null"],
    ['a blob that is too short', { CiphertextBlob: blob({ min: 1, max: 6144 }) }, { CiphertextBlob: '' },
      "Value at 'ciphertextBlob' failed to satisfy constraint: Member must have length greater than or equal to 1"],
    ['a blob that is missing', { CiphertextBlob: required(blob({ min: 1, max: 6144 })) }, { CiphertextBlob: null },
      "Value null at 'ciphertextBlob' failed to satisfy constraint: Member must not be null"],
    ['a key id that is missing', { KeyId: required(keyId) }, {},
      "Value null at 'keyId' failed to satisfy constraint: Member must not be null"],
    ['a key id outside ASCII', { KeyId: required(keyId) }, { KeyId: 'キー' },
      String.raw`Value 'キー' at 'keyId' failed to satisfy constraint: Member must satisfy regular expression pattern: ^\p{ASCII}+$`],
    ['an alias with a space', { AliasName: alias }, { AliasName: 'alias/a b' },
      "Value 'alias/a b' at 'aliasName' failed to satisfy constraint: Member must satisfy regular expression pattern: ^[a-zA-Z0-9:/_-]+$"],
    ['a long tag value, echoed in full', { Tags: required(tags) }, { Tags: [{ TagKey: 'k', TagValue: longTag }] },
      `Value '${longTag}' at 'tags.1.member.tagValue' failed to satisfy constraint: Member must have length less than or equal to 256`],
    ['a tag without a key', { Tags: tags }, { Tags: [{ TagKey: 'k', TagValue: 'v' }, { TagValue: 'v' }] },
      "Value null at 'tags.2.member.tagKey' failed to satisfy constraint: Member must not be null"],
    ['a list of scalars, as one', { GrantTokens: grantTokens }, { GrantTokens: ['a', '', ''] },
      "Value '[a, , ]' at 'grantTokens' failed to satisfy constraint: Member must satisfy constraint: "
      + '[Member must have length less than or equal to 8192, Member must have length greater than or equal to 1]'],
    ['a list of enum members', { Operations: list(enumeration(['Encrypt', 'Decrypt'])) }, { Operations: ['Encrypt', 'Foo'] },
      "Value '[Encrypt, Foo]' at 'operations' failed to satisfy constraint: Member must satisfy constraint: "
      + '[Member must satisfy enum value set: [Encrypt, Decrypt]]'],
    ['a list that is too long', { ResourceOwners: list(text(), { min: 1, max: 2 }) }, { ResourceOwners: ['a', 'b', 'c'] },
      "Value '[a, b, c]' at 'resourceOwners' failed to satisfy constraint: Member must have length less than or equal to 2"],
    ['a list that is too short', { ResourceOwners: list(text(), { min: 1, max: 2 }) }, { ResourceOwners: [] },
      "Value '[]' at 'resourceOwners' failed to satisfy constraint: Member must have length greater than or equal to 1"],
    ['a null in a list of scalars', { GrantTokens: grantTokens }, { GrantTokens: ['a', null] },
      "Value '[a, null]' at 'grantTokens' failed to satisfy constraint: Member must satisfy constraint: [Member must not be null]"],
    ['a null in a list of structures', { Tags: tags }, { Tags: [null] },
      "Value null at 'tags.1.member' failed to satisfy constraint: Member must not be null"],
    ['a null in a map', { EncryptionContext: map(text(), text()) }, { EncryptionContext: { a: 'b', c: null } },
      "Value '{a=b, c=null}' at 'encryptionContext' failed to satisfy constraint: "
      + 'Map value must satisfy constraint: [Member must not be null]'],
    ['a map key', { M: map(text({ max: 1 }), text()) }, { M: { ab: 'c' } },
      "Value '{ab=c}' at 'm' failed to satisfy constraint: "
      + 'Map keys must satisfy constraint: [Member must have length less than or equal to 1]'],
    ['a member of a structure', { Outer: structure({ Inner: enumeration(['RSAES_OAEP_SHA_256']) }) }, { Outer: { Inner: 'X' } },
      "Value 'X' at 'outer.inner' failed to satisfy constraint: Member must satisfy enum value set: [RSAES_OAEP_SHA_256]"],
    ['a password', { KeyStorePassword: text({ min: 7, max: 32, sensitive: true }) }, { KeyStorePassword: 'secret' },
      "Value at 'keyStorePassword' failed to satisfy constraint: Member must have length greater than or equal to 7"],
  ])('%s', (_name, shapes, body, violation) => {
    expect(refusal(shapes, body)).toBe(one + violation)
  })

  it('names the length before the pattern, as KMS does', () => {
    expect(refusal({ KeyId: required(keyId) }, { KeyId: '' })).toBe(two
      + "Value '' at 'keyId' failed to satisfy constraint: Member must have length greater than or equal to 1; "
      + String.raw`Value '' at 'keyId' failed to satisfy constraint: Member must satisfy regular expression pattern: ^\p{ASCII}+$`)
  })

  it('names the pattern before the length where the shape says so, as STS does', () => {
    expect(refusal({ RoleArn: text({ min: 9, pattern: '[a-z]+', patternFirst: true }) }, { RoleArn: '' })).toBe(two
      + "Value '' at 'roleArn' failed to satisfy constraint: Member must satisfy regular expression pattern: [a-z]+; "
      + "Value '' at 'roleArn' failed to satisfy constraint: Member must have length greater than or equal to 9")
  })

  it('collects the violations of all members in the order of declaration', () => {
    expect(refusal(sample, { Limit: 1001, GrantTokens: [''], KeyId: 'k' })).toBe('ValidationException: 3 validation errors detected: '
      + "Value at 'plaintext' failed to satisfy constraint: Member must not be null; "
      + "Value '[]' at 'grantTokens' failed to satisfy constraint: Member must satisfy constraint: "
      + '[Member must have length less than or equal to 8192, Member must have length greater than or equal to 1]; '
      + "Value '1001' at 'limit' failed to satisfy constraint: Member must have value less than or equal to 1000")
  })

  it('names ten violations at most, so that a request of empty tags is not answered with more than it sent', () => {
    const answer = refusal({ Tags: tags }, { Tags: Array.from({ length: 1000 }, () => ({})) })
    expect(answer).toMatch(/^ValidationException: 10 validation errors detected: /)
    expect(answer.split('; ')).toHaveLength(10)
  })

  it('counts code points, not UTF-16 units', () => {
    const shapes = { T: text({ min: 3, max: 4 }) }
    expect(['😀😀', '😀😀😀', '😀😀😀😀', '😀😀😀😀😀'].map(value => refusal(shapes, { T: value }))).toEqual([
      `${one}Value '😀😀' at 't' failed to satisfy constraint: Member must have length greater than or equal to 3`,
      'accepted',
      'accepted',
      `${one}Value '😀😀😀😀😀' at 't' failed to satisfy constraint: Member must have length less than or equal to 4`,
    ])
  })

  it('matches a pattern against the whole value, anchored or not', () => {
    const shapes = { P: text({ pattern: String.raw`[\w]+` }), Q: text({ pattern: 'a|b' }) }
    expect(['default', 'default x', 'default\n'].map(value => refusal(shapes, { P: value }) === 'accepted')).toEqual([true, false, false])
    expect(['a', 'b', 'ax', 'xb'].map(value => refusal(shapes, { Q: value }) === 'accepted')).toEqual([true, true, false, false])
  })

  it('takes Java\'s six characters for white space in a pattern, not Unicode\'s', () => {
    const shapes = { D: text({ pattern: String.raw`^[a-z\s]+$` }) }
    expect(refusal(shapes, { D: 'a b\t\n\v\f\r' })).toBe('accepted')
    expect(refusal(shapes, { D: 'a\u00a0b' })).toContain('Member must satisfy regular expression pattern')
  })
})
