// Bodies as text: depth, duplicate members, names that objects have of their own, surrogates, numbers, what is no JSON, what is no
// UTF-8, what is too long. The bodies go to operations that change nothing.
import { call, either, refused, succeeds, type Case, type Expected, type Json } from './case.ts'
import type { Random } from './random.ts'
import type { World } from './world.ts'

interface Body {
  readonly operation: string
  readonly body: string | Buffer
  readonly expected: Expected
}
type Maker = (random: Random, keyId: string) => Body

const unreadable = { ...refused('SerializationException'), text: null }
const describe = (body: string | Buffer, expected: Expected): Body => ({ operation: 'DescribeKey', body, expected })
const described = (keyId: string): Expected => succeeds('DescribeKey', output => (output.KeyMetadata as Json).KeyId === keyId ? undefined : 'another key is described')
const missingKey = { ...refused('ValidationException'), text: '1 validation error detected: Value null at \'keyId\' failed to satisfy constraint: Member must not be null' }
const member = (keyId: string): string => `"KeyId":"${keyId}"`
const ownNames = ['__proto__', 'constructor', 'prototype', 'toString', 'hasOwnProperty', 'valueOf', 'then', 'toJSON', 'length', '', 'keyid', 'KEYID', 'KeyId ', '\\u0000KeyId']

/** Members around the true one, which must not matter. */
const around = (random: Random, keyId: string, other: string): string => random.chance(0.5) ? `{${member(keyId)},${other}}` : `{${other},${member(keyId)}}`

const literal = (random: Random): string => random.pick([
  'null', 'true', 'false', '0', '-0', '-1', '1e999', '-1e999', '1e-999', '0.1', '12345678901234567890123', '""', '"x"', '[]', '{}', '[[]]', '[null]', '{"":null}', '{"__proto__":null}', '"\\ud83d\\ude00"',
])

/** Something of a JSON type that KeyId is not. */
const noText = (random: Random): string => random.pick(['true', 'false', '0', '1e400', '-1.5', '[]', '{}', '["x"]', '{"KeyId":"x"}', '[null]', '{"__proto__":"x"}'])

const depths = (random: Random): number => random.weighted([[30, random.between(1, 100)], [8, random.between(100, 5_000)], [1, random.between(5_000, 70_000)]])

