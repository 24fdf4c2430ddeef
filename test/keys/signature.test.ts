// Verification over digests and the form of ECDSA signatures, against node:crypto, which verifies messages: the two must never differ.
import { constants, createECDH, createHash, generateKeyPairSync, privateEncrypt, publicEncrypt, sign, type KeyObject } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { curves, type CurveName } from '../../src/keys/curve.ts'
import { der, derInteger, tags } from '../../src/keys/der.ts'
import { derSignature } from '../../src/keys/ecdsa.ts'
import { pointOf, readPublicKey, type PublicKey } from '../../src/keys/public-key.ts'
import { digestInfo } from '../../src/keys/rsa-signature.ts'
import { verifyMessage, verifySigned } from '../../src/keys/signature.ts'
import { digestSigning, type DigestSigning, type KeySpecName } from '../../src/keys/spec.ts'

const ecSpecs = [['ECC_NIST_P256', 'P-256', 'ECDSA_SHA_256'], ['ECC_NIST_P384', 'P-384', 'ECDSA_SHA_384'], ['ECC_NIST_P521', 'P-521', 'ECDSA_SHA_512'], ['ECC_SECG_P256K1', 'secp256k1', 'ECDSA_SHA_256']] as const
const rsaAlgorithms = (Object.keys(digestSigning) as DigestSigning[]).filter(name => digestSigning[name].scheme !== 'ecdsa')

interface Pair { readonly publicKey: PublicKey; readonly privateKey: KeyObject }

function pairOf({ publicKey, privateKey }: { publicKey: KeyObject; privateKey: KeyObject }): Pair {
  const read = readPublicKey(publicKey.export({ type: 'spki', format: 'der' }))
  if (read === undefined) throw new Error('no public key')
  return { publicKey: read, privateKey }
}
const ecPair = (curve: CurveName): Pair => pairOf(generateKeyPairSync('ec', { namedCurve: curves[curve].openssl }))

/** Both ways of verifying, which must agree. */
function verified(spec: KeySpecName, publicKey: PublicKey, algorithm: DigestSigning, message: Buffer, signature: Buffer): boolean {
  const byMessage = verifyMessage(publicKey, algorithm, message, signature)
  const digest = createHash(digestSigning[algorithm].hash).update(message).digest()
  expect(verifySigned(spec, publicKey, algorithm, digest, signature), signature.toString('hex')).toBe(byMessage)
  return byMessage
}

const number = (bytes: Buffer): bigint => BigInt(`0x${bytes.toString('hex')}`)
const bytesOf = (value: bigint): Buffer => Buffer.from(value.toString(16).padStart(Math.ceil(value.toString(16).length / 2) * 2, '0'), 'hex')
const sequence = (...parts: Buffer[]): Buffer => der(tags.sequence, ...parts)

