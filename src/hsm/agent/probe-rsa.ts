// The probe's rows of RSA keys. A pair takes long to make, so one serves all rows, with the use that a row needs: where private keys
// can be wrapped, by unwrapping it with that use, as Trent does; otherwise by another pair.
import { constants, createHash, createPublicKey, generateKeyPairSync, publicEncrypt, randomBytes, verify, type KeyObject } from 'node:crypto'
import type { Handle, KeyPair } from 'pkcs11js'
import pkcs11 from 'pkcs11js'
import { capabilityTitles, type CapabilityName } from './capability.ts'
import { curves, digestInfo, gcmAnswer, sample } from './known-answers.ts'
import { WrongAnswer, type ProbeBench } from './probe-bench.ts'
import { newer } from './newer.ts'
import { hashBits, pssMechanism, type HashBits } from './probe-mechanism.ts'
import { mechanisms, type Attributes } from './template.ts'
import { wrapByOpenssl } from './wrap-mechanism.ts'

const privateRsa: Attributes = { CLASS: pkcs11.CKO_PRIVATE_KEY, KEY_TYPE: pkcs11.CKK_RSA }
const aes: Attributes = { CLASS: pkcs11.CKO_SECRET_KEY, KEY_TYPE: pkcs11.CKK_AES }
const publicExponent = Buffer.from([1, 0, 1])
const modulusBytes = 256

/** A private key of the token and what OpenSSL knows of it. */
interface RsaKey {
  readonly handle: Handle
  readonly publicKey: KeyObject
}

/** Makes a pair; `use` is what its private key may do. */
function makePair(bench: ProbeBench, bits: number, use: Attributes): KeyPair {
  return bench.generatePair(mechanisms.rsaKeyPairGen(), { VERIFY: true, MODULUS_BITS: bits, PUBLIC_EXPONENT: publicExponent }, use)
}

function publicKeyOf(bench: ProbeBench, handle: Handle, bits: number): KeyObject {
  const [n, e] = [bench.session.get(handle, 'MODULUS'), bench.session.get(handle, 'PUBLIC_EXPONENT')]
  const key = createPublicKey({ key: { kty: 'RSA', n: n.toString('base64url'), e: e.toString('base64url') }, format: 'jwk' })
  if (key.asymmetricKeyDetails?.modulusLength !== bits) throw new WrongAnswer(`a modulus of ${key.asymmetricKeyDetails?.modulusLength ?? 0} bits`)
  return key
}

const digest = (bits: HashBits): Buffer => createHash(`sha${bits}`).update(sample).digest()

function signPkcs1(bench: ProbeBench, { handle, publicKey }: RsaKey, bits: HashBits, bytes = modulusBytes): void {
  const signature = bench.session.sign({ mechanism: pkcs11.CKM_RSA_PKCS }, handle, Buffer.concat([digestInfo[bits], digest(bits)]), bytes)
  if (!verify(`sha${bits}`, sample, publicKey, signature)) throw new WrongAnswer('OpenSSL does not verify it')
}

/** Rows of RSA-2048, and what follows from them; `deep` makes the larger keys as well. */
export function probeRsa(bench: ProbeBench, deep: boolean, largestBits: number): void {
  const making = [pkcs11.CKM_RSA_PKCS_KEY_PAIR_GEN]
  let made: KeyPair | undefined
  let publicKey: KeyObject | undefined
  bench.row('rsa-2048', [...making, pkcs11.CKM_RSA_PKCS], () => {
    made = makePair(bench, 2048, { SIGN: true, EXTRACTABLE: true })
    publicKey = publicKeyOf(bench, made.publicKey, 2048)
    signPkcs1(bench, { handle: made.privateKey, publicKey }, 256)
    return ''
  })
  for (const bits of [3072, 4096] as const) probeLargePair(bench, bits, deep, largestBits)
  if (made === undefined || publicKey === undefined) {
    noteMissing(bench)
    return
  }
  const { privateKey } = made
  const known = publicKey
  const wraps = bench.row('wrap-rsa', making, () => {
    signPkcs1(bench, { handle: bench.wrapAndBack(privateKey, { ...privateRsa, SIGN: true }), publicKey: known }, 256)
    return ''
  })
  const keyFor = (use: Attributes): RsaKey => {
    if (wraps) return { handle: bench.wrapAndBack(privateKey, { ...privateRsa, ...use }), publicKey: known }
    const other = makePair(bench, 2048, { EXTRACTABLE: false, ...use })
    return { handle: other.privateKey, publicKey: publicKeyOf(bench, other.publicKey, 2048) }
  }
  probeRsaSigning(bench, { handle: privateKey, publicKey: known })
  probeRsaDecryption(bench, once(() => keyFor({ DECRYPT: true })))
  probeImport(bench, once(() => keyFor({ UNWRAP: true })))
  bench.clear()
}

/** Without a key pair none of the other rows can be tried. */
function noteMissing(bench: ProbeBench): void {
  const names = (Object.keys(capabilityTitles) as CapabilityName[]).filter(name => /^(wrap-rsa|rsa-|import-)/.test(name))
  for (const name of names) if (!bench.found.some(one => one.name === name)) bench.note(name, 'failed', 'no RSA-2048 key pair')
  bench.clear()
}