const makers: Readonly<Record<string, Maker>> = {
  'deep-lists-beside': (random, keyId) => {
    const depth = depths(random)
    return describe(around(random, keyId, `"x":${'['.repeat(depth)}${']'.repeat(depth)}`), described(keyId))
  },
  'deep-objects-beside': (random, keyId) => {
    const depth = depths(random)
    return describe(around(random, keyId, `"x":${'{"x":'.repeat(depth)}1${'}'.repeat(depth)}`), described(keyId))
  },
  'deep-with-an-escape': (random, keyId) => {
    const depth = depths(random)
    const lone = random.chance(0.5)
    return describe(around(random, keyId, `"x":${'[{"\\u0041":'.repeat(depth)}"\\ud83d${lone ? '' : '\\ude00'}"${'}]'.repeat(depth)}`), lone ? unreadable : described(keyId))
  },
  'deep-in-place': (random, keyId) => {
    const depth = depths(random)
    return { operation: 'Encrypt', body: `{${member(keyId)},"Plaintext":"eA==","EncryptionContext":${'{"a":'.repeat(depth)}"x"${'}'.repeat(depth)}}`, expected: depth === 1 ? succeeds('Encrypt') : refused('SerializationException') }
  },
  'deep-and-never-closed': random => describe(random.pick(['[', '{"a":', '[{"KeyId":']).repeat(depths(random)), unreadable),
  'twice-the-last-counts': (random, keyId) => describe(`{"KeyId":${random.pick(['"wrong"', '5', 'null', '[]'])},${random.chance(0.3) ? '"a":1,' : ''}${member(keyId)}}`, described(keyId)),
  'twice-the-last-is-wrong': (random, keyId) => describe(`{${member(keyId)},"KeyId":${noText(random)}}`, refused('SerializationException')),
  'twice-the-last-is-null': (_random, keyId) => describe(`{${member(keyId)},"KeyId":null}`, missingKey),
  'names-of-every-object': (random, keyId) => describe(around(random, keyId, `"${random.pick(ownNames)}":${random.chance(0.5) ? literal(random) : `{"KeyId":${literal(random)}}`}`), described(keyId)),
  'from-the-prototype': (random, keyId) => describe(`{"${random.pick(['__proto__', 'constructor', 'prototype'])}":{${member(keyId)}}}`, missingKey),
  'from-the-prototypes-prototype': (_random, keyId) => describe(`{"constructor":{"prototype":{${member(keyId)}}},"__proto__":{"__proto__":{${member(keyId)}}}}`, missingKey),
  'escaped-name': (random, keyId) => describe(`{"${[...'KeyId'].map(one => random.chance(0.5) ? one : escaped(one)).join('')}":"${[...keyId].map(one => random.chance(0.3) ? escaped(one) : one).join('')}"}`, described(keyId)),
  'lone-surrogate': (random, keyId) => {
    const lone = random.pick(['\\ud800', '\\udfff', '\\uDBFF', '\\uDC00', '\\ude00\\ud83d', 'x\\ud83dx', '\\ud83d\\ud83d\\ude00'])
    return describe(random.pick([`{"KeyId":"${lone}"}`, around(random, keyId, `"${lone}":1`), around(random, keyId, `"x":["${lone}"]`), around(random, keyId, `"x":{"y":{"${lone}":null}}`)]), unreadable)
  },
  'paired-surrogates': (random, keyId) => describe(around(random, keyId, `"\\ud83d\\ude00${random.pick(['', '\\uDBFF\\uDFFF'])}":"\\uD800\\uDC00"`), described(keyId)),
  'surrogates-as-utf8': (random, keyId) => describe(Buffer.concat([Buffer.from(`{${member(keyId)},"x":"`), Buffer.from([0xed, random.between(0xa0, 0xbf), random.between(0x80, 0xbf)]), Buffer.from('"}')]), unreadable),
  'no-utf8': (random, keyId) => describe(Buffer.concat([Buffer.from(`{${member(keyId)},"x":"`), random.pick(['ff', 'c0af', 'e28281e2', 'f4908080', '80', 'c3', 'f8888080', 'e08080'].map(hex => Buffer.from(hex, 'hex'))), Buffer.from('"}')]), unreadable),
  'byte-order-mark': (_random, keyId) => describe(`\ufeff{${member(keyId)}}`, unreadable),
  'utf16': (_random, keyId) => describe(Buffer.from(`{${member(keyId)}}`, 'utf16le'), unreadable),
  'no-object': random => describe(random.pick(['null', '"x"', '0', 'true', 'false', '1e999', ' null ']), unreadable),
  'a-list': random => describe(random.pick(['[]', '[{}]', '[null]', ' [1,2]']), { ...refused('SerializationException'), text: 'Start of list found where not expected' }),
  'no-json': (random, keyId) => describe(random.pick([
    '', ' ', '{', '}', '{}{}', `{${member(keyId)}}x`, `{${member(keyId)},}`, `{,${member(keyId)}}`, `{KeyId:"${keyId}"}`, `{'KeyId':'${keyId}'}`, `{${member(keyId)}/**/}`, `{"KeyId" "${keyId}"}`,
    `{${member(keyId)},"x":NaN}`, `{${member(keyId)},"x":Infinity}`, `{${member(keyId)},"x":undefined}`, `{${member(keyId)},"x":01}`, `{${member(keyId)},"x":+1}`, `{${member(keyId)},"x":1.}`, `{${member(keyId)},"x":.5}`,
    `{${member(keyId)},"x":0x10}`, `{${member(keyId)},"x":1n}`, `{${member(keyId)},"x":"\n"}`, `{${member(keyId)},"x":"\\x41"}`, `{${member(keyId)},"x":"\\u12"}`, `{${member(keyId)},"x":"\u0000"}`, `{${member(keyId)},"x":--1}`, '\u0000', '<xml/>', 'KeyId=x',
  ]), unreadable),
  'cut-short': (random, keyId) => describe(`{${member(keyId)},"GrantTokens":["x"]}`.slice(0, random.between(0, 40)), unreadable),
  'white-space': (random, keyId) => {
    const gap = (): string => [...random.bytes(random.length(50))].map(byte => ' \t\n\r'[byte & 3] ?? '').join('')
    return describe(`${gap()}{${gap()}"KeyId"${gap()}:${gap()}"${keyId}"${gap()}}${gap()}`, described(keyId))
  },
  'many-members': (random, keyId) => describe(around(random, keyId, Array.from({ length: random.length(10_000) + 1 }, (_, at) => `"m${at}":${at % 7}`).join(',')), described(keyId)),
  'long-member': (random, keyId) => describe(around(random, keyId, `"${'n'.repeat(random.length(20_000))}":"${'v'.repeat(random.length(100_000))}"`), described(keyId)),
  'type-of-a-number': (random, keyId) => describe(`{"KeyId":${noText(random)},"GrantTokens":null,"x":"${keyId}"}`, refused('SerializationException')),
  'number': random => {
    const text = numberText(random)
    const value = Math.trunc(Number(text))
    const expected = value >= 1 && value <= 1024
      ? succeeds('GenerateRandom', ({ Plaintext }) => Buffer.from(Plaintext as string, 'base64').length === value ? undefined : `not ${value} bytes`)
      : refused('ValidationException')
    return { operation: 'GenerateRandom', body: `{"NumberOfBytes":${text}}`, expected }
  },
  'number-as-text': random => ({ operation: 'GenerateRandom', body: `{"NumberOfBytes":"${numberText(random)}"}`, expected: refused('SerializationException') }),
  'context-with-odd-names': (random, keyId) => {
    const name = random.pick([...ownNames, '\\u2028', '\\\\', '\\"'])
    return { operation: 'Encrypt', body: `{${member(keyId)},"Plaintext":"eA==","EncryptionContext":{"${name}":"${random.pick(ownNames)}","b":"c"}}`, expected: succeeds('Encrypt') }
  },
  'context-with-values-that-are-no-texts': (random, keyId) => ({
    operation: 'Encrypt', body: `{${member(keyId)},"Plaintext":"eA==","EncryptionContext":{"a":${random.pick(['1', 'true', '[]', '{}', '1e400'])}}}`, expected: refused('SerializationException'),
  }),
  'context-with-a-null': (_random, keyId) => ({ operation: 'Encrypt', body: `{${member(keyId)},"Plaintext":"eA==","EncryptionContext":{"a":null}}`, expected: refused('ValidationException') }),
  'base64-in-other-spellings': (random, keyId) => ({
    operation: 'Encrypt', body: `{${member(keyId)},"Plaintext":"${random.pick(['eA', 'eA=', 'eA===', 'e A==', 'eA==\\n', 'eB==', '-_8=', '=', 'eA==eA==', '\\u0165A==', 'eA==\\u0000', '*'])}"}`, expected: refused('SerializationException'),
  }),
  'a-flipped-bit': (random, keyId) => {
    const body = Buffer.from(`{${member(keyId)},"GrantTokens":["token"]}`)
    const at = random.below(body.length)
    body[at] = (body[at] ?? 0) ^ (1 << random.below(8))
    return describe(body, either('DescribeKey', 'SerializationException', 'ValidationException', 'NotFoundException', 'InvalidGrantTokenException'))
  },
  'bytes': random => describe(random.bytes(random.length(2_000)), refused('SerializationException', 'ValidationException')),
}

