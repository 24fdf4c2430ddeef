import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { KmsError } from '../../src/errors.ts'
import { cipherModes, ciphertextAad, encodeHeader, headerBytes, invalidCiphertext, parseCiphertext, tagBytes, type CipherMode, type CiphertextHeader } from '../../src/keys/ciphertext.ts'
import { encodeContext } from '../../src/keys/context.ts'
import { keyIdBytes, keyIdFromBytes } from '../../src/keys/identifier.ts'

interface Golden {
  readonly name: string
  readonly mode: CipherMode
  readonly multiRegion: boolean
  readonly keyId: string
  readonly materialId: string
  readonly backing: number
  readonly iv: string
  readonly context: [string, string][]
  readonly header: string
  readonly aad: string
  readonly key?: string
  readonly plaintext?: string
  readonly blob?: string
}

const golden = (JSON.parse(readFileSync(new URL('./golden/v1.json', import.meta.url), 'utf8')) as { cases: Golden[] }).cases
const hex = (text = ''): Buffer => Buffer.from(text, 'hex')

const bytes = (length: number): fc.Arbitrary<Buffer> => fc.uint8Array({ minLength: length, maxLength: length }).map(one => Buffer.from(one))
const anyHeader: fc.Arbitrary<CiphertextHeader> = fc.constantFrom<CipherMode>('direct', 'derived', 'direct16').chain(mode => fc.record({
  mode: fc.constant(mode), multiRegion: fc.boolean(), keyId: bytes(16), materialId: bytes(32), backing: fc.nat({ max: 0xffffffff }), iv: bytes(cipherModes[mode].ivBytes),
}))
const anySealed = fc.uint8Array({ minLength: 1 + tagBytes, maxLength: 200 }).map(one => Buffer.from(one))

const header: CiphertextHeader = { mode: 'direct', multiRegion: false, keyId: Buffer.alloc(16, 1), materialId: Buffer.alloc(32, 2), backing: 1, iv: Buffer.alloc(12, 3) }
const blob = Buffer.concat([encodeHeader(header), Buffer.alloc(1 + tagBytes, 4)])

/** Everything that cannot be read is the same error, without any text. */
function refused(bad: Buffer): void {
  let thrown: unknown
  try {
    parseCiphertext(bad)
  } catch (error) {
    thrown = error
  }
  expect(thrown).toBeInstanceOf(KmsError)
  expect(thrown).toMatchObject({ code: 'InvalidCiphertextException', text: undefined })
}

describe('golden file of version 1', () => {
  it.each(golden)('$name: header and AAD are byte for byte as they were', one => {
    const encoded = encodeHeader({ mode: one.mode, multiRegion: one.multiRegion, keyId: keyIdBytes(one.keyId), materialId: hex(one.materialId), backing: one.backing, iv: hex(one.iv) })
    expect(encoded.toString('hex')).toBe(one.header)
    expect(ciphertextAad(encoded, encodeContext(new Map(one.context))).toString('hex')).toBe(one.aad)
  })

  it.each(golden.filter(one => one.blob !== undefined))('$name: node:crypto opens the stored blob with its key', one => {
    const parsed = parseCiphertext(hex(one.blob))
    expect(keyIdFromBytes(parsed.header.keyId, parsed.header.multiRegion)).toBe(one.keyId)
    expect(parsed.header.materialId.toString('hex')).toBe(one.materialId)
    expect(parsed.header.backing).toBe(one.backing)
    const decipher = createDecipheriv('aes-256-gcm', hex(one.key), parsed.header.iv)
    decipher.setAAD(ciphertextAad(parsed.headerBytes, encodeContext(new Map(one.context)))).setAuthTag(parsed.sealed.subarray(-tagBytes))
    expect(Buffer.concat([decipher.update(parsed.sealed.subarray(0, -tagBytes)), decipher.final()]).toString()).toBe(one.plaintext)
  })

  it('holds all modes and at least one blob', () => {
    expect(new Set(golden.map(({ mode }) => mode))).toEqual(new Set(['direct', 'derived', 'direct16']))
    expect(golden.filter(one => one.blob !== undefined).length).toBeGreaterThan(0)
  })
})

describe('encodeHeader', () => {
  it('is 67 bytes in direct mode and 71 in derived mode, so that header and tag stay under 100', () => {
    expect([headerBytes('direct'), headerBytes('derived')]).toEqual([67, 71])
    expect(encodeHeader(header)).toHaveLength(67)
    expect(encodeHeader({ ...header, mode: 'derived', iv: Buffer.alloc(16) })).toHaveLength(71)
    expect(headerBytes('derived') + tagBytes).toBeLessThan(100)
  })

  it.each([
    ['a key id of 15 bytes', { ...header, keyId: Buffer.alloc(15) }],
    ['a material id of 33 bytes', { ...header, materialId: Buffer.alloc(33) }],
    ['the IV of the other mode', { ...header, iv: Buffer.alloc(16) }],
    ['the nonce of the other mode', { ...header, mode: 'derived' as const }],
  ])('refuses %s', (_what, wrong) => {
    expect(() => encodeHeader(wrong)).toThrow(new RangeError('ciphertext header'))
  })

  it('refuses a backing number that does not fit 32 bits', () => {
    expect(() => encodeHeader({ ...header, backing: 2 ** 32 })).toThrow(RangeError)
  })
})

