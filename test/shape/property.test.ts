import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { KmsError } from '../../src/errors.ts'
import { compile } from '../../src/shape/parse.ts'
import { blob, boolean, enumeration, integer, list, map, required, structure, text, timestamp } from '../../src/shape/shape.ts'
import type { ScalarShape, Shape, Shapes } from '../../src/shape/shape.ts'

const members = ['KeyId', 'Plaintext', 'Tags', 'EncryptionContext', 'Limit'] as const
const names = [...members, '__proto__', 'constructor', 'toString'] as const
const bounds = fc.record({ min: fc.integer({ min: 0, max: 3 }), max: fc.integer({ min: 3, max: 8 }) }, { requiredKeys: [] })
const patterns = fc.constantFrom(String.raw`^\p{ASCII}+$`, '[a-z]*', String.raw`[\u0020-\u00FF]*`)
const textShape = fc.record({ bounds, pattern: fc.option(patterns, { nil: undefined }), sensitive: fc.boolean() })
  .map(({ bounds, pattern, sensitive }) => text({ ...bounds, sensitive, ...(pattern === undefined ? {} : { pattern }) }))
const scalar: fc.Arbitrary<ScalarShape> = fc.oneof(
  textShape,
  bounds.map(blob),
  bounds.map(integer),
  fc.constant(boolean()),
  fc.constant(timestamp()),
  fc.constant(enumeration(['A', 'B'])),
)

function shapesOf(shape: fc.Arbitrary<Shape>): fc.Arbitrary<Shapes> {
  return fc.dictionary(fc.constantFrom(...members), fc.oneof(shape, shape.map(inner => required(inner))))
}

const flat: fc.Arbitrary<Shape> = fc.oneof(scalar, fc.tuple(textShape, textShape).map(([key, value]) => map(key, value)))
const nested: fc.Arbitrary<Shape> = fc.oneof(
  flat,
  fc.tuple(scalar, bounds).map(([member, size]) => list(member, size)),
  shapesOf(flat).map(members => structure(members)),
  fc.tuple(shapesOf(flat), bounds).map(([members, size]) => list(structure(members), size)),
)

const leaf = fc.oneof(
  fc.constantFrom<unknown>(null, true, false, 0, -1, 1.5, 1e300, '', 'A', 'AAAA', 'AAA', 'a\ud800', '😀'),
  fc.string({ unit: 'binary' }),
  fc.double(),
  fc.base64String(),
)
const json = fc.letrec<{ value: unknown }>(tie => ({
  value: fc.oneof(
    { depthSize: 'small' },
    leaf,
    fc.array(tie('value'), { maxLength: 4 }),
    fc.dictionary(fc.oneof(fc.constantFrom(...names), fc.string()), tie('value'), { maxKeys: 6 }),
  ),
})).value

/** undefined when parsed; else the error, which must be one of the two that a client may see. */
function refusal(shapes: Shapes, body: Uint8Array): KmsError | undefined {
  try {
    compile(shapes).parse(body)
    return undefined
  } catch (error) {
    if (error instanceof KmsError && (error.code === 'SerializationException' || error.code === 'ValidationException')) return error
    throw error
  }
}

describe('whatever the shapes', () => {
  it('any JSON value parses, or is refused as SerializationException or ValidationException', () => {
    fc.assert(fc.property(shapesOf(nested), json, (shapes, value) => {
      const error = refusal(shapes, Buffer.from(JSON.stringify(value)))
      if (error?.code !== 'ValidationException') return
      expect(error.text).toMatch(/^(1 validation error|([2-9]|10) validation errors) detected: Value/)
    }), { numRuns: 3000 })
  })

  it('any bytes parse, or are refused as SerializationException or ValidationException', () => {
    fc.assert(fc.property(shapesOf(nested), fc.uint8Array({ maxLength: 40 }), (shapes, bytes) => {
      refusal(shapes, bytes)
    }), { numRuns: 1000 })
  })

  it('any blob comes back as the bytes that were encoded, and any other text is refused', () => {
    const { parse } = compile({ Blob: blob() })
    fc.assert(fc.property(fc.uint8Array({ maxLength: 300 }), bytes => {
      expect(parse(Buffer.from(JSON.stringify({ Blob: Buffer.from(bytes).toString('base64') }))).Blob).toEqual(Buffer.from(bytes))
    }))
    const nearly = fc.oneof(fc.string({ unit: 'binary' }), fc.stringMatching(/^[A-Za-z0-9+/]{0,6}={0,2}$/))
    fc.assert(fc.property(nearly, value => {
      const error = refusal({ Blob: blob() }, Buffer.from(JSON.stringify({ Blob: value })))
      expect(error === undefined).toBe(/^([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}[AEIMQUYcgkosw048]=|[A-Za-z0-9+/][AQgw]==)?$/.test(value))
    }))
  })

  it('any map of well-formed strings comes back unchanged', () => {
    const { parse } = compile({ EncryptionContext: map(text(), text()) })
    const wellFormed = fc.string({ unit: 'binary' })
    fc.assert(fc.property(fc.array(fc.tuple(fc.oneof(wellFormed, fc.constantFrom(...names)), wellFormed)), pairs => {
      const context = new Map(pairs)
      const members = [...context].map(([key, value]) => `${JSON.stringify(key)}:${JSON.stringify(value)}`)
      const read = parse(Buffer.from(`{"EncryptionContext":{${members.join(',')}}}`)).EncryptionContext
      expect(new Map(read)).toEqual(context)
    }))
  })

  it('a value that is hidden never stands in an error', () => {
    const secret = { Plaintext: blob({ max: 2, sensitive: true }), Password: text({ max: 2, pattern: '[a-z]+', sensitive: true }) }
    fc.assert(fc.property(fc.stringMatching(/^Q[A-Z0-9]{6,30}Q$/), value => {
      const error = refusal(secret, Buffer.from(JSON.stringify({ Plaintext: Buffer.from(value).toString('base64'), Password: value })))
      expect(error?.message).toContain('3 validation errors')
      expect(error?.message).not.toContain(value)
      expect(error?.message).not.toContain(Buffer.from(value).toString('base64'))
    }))
  })
})
