// The probe's rows of secret keys: what keeps them secret, AES-GCM, key wrap, HMAC, derived mode.
import { createDecipheriv, createHmac } from 'node:crypto'
import pkcs11 from 'pkcs11js'
import type { Handle } from 'pkcs11js'
import { parseCiphertext } from '../../keys/ciphertext.ts'
import { ckrName } from './ckr.ts'
import { decryptDerived, encryptDerived } from './derived.ts'
import { templateBreaches } from './domain.ts'
import { classOf } from './fault-class.ts'
import { sealWith } from './gcm.ts'
import { gcmAnswer, hmacAnswer, sample } from './known-answers.ts'
import type { NamedKey } from './named-key.ts'
import { WrongAnswer, type ProbeBench } from './probe-bench.ts'
import { hmacMechanism, type HmacBits } from './probe-mechanism.ts'
import { mechanismList, mechanisms, type Attributes } from './template.ts'
import { chooseWrapMechanism, wrapByOpenssl } from './wrap-mechanism.ts'

const aes: Attributes = { CLASS: pkcs11.CKO_SECRET_KEY, KEY_TYPE: pkcs11.CKK_AES }
const generic: Attributes = { CLASS: pkcs11.CKO_SECRET_KEY, KEY_TYPE: pkcs11.CKK_GENERIC_SECRET }
const kept: Attributes = { SENSITIVE: true, EXTRACTABLE: false, VALUE_LEN: 32 }
const leaving: Attributes = { SENSITIVE: true, EXTRACTABLE: true }

export function probeSecrecy(bench: ProbeBench): void {
  bench.row('template-enforced', [], () => {
    const { key, mechanism } = bench.wrapping()
    const breaches = templateBreaches(bench.session, { domainKey: key, wrapMechanism: mechanism })
    if (breaches.length > 0) throw new WrongAnswer(breaches.join(', '))
    return ''
  })
  bench.row('not-readable', [pkcs11.CKM_AES_KEY_GEN], () => {
    const key = bench.generate(mechanisms.aesKeyGen(), kept)
    return ckrName(bench.refusal(() => { bench.session.get(key, 'VALUE').fill(0) }, 'CKA_VALUE is given'))
  })
  bench.row('not-wrappable', [pkcs11.CKM_AES_KEY_GEN], () => {
    const { key: domainKey, mechanism } = bench.wrapping()
    const key = bench.generate(mechanisms.aesKeyGen(), kept)
    const own = bench.generate(mechanisms.aesKeyGen(), { ...kept, WRAP: true })
    const refused = bench.refusal(() => { bench.session.wrap({ mechanism }, domainKey, key) }, 'the domain key wraps it')
    bench.refusal(() => { bench.session.wrap({ mechanism }, own, key) }, 'another key wraps it')
    return ckrName(refused)
  })
  bench.clear()
}

export function probeRandom(bench: ProbeBench): void {
  bench.row('random', [], () => {
    const [one, other] = [bench.session.random(1024), bench.session.random(1024)]
    if (one.equals(other) || one.every(byte => byte === one[0])) throw new WrongAnswer('the bytes repeat')
    return ''
  })
  bench.clear()
}

const ivWords = { host: 'takes an IV', written: 'writes its IV into the parameters', appended: 'appends its IV' } as const

const gcmKey = (bench: ProbeBench): Handle => bench.create({ ...aes, SENSITIVE: true, EXTRACTABLE: false, ENCRYPT: true, DECRYPT: true, VALUE: gcmAnswer.key })

export function probeGcm(bench: ProbeBench): void {
  const needed = [pkcs11.CKM_AES_GCM]
  bench.row('mechanisms-kept', [pkcs11.CKM_AES_KEY_GEN, ...needed], () => {
    const key = bench.generate(mechanisms.aesKeyGen(), { ...kept, ENCRYPT: true, ALLOWED_MECHANISMS: mechanismList(pkcs11.CKM_AES_CBC) })
    return ckrName(bench.refusal(() => sealWith(bench, key, gcmAnswer.aad, sample), 'another mechanism is taken'))
  })
  const decrypt = (sealed: Buffer, aad: Buffer = gcmAnswer.aad): Buffer => bench.session.decrypt(mechanisms.aesGcm(gcmAnswer.iv, aad), gcmKey(bench), sealed)
  bench.row('aes-gcm-encrypt', needed, () => {
    const key = gcmKey(bench)
    const [one, other] = [1, 2].map(() => sealWith(bench, key, gcmAnswer.aad, gcmAnswer.plaintext))
    if (one === undefined || other?.iv.equals(one.iv) !== false) throw new WrongAnswer('the same IV twice')
    const decipher = createDecipheriv('aes-256-gcm', gcmAnswer.key, one.iv).setAAD(gcmAnswer.aad).setAuthTag(one.sealed.subarray(-16))
    const opened = decipher.update(one.sealed.subarray(0, -16))
    if (!opens(decipher) || !opened.equals(gcmAnswer.plaintext)) throw new WrongAnswer('OpenSSL does not open it')
    return ivWords[bench.profile.gcmIv]
  })
  bench.row('aes-gcm-decrypt', needed, () => {
    if (!decrypt(gcmAnswer.sealed).equals(gcmAnswer.plaintext)) throw new WrongAnswer('another plaintext')
    return ''
  })
  bench.row('aes-gcm-bad-tag', needed, () => {
    const { sealed, aad } = gcmAnswer
    const found = [() => decrypt(changed(sealed, sealed.length - 1)), () => decrypt(changed(sealed, 0)), () => decrypt(sealed, changed(aad, 0))]
      .map(run => bench.refusal(run, 'it is opened all the same'))
    // A bad ciphertext must not count as a broken device, see fault-class.ts.
    const device = found.find(value => !['caller', 'ambiguous'].includes(classOf(bench.profile.faults, 'C_Decrypt', value)))
    if (device !== undefined) throw new WrongAnswer(`${ckrName(device)}, which is not known for this`)
    return [...new Set(found)].map(ckrName).join(', ')
  })
  bench.clear()
}