describe.each(ecSpecs)('ECDSA with %s', (spec, curve, algorithm) => {
  const { publicKey, privateKey } = ecPair(curve)
  const { hash } = digestSigning[algorithm]
  const { bytes, n } = curves[curve]
  const rawOf = (message: Buffer): Buffer => sign(hash, message, { key: privateKey, dsaEncoding: 'ieee-p1363' })

  it('verifies what node:crypto signs, by message and by digest, and brings r and s into the form that it gives', () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), data => {
      const message = Buffer.from(data)
      const raw = rawOf(message)
      expect(verified(spec, publicKey, algorithm, message, derSignature(raw))).toBe(true)
      const given = sign(hash, message, privateKey)
      expect(verified(spec, publicKey, algorithm, message, given)).toBe(true)
      // The other way round: out of DER and into it again.
      const rLength = given[given[1] === 0x81 ? 4 : 3] ?? 0
      const header = given[1] === 0x81 ? 5 : 4
      const r = given.subarray(header, header + rLength)
      const s = given.subarray(header + rLength + 2)
      const filled = (part: Buffer): Buffer => Buffer.concat([Buffer.alloc(Math.max(0, bytes - part.length)), part.subarray(Math.max(0, part.length - bytes))])
      expect(derSignature(Buffer.concat([filled(r), filled(s)]))).toEqual(given)
    }), { numRuns: curve === 'P-521' ? 60 : 150 })
  })

  it('refuses every signature with one bit changed, another message, another key', () => {
    const message = Buffer.from('message')
    const signature = derSignature(rawOf(message))
    for (const at of signature.keys()) {
      const changed = Buffer.from(signature)
      changed[at] = (changed[at] ?? 0) ^ (1 << (at % 8))
      expect(verified(spec, publicKey, algorithm, message, changed)).toBe(false)
    }
    expect(verified(spec, publicKey, algorithm, Buffer.from('massage'), signature)).toBe(false)
    expect(verified(spec, ecPair(curve).publicKey, algorithm, message, signature)).toBe(false)
  })

  it('refuses numbers that are padded, negative, oversized, zero or missing, and whatever stands around them', () => {
    const message = Buffer.from('message')
    const raw = rawOf(message)
    const [r, s] = [raw.subarray(0, bytes), raw.subarray(bytes)]
    const integer = (content: Buffer): Buffer => der(tags.integer, content)
    const padded = (part: Buffer): Buffer => integer(Buffer.concat([Buffer.alloc(2), part]))
    const negative = (part: Buffer): Buffer => integer(Buffer.concat([Buffer.from([(part[0] ?? 0) | 0x80]), part.subarray(1)]))
    const [R, S] = [derInteger(r), derInteger(s)]
    const whole = sequence(R, S)
    const content = whole.subarray(whole[1] === 0x81 ? 3 : 2)
    expect(verified(spec, publicKey, algorithm, message, whole)).toBe(true)
    const wrong: Buffer[] = [
      sequence(padded(r), S), sequence(R, padded(s)), sequence(negative(r), S), sequence(R, negative(s)),
      sequence(derInteger(bytesOf(number(r) + n)), S), sequence(R, derInteger(bytesOf(number(s) + n))), sequence(R, derInteger(bytesOf(n))), sequence(derInteger(bytesOf(n)), S),
      sequence(derInteger(Buffer.alloc(1)), S), sequence(R, derInteger(Buffer.alloc(1))), sequence(derInteger(Buffer.alloc(1)), derInteger(Buffer.alloc(1))),
      sequence(integer(Buffer.alloc(0)), S), sequence(R, integer(Buffer.alloc(0))), sequence(R), sequence(), sequence(R, S, R), sequence(S, R),
      sequence(derInteger(Buffer.alloc(200, 0x7f)), S), sequence(derInteger(bytesOf(number(r) + 2n ** 600n)), S),
      Buffer.concat([whole, Buffer.alloc(1)]), whole.subarray(0, -1), whole.subarray(1), Buffer.alloc(0), Buffer.from([0x30]), Buffer.from([0x30, 0x80]), raw,
      // Lengths that say the same at greater length, and the indefinite one.
      Buffer.concat([Buffer.from([0x30, 0x82, 0, content.length]), content]), Buffer.concat([Buffer.from([0x30, 0x80]), content, Buffer.alloc(2)]),
      Buffer.concat([Buffer.from([0x31, ...whole.subarray(1, whole.length - content.length)]), content]),
    ]
    for (const signature of wrong) expect(verified(spec, publicKey, algorithm, message, signature), signature.toString('hex')).toBe(false)
    // n - s signs as well as s: ECDSA is so, and AWS does not ask for the smaller one.
    expect(verified(spec, publicKey, algorithm, message, sequence(R, derInteger(bytesOf(n - number(s)))))).toBe(true)
  })

  it('holds no made-up bytes for a signature, and throws at none', () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 160 }), data => {
      expect(verified(spec, publicKey, algorithm, Buffer.from('m'), Buffer.from(data))).toBe(false)
    }), { numRuns: 200 })
  })

  it('takes the digests at the ends', () => {
    const point = pointOf(curve, publicKey.spki)
    expect(point).toHaveLength(1 + 2 * bytes)
    for (const digest of [Buffer.alloc(digestSigning[algorithm].digestBytes), Buffer.alloc(digestSigning[algorithm].digestBytes, 0xff)]) {
      const { r, s } = signDigest(curve, privateKey, digest)
      expect(verifySigned(spec, publicKey, algorithm, digest, sequence(derInteger(bytesOf(r)), derInteger(bytesOf(s))))).toBe(true)
      expect(verifySigned(spec, publicKey, algorithm, digest, sequence(derInteger(bytesOf(r)), derInteger(bytesOf(s + 1n))))).toBe(false)
    }
  })
})

