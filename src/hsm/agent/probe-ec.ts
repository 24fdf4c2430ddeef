// The probe's rows of elliptic curves: ECDSA, ECDH, Ed25519. Each is checked against OpenSSL with the point that the token tells.
import { createHash, createPublicKey, diffieHellman, generateKeyPairSync, verify, type KeyObject } from 'node:crypto'
import type { Handle, KeyPair } from 'pkcs11js'
import pkcs11 from 'pkcs11js'
import { ed25519 } from '../../keys/curve.ts'
import { unwrappedCurve } from './key-template.ts'
import { curves, ed25519phAnswer, sample } from './known-answers.ts'
import { newer, newerKeyTypes } from './newer.ts'
import { WrongAnswer, type ProbeBench } from './probe-bench.ts'
import { ecdhMechanism } from './probe-mechanism.ts'
import { mechanisms, type Attributes } from './template.ts'

type CurveName = keyof typeof curves

const privateEc: Attributes = { CLASS: pkcs11.CKO_PRIVATE_KEY, KEY_TYPE: pkcs11.CKK_EC }
const privateEdwards: Attributes = { CLASS: pkcs11.CKO_PRIVATE_KEY, KEY_TYPE: newerKeyTypes.EC_EDWARDS }
const uncompressed = 4

export function probeCurve(bench: ProbeBench, name: CurveName): void {
  const { oid, bytes, hash } = curves[name]
  const makePair = (use: Attributes): KeyPair => bench.generatePair({ mechanism: pkcs11.CKM_EC_KEY_PAIR_GEN }, { VERIFY: true, EC_PARAMS: oid }, use)
  const signing = [pkcs11.CKM_EC_KEY_PAIR_GEN, pkcs11.CKM_ECDSA]
  const checkSignature = (handle: Handle, publicKey: KeyObject): void => {
    const signature = bench.session.sign({ mechanism: pkcs11.CKM_ECDSA }, handle, createHash(hash).update(sample).digest(), 2 * bytes)
    if (!verify(hash, sample, { key: publicKey, dsaEncoding: 'ieee-p1363' }, signature)) throw new WrongAnswer('OpenSSL does not verify it')
  }
  const makes = bench.row(`ec-${name}`, signing, () => {
    const { publicKey, privateKey } = makePair({ SIGN: true, EXTRACTABLE: false })
    const { key, encoding } = pointOf(bench, publicKey, name)
    checkSignature(privateKey, key)
    return encoding
  })
  bench.row(`wrap-ec-${name}`, signing, () => {
    const { publicKey, privateKey } = makePair({ SIGN: true, EXTRACTABLE: true })
    checkSignature(bench.wrapAndBack(privateKey, { ...privateEc, ...unwrappedCurve(bench.profile), SIGN: true }), pointOf(bench, publicKey, name).key)
    return ''
  })
  if (makes && name !== 'secp256k1') probeEcdh(bench, name, makePair)
  else if (name !== 'secp256k1') bench.note(`ecdh-${name}`, 'failed', 'no key pair')
  bench.clear()
}

function probeEcdh(bench: ProbeBench, name: Exclude<CurveName, 'secp256k1'>, makePair: (use: Attributes) => KeyPair): void {
  const { bytes, node } = curves[name]
  bench.row(`ecdh-${name}`, [pkcs11.CKM_ECDH1_DERIVE], () => {
    const { publicKey, privateKey } = makePair({ DERIVE: true, EXTRACTABLE: false })
    const peer = generateKeyPairSync('ec', { namedCurve: node })
    const { x = '', y = '' } = peer.publicKey.export({ format: 'jwk' })
    const point = Buffer.concat([Buffer.from([uncompressed]), Buffer.from(x, 'base64url'), Buffer.from(y, 'base64url')])
    const secret = bench.derive(ecdhMechanism(point), privateKey, {
      CLASS: pkcs11.CKO_SECRET_KEY, KEY_TYPE: pkcs11.CKK_GENERIC_SECRET, SENSITIVE: false, EXTRACTABLE: true, VALUE_LEN: bytes,
    })
    const expected = diffieHellman({ privateKey: peer.privateKey, publicKey: pointOf(bench, publicKey, name).key })
    if (!bench.session.get(secret, 'VALUE').equals(expected)) throw new WrongAnswer('another secret')
    return ''
  })
}