/** final() throws when the tag is wrong. */
function opens(decipher: { final(): Buffer }): boolean {
  try {
    return decipher.final().length === 0
  } catch {
    return false
  }
}

function changed(bytes: Buffer, at: number): Buffer {
  const copy = Buffer.from(bytes)
  copy[at] = (copy[at] ?? 0) ^ 1
  return copy
}

export function probeKeyWrap(bench: ProbeBench): void {
  const wrappingKey = (): Handle => bench.create({ ...aes, SENSITIVE: true, WRAP: true, UNWRAP: true, VALUE: gcmAnswer.key })
  bench.row('kwp', [], () => {
    const mechanism = chooseWrapMechanism(bench.session, bench.profile)
    const key = bench.unwrap({ mechanism }, wrappingKey(), wrapByOpenssl(gcmAnswer.key, gcmAnswer.key), { ...generic, SIGN: true })
    const expected = createHmac('sha256', gcmAnswer.key).update(sample).digest()
    if (!bench.session.sign(mechanisms.hmacSha256(), key, sample, 32).equals(expected)) throw new WrongAnswer('a key that OpenSSL wrapped comes out as another')
    return `mechanism 0x${mechanism.toString(16)}`
  })
  bench.clear()
}

export function probeWrapping(bench: ProbeBench): void {
  bench.row('kwp-bad-blob', [], () => {
    const { key, mechanism } = bench.wrapping()
    const blob = bench.session.wrap({ mechanism }, key, bench.generate(mechanisms.aesKeyGen(), { ...leaving, VALUE_LEN: 32 }))
    return ckrName(bench.refusal(() => bench.unwrap({ mechanism }, key, changed(blob, 7), { ...aes, DECRYPT: true }), 'it is unwrapped all the same'))
  })
  bench.row('wrap-aes', [pkcs11.CKM_AES_KEY_GEN], () => {
    const key = bench.generate(mechanisms.aesKeyGen(), { ...leaving, VALUE_LEN: 32, ENCRYPT: true })
    const { iv, sealed } = sealWith(bench, key, gcmAnswer.aad, sample)
    const back = bench.wrapAndBack(key, { ...aes, DECRYPT: true })
    if (!bench.session.decrypt(mechanisms.aesGcm(iv, gcmAnswer.aad), back, sealed).equals(sample)) throw new WrongAnswer('it comes back as another')
    return ''
  })
  bench.clear()
}

/** Also that the token makes such a key, as long as its hash. */
export function probeHmac(bench: ProbeBench, bits: HmacBits): void {
  const mechanism = hmacMechanism[bits]
  const bytes = bits / 8
  bench.row(`hmac-${bits}`, [mechanism, pkcs11.CKM_GENERIC_SECRET_KEY_GEN], () => {
    const key = bench.create({ ...generic, SENSITIVE: true, EXTRACTABLE: false, SIGN: true, VALUE: hmacAnswer.key })
    if (!bench.session.sign({ mechanism }, key, hmacAnswer.data, bytes).equals(hmacAnswer[bits])) throw new WrongAnswer('another HMAC')
    const made = bench.generate(mechanisms.secretKeyGen(), { ...kept, SIGN: true, VALUE_LEN: bytes })
    if (bench.session.sign({ mechanism }, made, sample, bytes).length !== bytes) throw new WrongAnswer('an HMAC of another length')
    return ''
  })
  bench.clear()
}

export function probeHmacWrap(bench: ProbeBench, bits: HmacBits): void {
  const mechanism = hmacMechanism[bits]
  bench.row(`wrap-hmac-${bits}`, [mechanism, pkcs11.CKM_GENERIC_SECRET_KEY_GEN], () => {
    const key = bench.generate(mechanisms.secretKeyGen(), { ...leaving, VALUE_LEN: bits / 8, SIGN: true })
    const before = Buffer.from(bench.session.sign({ mechanism }, key, sample, bits / 8))
    const back = bench.wrapAndBack(key, { ...generic, SIGN: true })
    if (!bench.session.sign({ mechanism }, back, sample, bits / 8).equals(before)) throw new WrongAnswer('it comes back as another')
    return ''
  })
  bench.clear()
}

export function probeDerivedMode(bench: ProbeBench): void {
  bench.row('derived-mode', [pkcs11.CKM_SHA256_HMAC, pkcs11.CKM_GENERIC_SECRET_KEY_GEN], () => {
    const handle = bench.generate(mechanisms.secretKeyGen(), { ...kept, SIGN: true })
    const name = { multiRegion: false, keyId: Buffer.alloc(16), materialId: Buffer.alloc(32), backing: 1 }
    const key: NamedKey = { handle, mode: 'derived', name }
    const blob = encryptDerived(bench.session, key, sample, sample)
    if (!decryptDerived(bench.session, key, sample, parseCiphertext(blob)).equals(sample)) throw new WrongAnswer('another plaintext')
    return ''
  })
  bench.clear()
}
