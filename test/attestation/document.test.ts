import { createPublicKey, generateKeyPairSync, randomBytes } from 'node:crypto'
import { decode, encode } from 'cbor2'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { verifyDocument, type AttestationTrust } from '../../src/attestation/document.ts'
import { AttestationRefused } from '../../src/attestation/refused.ts'
import { documentOf, makeMaker, newEnclave, payloadOf, pcrs, signed } from '../support/enclave.ts'

const maker = makeMaker()
const stranger = makeMaker()
const enclave = newEnclave()
const trust: AttestationTrust = { roots: [stranger.root.certificate, maker.root.certificate], maxAgeSeconds: 300 }
const own: AttestationTrust = { roots: [maker.root.certificate], maxAgeSeconds: 300 }
const der = (authority: { certificate: { raw: Buffer } }): Uint8Array => new Uint8Array(authority.certificate.raw)
const now = (): Date => new Date()
const inAn = (milliseconds: number): Date => new Date(Date.now() + milliseconds)
const hour = 3_600_000

describe('a document is believed', () => {
  it('when its chain ends at one of the roots; it says who the enclave is and what to encrypt to', () => {
    const attested = verifyDocument(documentOf(maker, enclave), trust, now())
    expect(attested.moduleId).toBe('i-0123456789abcdef0-enc0123456789abcdef')
    expect([...attested.pcrs].map(([register, value]) => [register, value.toString('hex')])).toEqual([...pcrs].map(([register, value]) => [register, Buffer.from(value).toString('hex')]))
    expect(attested.publicKey.equals(enclave.publicKey)).toBe(true)
  })

  it('with and without the tag of a COSE_Sign1', () => {
    expect(verifyDocument(signed(payloadOf(maker, enclave), { key: maker.signer.key, tagged: true }), own, now()).publicKey.equals(enclave.publicKey)).toBe(true)
  })

  it.each([['prime256v1', 'sha256', -7], ['secp521r1', 'sha512', -36]] as const)('when it is signed on %s', (curve, hash, algorithm) => {
    const signer = maker.issue(maker.between, 'other', { curve })
    const document = signed(payloadOf(maker, enclave, { certificate: der(signer) }), { key: signer.key, hash, algorithm })
    expect(verifyDocument(document, own, now()).publicKey.equals(enclave.publicKey)).toBe(true)
  })
})

const { n: modulus = '' } = enclave.publicKey.export({ format: 'jwk' })
const even = Buffer.concat([Buffer.from(modulus, 'base64url').subarray(0, -1), Buffer.alloc(1)]).toString('base64url')
const rsa = (n = '', e = ''): Uint8Array => new Uint8Array(createPublicKey({ key: { kty: 'RSA', n, e }, format: 'jwk' }).export({ type: 'spki', format: 'der' }))

const refused = (document: Buffer, why: RegExp, at = now(), held = own): void => {
  expect(() => verifyDocument(document, held, at)).toThrow(AttestationRefused)
  expect(() => verifyDocument(document, held, at)).toThrow(why)
}
const changed = (changes: Readonly<Record<string, unknown>>): Buffer => documentOf(maker, enclave, changes)