function probeLargePair(bench: ProbeBench, bits: 3072 | 4096, deep: boolean, largestBits: number): void {
  const name = `rsa-${bits}` as const
  if (largestBits < bits) bench.note(name, 'absent', `keys of up to ${largestBits} bits`)
  else if (!deep) bench.note(name, 'unprobed', `keys of up to ${largestBits} bits, says the token`)
  else bench.row(name, [pkcs11.CKM_RSA_PKCS_KEY_PAIR_GEN, pkcs11.CKM_RSA_PKCS], () => {
    const { publicKey, privateKey } = makePair(bench, bits, { SIGN: true, EXTRACTABLE: true })
    signPkcs1(bench, { handle: privateKey, publicKey: publicKeyOf(bench, publicKey, bits) }, 512, bits / 8)
    return ''
  })
}

function probeRsaSigning(bench: ProbeBench, key: RsaKey): void {
  for (const bits of hashBits) {
    bench.row(`rsa-pkcs1-sha-${bits}`, [pkcs11.CKM_RSA_PKCS], () => {
      signPkcs1(bench, key, bits)
      return ''
    })
  }
  for (const bits of hashBits) {
    bench.row(`rsa-pss-sha-${bits}`, [pkcs11.CKM_RSA_PKCS_PSS], () => {
      const signature = bench.session.sign(pssMechanism(bits), key.handle, digest(bits), modulusBytes)
      const rule = { key: key.publicKey, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: constants.RSA_PSS_SALTLEN_DIGEST }
      if (!verify(`sha${bits}`, sample, rule, signature)) throw new WrongAnswer('OpenSSL does not verify it')
      return ''
    })
  }
}

const oaepHashes = [['SHA-1', 'sha1'], ['SHA-256', 'sha256']] as const

function probeRsaDecryption(bench: ProbeBench, key: () => RsaKey): void {
  for (const [hash, oaepHash] of oaepHashes) {
    bench.row(oaepHash === 'sha1' ? 'rsa-oaep-sha-1' : 'rsa-oaep-sha-256', [pkcs11.CKM_RSA_PKCS_OAEP], () => {
      const { handle, publicKey } = key()
      const ciphertext = publicEncrypt({ key: publicKey, oaepHash, padding: constants.RSA_PKCS1_OAEP_PADDING }, sample)
      if (!bench.session.decrypt(mechanisms.oaep(hash), handle, ciphertext).equals(sample)) throw new WrongAnswer('another plaintext')
      return ''
    })
  }
  bench.row('rsa-raw', [pkcs11.CKM_RSA_X_509], () => {
    const { handle, publicKey } = key()
    // Below every modulus of this length.
    const block = randomBytes(modulusBytes).fill(0, 0, 1)
    const ciphertext = publicEncrypt({ key: publicKey, padding: constants.RSA_NO_PADDING }, block)
    if (!bench.session.decrypt({ mechanism: pkcs11.CKM_RSA_X_509 }, handle, ciphertext).equals(block)) throw new WrongAnswer('another block')
    return ''
  })
}

function probeImport(bench: ProbeBench, key: () => RsaKey): void {
  const brought = (oaepHash: string, value: Buffer): Buffer =>
    publicEncrypt({ key: key().publicKey, oaepHash, padding: constants.RSA_PKCS1_OAEP_PADDING }, value)
  for (const [hash, oaepHash] of oaepHashes) {
    bench.row(oaepHash === 'sha1' ? 'import-oaep-sha-1' : 'import-oaep-sha-256', [pkcs11.CKM_RSA_PKCS_OAEP], () => {
      const imported = bench.unwrap(mechanisms.oaep(hash), key().handle, brought(oaepHash, gcmAnswer.key), { ...aes, DECRYPT: true })
      const opened = bench.session.decrypt(mechanisms.aesGcm(gcmAnswer.iv, gcmAnswer.aad), imported, gcmAnswer.sealed)
      if (!opened.equals(gcmAnswer.plaintext)) throw new WrongAnswer('it comes in as another')
      return ''
    })
  }
  for (const [hash, oaepHash] of oaepHashes) {
    bench.row(oaepHash === 'sha1' ? 'import-rsa-aes-sha-1' : 'import-rsa-aes-sha-256', [pkcs11.CKM_RSA_PKCS_OAEP, pkcs11.CKM_ECDSA], () => {
      const { mechanism } = bench.wrapping()
      const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: curves.p256.node })
      const wrapped = wrapByOpenssl(gcmAnswer.key, privateKey.export({ type: 'pkcs8', format: 'der' }))
      const transport = bench.unwrap(mechanisms.oaep(hash), key().handle, brought(oaepHash, gcmAnswer.key), { ...aes, UNWRAP: true })
      const imported = bench.unwrap({ mechanism }, transport, wrapped, { CLASS: pkcs11.CKO_PRIVATE_KEY, KEY_TYPE: pkcs11.CKK_EC, SIGN: true })
      const signature = bench.session.sign({ mechanism: pkcs11.CKM_ECDSA }, imported, digest(256), 64)
      if (!verify('sha256', sample, { key: publicKey, dsaEncoding: 'ieee-p1363' }, signature)) throw new WrongAnswer('it comes in as another')
      return ''
    })
  }
  bench.note('rsa-aes-key-wrap', bench.offered.has(newer.RSA_AES_KEY_WRAP) ? 'unprobed' : 'absent', `mechanism 0x${newer.RSA_AES_KEY_WRAP.toString(16)}`)
}

function once<T>(make: () => T): () => T {
  let made: T | undefined
  return () => (made ??= make())
}