const escaped = (letter: string): string => `\\u${letter.charCodeAt(0).toString(16).padStart(4, '0')}`

/** A number by JSON's grammar. */
function numberText(random: Random): string {
  const digits = random.weighted([[6, String(random.below(2000))], [1, '0'], [1, `${random.between(1, 9)}${String(random.bits()).repeat(random.between(1, 40))}`]])
  const fraction = random.chance(0.3) ? `.${String(random.bits()).slice(0, random.between(1, 10))}` : ''
  const exponent = random.chance(0.3) ? `${random.pick(['e', 'E'])}${random.pick(['', '+', '-'])}${random.pick(['0', '1', '2', '00', '3', '308', '400', '99999'])}` : ''
  return `${random.chance(0.2) ? '-' : ''}${digits}${fraction}${exponent}`
}

const names = Object.keys(makers)

export function jsonCase(random: Random, world: World): Case {
  // Rare: each is a megabyte.
  if (random.chance(0.0005)) return tooLong(random, world)
  const name = random.pick(names)
  const { operation, body, expected } = makers[name]?.(random, random.pick(world.open).id) ?? describe('', unreadable)
  return call(world, `json/${name}`, operation, body, expected)
}

/** The limit is 1,048,576 bytes: just within, or beyond. */
function tooLong(random: Random, world: World): Case {
  const keyId = random.pick(world.open).id
  const limit = 1_048_576
  const length = random.chance(0.5) ? limit : limit + random.between(1, 100_000)
  const start = `{${member(keyId)},"x":"`
  const body = `${start}${'x'.repeat(length - start.length - 2)}"}`
  if (length <= limit) return call(world, 'json/as-long-as-may-be', 'DescribeKey', body, described(keyId))
  return call(world, 'json/too-long', 'DescribeKey', body, { ...refused('RequestEntityTooLargeException'), protocol: 'broken' })
}