describe('parseCiphertext', () => {
  it('gives back header and sealed part of whatever was encoded', () => {
    fc.assert(fc.property(anyHeader, anySealed, (given, sealed) => {
      const encoded = encodeHeader(given)
      const parsed = parseCiphertext(Buffer.concat([encoded, sealed]))
      expect(parsed.header).toEqual(given)
      expect(parsed.headerBytes).toEqual(encoded)
      expect(parsed.sealed).toEqual(sealed)
    }))
  })

  it('throws nothing but InvalidCiphertextException, and reads nothing that is not canonical', () => {
    const hostile = fc.oneof(fc.uint8Array({ maxLength: 300 }), fc.tuple(anyHeader, fc.uint8Array({ maxLength: 60 }), fc.nat({ max: 70 }), fc.nat({ max: 255 })).map(([given, tail, at, value]) => {
      const made = Buffer.concat([encodeHeader(given), tail])
      if (at < made.length) made[at] = value
      return made
    }))
    fc.assert(fc.property(hostile, given => {
      const made = Buffer.from(given)
      try {
        const parsed = parseCiphertext(made)
        expect(encodeHeader(parsed.header)).toEqual(parsed.headerBytes)
        expect(Buffer.concat([parsed.headerBytes, parsed.sealed])).toEqual(made)
        expect(parsed.sealed.length).toBeGreaterThan(tagBytes)
      } catch (thrown) {
        expect(thrown).toMatchObject({ name: 'KmsError', code: 'InvalidCiphertextException' })
      }
    }), { numRuns: 1000 })
  })

  it.each([0, 2, 255])('refuses version %i', version => { refused(with1(0, version)) })
  it.each([0, 4, 255])('refuses mode %i', mode => { refused(with1(1, mode)) })
  it.each([2, 3, 128, 255])('refuses flags %i', flags => { refused(with1(2, flags)) })

  it('refuses every blob that is cut off before the tag is whole', () => {
    for (let length = 0; length < blob.length; length++) refused(blob.subarray(0, length))
    expect(parseCiphertext(blob).sealed).toHaveLength(1 + tagBytes)
  })

  it('refuses the shortest direct blob as a derived one: its nonce is 4 bytes longer', () => {
    refused(with1(1, cipherModes.derived.code))
  })

  function with1(at: number, value: number): Buffer {
    const changed = Buffer.from(blob)
    changed[at] = value
    return changed
  }
})

describe('ciphertextAad', () => {
  it('covers every byte of the header: a blob that names another material does not open, even under the right key', () => {
    const key = randomBytes(32)
    const sealed = createCipheriv('aes-256-gcm', key, header.iv)
    sealed.setAAD(ciphertextAad(encodeHeader(header), encodeContext(undefined)))
    const whole = Buffer.concat([encodeHeader(header), sealed.update('secret'), sealed.final(), sealed.getAuthTag()])
    const opens = (candidate: Buffer): boolean => {
      const parsed = parseCiphertext(candidate)
      const decipher = createDecipheriv('aes-256-gcm', key, parsed.header.iv)
      decipher.setAAD(ciphertextAad(parsed.headerBytes, encodeContext(undefined))).setAuthTag(parsed.sealed.subarray(-tagBytes))
      try {
        decipher.update(parsed.sealed.subarray(0, -tagBytes))
        decipher.final()
        return true
      } catch {
        return false
      }
    }
    expect(opens(whole)).toBe(true)
    // Version, mode and flags but one have a single value that parses; key id, material id, backing number and IV are free.
    for (let at = 2; at < headerBytes('direct'); at++) {
      const changed = Buffer.from(whole)
      changed[at] = (changed[at] ?? 0) ^ 1
      expect(opens(changed), `byte ${at}`).toBe(false)
    }
  })

  /** The IV is not in the AAD: the cipher depends on it anyway, and a token that makes its own tells it only afterwards. */
  const beforeIv = (given: CiphertextHeader): Buffer => encodeHeader(given).subarray(0, 55)

  it('tells header from context: no two pairs of them give the same bytes', () => {
    const contexts = fc.dictionary(fc.string(), fc.string(), { maxKeys: 3 }).map(plain => new Map(Object.entries(plain)))
    fc.assert(fc.property(anyHeader, anyHeader, contexts, contexts, (h1, h2, c1, c2) => {
      const [one, other] = [ciphertextAad(encodeHeader(h1), encodeContext(c1)), ciphertextAad(encodeHeader(h2), encodeContext(c2))]
      expect(one.equals(other)).toBe(beforeIv(h1).equals(beforeIv(h2)) && encodeContext(c1).equals(encodeContext(c2)))
    }))
  })
})

describe('invalidCiphertext', () => {
  it('has AWS\'s code, status 400 and no text', () => {
    expect(invalidCiphertext()).toMatchObject({ code: 'InvalidCiphertextException', status: 400, text: undefined })
  })
})