/** The public key, and how the token writes its point: PKCS#11 says as a DER OCTET STRING, older libraries give it bare. */
function pointOf(bench: ProbeBench, handle: Handle, name: CurveName): { key: KeyObject; encoding: string } {
  const { bytes, jwk } = curves[name]
  const found = bench.session.get(handle, 'EC_POINT')
  const point = bare(found, 1 + 2 * bytes)
  if (point[0] !== uncompressed) throw new WrongAnswer('a point that is not uncompressed')
  const [x, y] = [point.subarray(1, 1 + bytes), point.subarray(1 + bytes)].map(part => part.toString('base64url'))
  const key = createPublicKey({ key: { kty: 'EC', crv: jwk, x, y }, format: 'jwk' })
  return { key, encoding: encodingOf(found, point) }
}

const encodingOf = (found: Buffer, point: Buffer): string => (found.length === point.length ? 'point bare' : 'point in an OCTET STRING')

/** @throws WrongAnswer for what is neither the point nor an OCTET STRING of it */
function bare(found: Buffer, length: number): Buffer {
  if (found.length === length) return found
  const header = length < 0x80 ? Buffer.from([4, length]) : Buffer.from([4, 0x81, length])
  if (!found.subarray(0, header.length).equals(header) || found.length !== header.length + length) throw new WrongAnswer(`a point of ${found.length} bytes`)
  return found.subarray(header.length)
}

export function probeEd25519(bench: ProbeBench): void {
  const signing = [newer.EC_EDWARDS_KEY_PAIR_GEN, newer.EDDSA]
  const makePair = (use: Attributes): KeyPair => bench.generatePair({ mechanism: newer.EC_EDWARDS_KEY_PAIR_GEN }, { VERIFY: true, EC_PARAMS: ed25519.oid }, use)
  const edwardsPoint = (handle: Handle): { key: KeyObject; encoding: string } => {
    const found = bench.session.get(handle, 'EC_POINT')
    const point = bare(found, 32)
    return { key: createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x: point.toString('base64url') }, format: 'jwk' }), encoding: encodingOf(found, point) }
  }
  const sign = (handle: Handle): Buffer => Buffer.from(bench.session.sign({ mechanism: newer.EDDSA }, handle, sample, 64))
  bench.row('ed25519', signing, () => {
    const { publicKey, privateKey } = makePair({ SIGN: true, EXTRACTABLE: false })
    const { key, encoding } = edwardsPoint(publicKey)
    if (!verify(null, sample, key, sign(privateKey))) throw new WrongAnswer('OpenSSL does not verify it')
    return encoding
  })
  // node:crypto cannot verify it: the token has to know a signature of RFC 8032, and its own by what it has thereby shown to know.
  bench.row('ed25519ph', signing, () => {
    const known = bench.create({ CLASS: pkcs11.CKO_PUBLIC_KEY, KEY_TYPE: newerKeyTypes.EC_EDWARDS, PRIVATE: false, VERIFY: true, EC_PARAMS: ed25519.oid, EC_POINT: ed25519phAnswer.publicKey })
    if (bench.session.verify(mechanisms.eddsa(), known, ed25519phAnswer.message, ed25519phAnswer.signature)) throw new WrongAnswer('it verifies as a pure signature')
    if (!bench.session.verify(mechanisms.eddsaPrehashed(), known, ed25519phAnswer.message, ed25519phAnswer.signature)) throw new WrongAnswer('the signature of RFC 8032 does not verify')
    const { publicKey, privateKey } = makePair({ SIGN: true, EXTRACTABLE: false })
    const signature = Buffer.from(bench.session.sign(mechanisms.eddsaPrehashed(), privateKey, sample, ed25519.signatureBytes))
    if (verify(null, sample, edwardsPoint(publicKey).key, signature)) throw new WrongAnswer('a pure signature: the flag is ignored')
    if (!bench.session.verify(mechanisms.eddsaPrehashed(), publicKey, sample, signature)) throw new WrongAnswer('it does not verify')
    return ''
  })
  bench.row('wrap-ed25519', signing, () => {
    const { publicKey, privateKey } = makePair({ SIGN: true, EXTRACTABLE: true })
    const back = bench.wrapAndBack(privateKey, { ...privateEdwards, ...unwrappedCurve(bench.profile), SIGN: true })
    if (!verify(null, sample, edwardsPoint(publicKey).key, sign(back))) throw new WrongAnswer('it comes back as another')
    return ''
  })
  bench.clear()
}
