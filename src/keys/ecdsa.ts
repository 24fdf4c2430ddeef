// ECDSA signatures: their form, and their verification over a digest. node:crypto verifies messages only, and hashes them itself: for a
// digest the equation of FIPS 186-5, 6.4.2 is put together here from OpenSSL's multiplications (docs/decisions/0020). All of it is public.
import { createECDH } from 'node:crypto'
import { curves, type Curve, type CurveName } from './curve.ts'
import { der, derInteger, tags } from './der.ts'

/** From r and s, each as long as a coordinate, to SEQUENCE { INTEGER r, INTEGER s } in its shortest form. */
export function derSignature(raw: Uint8Array): Buffer {
  const half = raw.length / 2
  return der(tags.sequence, derInteger(raw.subarray(0, half)), derInteger(raw.subarray(half)))
}

/** r and s, or undefined unless the bytes are exactly what derSignature makes of two numbers of the curve's length. */
function readSignature(signature: Buffer, bytes: number): { r: bigint; s: bigint } | undefined {
  const header = (signature[1] ?? 0) < 0x80 ? 2 : 3
  const r = readInteger(signature, header, bytes)
  const s = r === undefined ? undefined : readInteger(signature, r.end, bytes)
  if (r === undefined || s === undefined) return undefined
  // Whatever is negative, padded, too long or followed by something comes out otherwise than it went in.
  if (!derSignature(Buffer.concat([r.value, s.value])).equals(signature)) return undefined
  return { r: toNumber(r.value), s: toNumber(s.value) }
}

/** The magnitude, filled up with zeroes to `bytes`. */
function readInteger(signature: Buffer, at: number, bytes: number): { value: Buffer; end: number } | undefined {
  const end = at + 2 + (signature[at + 1] ?? 0)
  const content = signature.subarray(at + 2, end)
  if (end > signature.length || content.length === 0) return undefined
  const magnitude = content[0] === 0 ? content.subarray(1) : content
  if (magnitude.length > bytes) return undefined
  return { value: Buffer.concat([Buffer.alloc(bytes - magnitude.length), magnitude]), end }
}

/** `point`: the public key, uncompressed and known to be on the curve. `digest`: no longer than a coordinate. */
export function verifyEcdsa(name: CurveName, point: Buffer, digest: Buffer, signature: Buffer): boolean {
  const curve = curves[name]
  if (digest.length > curve.bytes) throw new RangeError('digest longer than the curve')
  const read = readSignature(signature, curve.bytes)
  if (read === undefined) return false
  const { r, s } = read
  if (r === 0n || r >= curve.n || s === 0n || s >= curve.n) return false
  // x(u1·G + u2·Q) = x(u2·(w·G + Q)) with w = u1/u2 = e/r: of the second product the x coordinate, ECDH's result, is enough.
  const w = mod(toNumber(digest) * inverse(r, curve.n), curve.n)
  const sum = w === 0n ? point : add(curve, multiplied(curve, w).getPublicKey(), point)
  if (sum === undefined) return false
  const x = multiplied(curve, mod(r * inverse(s, curve.n), curve.n)).computeSecret(sum)
  return mod(toNumber(x), curve.n) === r
}

/** `factor` in OpenSSL's hands: its product with the generator is the public key, its product with a point the shared secret. */
function multiplied({ openssl, bytes }: Curve, factor: bigint): ReturnType<typeof createECDH> {
  const ecdh = createECDH(openssl)
  ecdh.setPrivateKey(toBytes(factor, bytes))
  return ecdh
}

/** The sum of two uncompressed points, or undefined for the point at infinity. */
function add({ p, a, bytes }: Curve, left: Buffer, right: Buffer): Buffer | undefined {
  const [x1, y1] = coordinates(left, bytes)
  const [x2, y2] = coordinates(right, bytes)
  if (x1 === x2 && y1 !== y2) return undefined
  const slope = x1 === x2 ? mod((3n * x1 * x1 + a) * inverse(2n * y1, p), p) : mod((y2 - y1) * inverse(mod(x2 - x1, p), p), p)
  const x = mod(slope * slope - x1 - x2, p)
  return Buffer.concat([Buffer.from([4]), toBytes(x, bytes), toBytes(mod(slope * (x1 - x) - y1, p), bytes)])
}

const coordinates = (point: Buffer, bytes: number): readonly [x: bigint, y: bigint] => [toNumber(point.subarray(1, 1 + bytes)), toNumber(point.subarray(1 + bytes))]

const toNumber = (bytes: Buffer): bigint => BigInt(`0x${bytes.toString('hex')}`)
const toBytes = (value: bigint, bytes: number): Buffer => Buffer.from(value.toString(16).padStart(2 * bytes, '0'), 'hex')
const mod = (value: bigint, modulus: bigint): bigint => ((value % modulus) + modulus) % modulus

/** By Euclid's algorithm; `value` and `modulus` have no common divisor. */
function inverse(value: bigint, modulus: bigint): bigint {
  let [before, now] = [modulus, mod(value, modulus)]
  let [factorBefore, factor] = [0n, 1n]
  while (now !== 0n) {
    const quotient = before / now
    ;[before, now] = [now, before - quotient * now]
    ;[factorBefore, factor] = [factor, factorBefore - quotient * factor]
  }
  return mod(factorBefore, modulus)
}