/** ECDSA with the nonce 1, whose r is the generator's x coordinate: for digests that no message is known to have. */
function signDigest(curve: CurveName, privateKey: KeyObject, digest: Buffer): { r: bigint; s: bigint } {
  const { n } = curves[curve]
  const generator = { 'P-256': '6b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296', 'P-384': 'aa87ca22be8b05378eb1c71ef320ad746e1d3b628ba79b9859f741e082542a385502f25dbf55296c3a545e3872760ab7',
    'P-521': '00c6858e06b70404e9cd9e3ecb662395b4429c648139053fb521f828af606b4d3dbaa14b5e77efe75928fe1dc127a2ffa8de3348b3c1856a429bf97e7e31c2e5bd66', secp256k1: '79be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798' }[curve]
  const d = number(Buffer.from(privateKey.export({ format: 'jwk' }).d ?? '', 'base64url'))
  const r = BigInt(`0x${generator}`) % n
  return { r, s: (number(digest) + r * d) % n }
}

describe.each([2048, 3072] as const)('RSA of %i bits', bits => {
  const { publicKey, privateKey } = pairOf(generateKeyPairSync('rsa', { modulusLength: bits }))
  const spec = `RSA_${bits}` as const
  const optionsOf = (algorithm: DigestSigning, saltLength: number = constants.RSA_PSS_SALTLEN_DIGEST) => digestSigning[algorithm].scheme === 'pss'
    ? { key: privateKey, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength } : { key: privateKey, padding: constants.RSA_PKCS1_PADDING }

  it.each(rsaAlgorithms)('%s: by message and by digest alike, for good signatures and for changed ones', algorithm => {
    const { hash } = digestSigning[algorithm]
    for (const length of [0, 1, 100, 4096]) {
      const message = Buffer.alloc(length, 'text')
      const signature = sign(hash, message, optionsOf(algorithm))
      expect(verified(spec, publicKey, algorithm, message, signature)).toBe(true)
      expect(verified(spec, publicKey, algorithm, Buffer.concat([message, Buffer.alloc(1)]), signature)).toBe(false)
      for (let at = 0; at < signature.length; at += 37) {
        const changed = Buffer.from(signature)
        changed[at] = (changed[at] ?? 0) ^ 1
        expect(verified(spec, publicKey, algorithm, message, changed)).toBe(false)
      }
      for (const wrong of [signature.subarray(1), signature.subarray(0, -1), Buffer.concat([signature, Buffer.alloc(1)]), Buffer.concat([Buffer.alloc(1), signature]), Buffer.alloc(0), Buffer.alloc(bits / 8), Buffer.alloc(bits / 8, 0xff)]) {
        expect(verified(spec, publicKey, algorithm, message, wrong)).toBe(false)
      }
      for (const other of rsaAlgorithms.filter(one => one !== algorithm)) expect(verified(spec, publicKey, other, message, signature)).toBe(false)
    }
  })

  it.each(rsaAlgorithms.filter(one => digestSigning[one].scheme === 'pss'))('%s: a signature that begins with a zero is not one without it', algorithm => {
    const message = Buffer.from('message')
    let signature: Buffer
    // Each salt makes another signature: one in 256.
    do signature = sign(digestSigning[algorithm].hash, message, optionsOf(algorithm)); while (signature[0] !== 0)
    expect(verified(spec, publicKey, algorithm, message, signature)).toBe(true)
    expect(verified(spec, publicKey, algorithm, message, signature.subarray(1))).toBe(false)
  })

  it('PSS wants a salt as long as the digest', () => {
    const message = Buffer.from('message')
    for (const algorithm of rsaAlgorithms.filter(one => digestSigning[one].scheme === 'pss')) {
      const { hash, digestBytes } = digestSigning[algorithm]
      for (const saltLength of [0, 20, digestBytes - 1, digestBytes + 1]) expect(verified(spec, publicKey, algorithm, message, sign(hash, message, optionsOf(algorithm, saltLength)))).toBe(false)
    }
  })

  it('PKCS #1 takes one encoding: no other padding, no NULL left out, nothing behind the digest', () => {
    const message = Buffer.from('message')
    const digest = createHash('sha256').update(message).digest()
    const info = digestInfo('sha256', digest)
    const k = bits / 8
    const encoded = (padding: Buffer, ...rest: Buffer[]): Buffer => Buffer.concat([Buffer.from([0, 1]), padding, Buffer.from([0]), ...rest])
    const signed = (em: Buffer): Buffer => privateEncrypt({ key: privateKey, padding: constants.RSA_NO_PADDING }, em)
    expect(verified(spec, publicKey, 'RSASSA_PKCS1_V1_5_SHA_256', message, signed(encoded(Buffer.alloc(k - info.length - 3, 0xff), info)))).toBe(true)
    const withoutNull = Buffer.concat([Buffer.from('302f300b0609608648016503040201', 'hex'), Buffer.from('0420', 'hex'), digest])
    for (const em of [
      // Bleichenbacher's forgery of 2006: the rest of the number behind the digest.
      encoded(Buffer.alloc(8, 0xff), info, Buffer.alloc(k - info.length - 11, 7)),
      encoded(Buffer.alloc(k - withoutNull.length - 3, 0xff), withoutNull),
      encoded(Buffer.alloc(k - info.length - 3, 0xfe), info),
      Buffer.concat([Buffer.from([0, 2]), Buffer.alloc(k - info.length - 3, 0xff), Buffer.from([0]), info]),
      encoded(Buffer.alloc(k - digest.length - 3, 0xff), digest),
    ]) expect(verified(spec, publicKey, 'RSASSA_PKCS1_V1_5_SHA_256', message, signed(em))).toBe(false)
    expect(publicEncrypt({ key: publicKey.key, padding: constants.RSA_NO_PADDING }, Buffer.alloc(k, 1))).toHaveLength(k)
  })
})