describe('a document is refused', () => {
  it('that another root stands behind, or none', () => {
    refused(documentOf(stranger, enclave), /does not begin with a configured root/)
    refused(changed({ cabundle: [der(maker.between)] }), /does not begin with a configured root/)
    refused(changed({ cabundle: [] }), /0 certificates/)
    refused(changed({ cabundle: undefined }), /no cabundle/)
    refused(changed({ cabundle: Array.from({ length: 17 }, () => der(maker.root)) }), /17 certificates/)
    refused(changed({ cabundle: [der(maker.root), 7] }), /no cabundle/)
    refused(changed({ cabundle: [der(maker.root), new Uint8Array(randomBytes(50))] }), /cannot be read/)
  })

  it('whose chain is broken', () => {
    refused(changed({ cabundle: [der(maker.root)] }), /chain of certificates is broken/)
    refused(changed({ cabundle: [der(maker.root), der(stranger.between)] }), /chain of certificates is broken/)
    // The name of the authority, and not its key.
    const impostor = stranger.issue(stranger.root, 'between', { ca: true })
    const signer = stranger.issue(impostor, 'enclave')
    refused(signed(payloadOf(maker, enclave, { certificate: der(signer) }), { key: signer.key }), /chain of certificates is broken/)
  })

  it('that is signed by itself, by an authority, or below a certificate that is none', () => {
    refused(signed(payloadOf(maker, enclave, { certificate: der(maker.root), cabundle: [der(maker.root)] }), { key: maker.root.key }), /signed by an authority/)
    refused(signed(payloadOf(maker, enclave, { certificate: der(maker.between), cabundle: [der(maker.root)] }), { key: maker.between.key }), /signed by an authority/)
    const below = maker.issue(maker.signer, 'below')
    refused(signed(payloadOf(maker, enclave, { certificate: der(below), cabundle: [maker.root, maker.between, maker.signer].map(der) }), { key: below.key }), /of no authority/)
  })

  it('that is too old, from the future, or of certificates that are not valid at that time', () => {
    refused(changed({}), /older than 300 s/, inAn(301_000))
    refused(changed({ timestamp: Date.now() + 120_000 }), /in the future/)
    refused(changed({ timestamp: undefined }), /no timestamp/)
    refused(changed({ timestamp: 'now' }), /no timestamp/)
    refused(changed({}), /has expired/, inAn(25 * hour))
    refused(changed({}), /not valid yet/, inAn(-hour))
    expect(verifyDocument(changed({}), own, inAn(299_000)).moduleId).not.toBe('')
  })

  it('whose signature is another\'s, or of another algorithm', () => {
    refused(signed(payloadOf(maker, enclave), { key: stranger.signer.key }), /signature is wrong/)
    refused(signed(payloadOf(maker, enclave), { key: maker.signer.key, hash: 'sha256' }), /signature is wrong/)
    refused(signed(payloadOf(maker, enclave), { key: maker.signer.key, algorithm: -7, hash: 'sha256' }), /not that of its certificate/)
    for (const algorithm of [0, -37, 5]) refused(signed(payloadOf(maker, enclave), { key: maker.signer.key, algorithm }), /not signed by ES256/)
    const [header, others, payload, signature] = decode<[Uint8Array, unknown, Uint8Array, Uint8Array]>(new Uint8Array(documentOf(maker, enclave)))
    for (const wrong of [signature.slice(1), new Uint8Array(96), new Uint8Array([...signature, 0])]) refused(Buffer.from(encode([header, others, payload, wrong])), /signature is wrong/)
    // A payload that was changed after it was signed.
    refused(Buffer.from(encode([header, others, encode(payloadOf(maker, newEnclave())), signature])), /signature is wrong/)
  })

  it('that lacks what an answer needs, or has something else in its place', () => {
    refused(changed({ public_key: undefined }), /no public_key/)
    refused(changed({ public_key: null }), /no public_key/)
    refused(changed({ public_key: new Uint8Array(randomBytes(294)) }), /no SubjectPublicKeyInfo/)
    const ec = generateKeyPairSync('ec', { namedCurve: 'secp384r1' }).publicKey
    refused(changed({ public_key: new Uint8Array(ec.export({ type: 'spki', format: 'der' })) }), /not RSA/)
    refused(documentOf(maker, newEnclave(1_024)), /not RSA of 2048/)
    // By these anybody would read the answer, or nobody could write it.
    for (const [n, e] of [[modulus, 'AQ'], [modulus, 'Ag'], [modulus, 'AQAAAAAAAAAB'], [even, 'AQAB']]) refused(changed({ public_key: rsa(n, e) }), /no RSA key that can be used/)
    refused(changed({ module_id: undefined }), /no module_id/)
    refused(changed({ pcrs: undefined }), /no pcrs/)
    refused(changed({ pcrs: new Map([[0, new Uint8Array(7)]]) }), /pcrs are none/)
    refused(changed({ pcrs: new Map([[32, new Uint8Array(48)]]) }), /pcrs are none/)
    refused(changed({ certificate: undefined }), /no certificate/)
    refused(signed(new Uint8Array([0xff]), { key: maker.signer.key }), /payload is not CBOR/)
    refused(signed([1, 2], { key: maker.signer.key }), /payload is no map/)
  })

  it('that is no COSE_Sign1 at all, however it is malformed', () => {
    for (const bytes of [Buffer.alloc(0), Buffer.from('hello'), Buffer.from(encode([1, 2, 3, 4])), Buffer.from(encode({})), Buffer.from(encode(null)), Buffer.from('9f'.repeat(1_000), 'hex'), Buffer.from('81'.repeat(200_000), 'hex')]) {
      expect(() => verifyDocument(bytes, own, now())).toThrow(AttestationRefused)
    }
  })

  it('with any byte of it changed', () => {
    const document = documentOf(maker, enclave)
    fc.assert(fc.property(fc.nat(document.length - 1), fc.integer({ min: 1, max: 255 }), (at, bits) => {
      const other = Buffer.from(document)
      other[at] = (other[at] ?? 0) ^ bits
      let attested: ReturnType<typeof verifyDocument> | undefined
      try {
        attested = verifyDocument(other, own, now())
      } catch (thrown) {
        expect(thrown).toBeInstanceOf(AttestationRefused)
      }
      // The unprotected header is nobody's word and says nothing.
      if (attested !== undefined) expect(decode<unknown[]>(other)[2]).toEqual(decode<unknown[]>(document)[2])
    }), { numRuns: 500 })
  })
})