describe.each(Object.entries(curves))('the constants of %s', (_, { openssl, bytes, p, a, n }) => {
  const times = (factor: bigint): Buffer => {
    const ecdh = createECDH(openssl)
    ecdh.setPrivateKey(Buffer.from(factor.toString(16).padStart(2 * bytes, '0'), 'hex'))
    return ecdh.getPublicKey()
  }

  it('n is the order of the generator, p the field, a the coefficient', () => {
    const [one, last] = [times(1n), times(n - 1n)]
    expect(() => times(n)).toThrow(RangeError)
    expect(last.subarray(1, 1 + bytes)).toEqual(one.subarray(1, 1 + bytes))
    expect(number(last.subarray(1 + bytes)) + number(one.subarray(1 + bytes))).toBe(p)
    // Two points of the curve agree on b.
    const b = (point: Buffer): bigint => {
      const [x, y] = [number(point.subarray(1, 1 + bytes)), number(point.subarray(1 + bytes))]
      return (((y * y - x ** 3n - a * x) % p) + p) % p
    }
    expect(b(times(2n))).toBe(b(one))
    expect(b(times(3n))).toBe(b(one))
  })
})

describe('pointOf', () => {
  const { publicKey: { spki }, privateKey } = ecPair('P-256')

  it('gives the point of a key of its curve, and of no other SPKI', () => {
    expect(pointOf('P-256', spki)).toEqual(spki.subarray(-65))
    for (const other of ['P-384', 'P-521', 'secp256k1'] as const) {
      expect(pointOf(other, spki)).toBeUndefined()
      expect(pointOf('P-256', ecPair(other).publicKey.spki)).toBeUndefined()
    }
    expect(pointOf('P-256', pairOf(generateKeyPairSync('rsa', { modulusLength: 2048 })).publicKey.spki)).toBeUndefined()
  })

  it('refuses what is off the curve, at infinity, compressed, cut or followed by anything', () => {
    const off = Buffer.from(spki)
    off[off.length - 1] = (off.at(-1) ?? 0) ^ 1
    const header = spki.subarray(0, -65)
    const wrong = [
      off, Buffer.concat([header, Buffer.from([4]), Buffer.alloc(64)]), Buffer.concat([header, Buffer.from([4]), Buffer.alloc(64, 0xff)]),
      Buffer.from('3019301306072a8648ce3d020106082a8648ce3d03010703020000', 'hex'), Buffer.concat([header, Buffer.from([0]), Buffer.alloc(64)]),
      Buffer.concat([spki, Buffer.alloc(1)]), spki.subarray(0, -1), spki.subarray(1), spki.subarray(-65), Buffer.alloc(0),
      Buffer.concat([header, Buffer.from([6]), spki.subarray(-64)]), privateKey.export({ type: 'pkcs8', format: 'der' }),
    ]
    for (const one of wrong) expect(pointOf('P-256', one), one.toString('hex')).toBeUndefined()
  })
})
