import { createCipheriv, createHmac } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { summaryOf, unmet, type Capability, type CapabilityName, type CapabilityOutcome } from '../../../src/hsm/agent/capability.ts'
import { gcmAnswer, hmacAnswer } from '../../../src/hsm/agent/known-answers.ts'
import { makeableKeys } from '../../../src/hsm/agent/makeable.ts'
import type { MakeableKeys } from '../../../src/keys/makeable.ts'

const found = (outcomes: Partial<Record<CapabilityName, CapabilityOutcome>>, detail = ''): Capability[] =>
  (Object.entries(outcomes) as [CapabilityName, CapabilityOutcome][]).map(([name, outcome]) => ({ name, outcome, detail, milliseconds: 1 }))
const passed = (...names: CapabilityName[]): Capability[] => found(Object.fromEntries(names.map(name => [name, 'passed'])))

describe('the known answers are right by other means', () => {
  it('AES-256-GCM', () => {
    const cipher = createCipheriv('aes-256-gcm', gcmAnswer.key, gcmAnswer.iv).setAAD(gcmAnswer.aad)
    expect(Buffer.concat([cipher.update(gcmAnswer.plaintext), cipher.final(), cipher.getAuthTag()])).toEqual(gcmAnswer.sealed)
  })

  it.each([224, 256, 384, 512] as const)('HMAC-SHA-%i', bits => {
    expect(createHmac(`sha${bits}`, hmacAnswer.key).update(hmacAnswer.data).digest()).toEqual(hmacAnswer[bits])
  })
})

describe('what was found, in one line', () => {
  it('counts what was tried, and names what did not pass', () => {
    expect(summaryOf(found({ 'kwp': 'passed', 'random': 'passed', 'ed25519': 'absent', 'ed25519ph': 'wrong', 'wrap-rsa': 'failed', 'rsa-4096': 'unprobed' })))
      .toBe('2 of 5 capabilities; not: ed25519, ed25519ph, wrap-rsa')
    expect(summaryOf(passed('kwp'))).toBe('1 of 1 capabilities')
  })
})

describe('a need', () => {
  const needs = [{ capability: 'kwp', because: 'keys.residency is wrapped' }, { capability: 'random', because: 'keys need chance' }] as const

  it('is met by what passed, and not refuted by what was not tried', () => {
    expect(unmet('t', passed('kwp', 'random'), needs)).toBeUndefined()
    expect(unmet('t', found({ kwp: 'unprobed' }), needs)).toBeUndefined()
  })

  it.each([['failed', 'failed'], ['wrong', 'wrong answer'], ['absent', 'not offered']] as const)('is refuted by %s: the first of them in a sentence', (outcome, words) => {
    expect(unmet('t', found({ random: outcome, kwp: outcome }, 'CKR_X'), needs))
      .toBe(`keys.residency is wrapped: token 't' does not pass kwp (AES key wrap with padding (RFC 5649), both ways with OpenSSL): ${words}, CKR_X`)
  })
})

describe('the keys that a token can make and use', () => {
  const signing: CapabilityName[] = ['rsa-pkcs1-sha-256', 'rsa-pkcs1-sha-384', 'rsa-pkcs1-sha-512', 'rsa-pss-sha-256', 'rsa-pss-sha-384', 'rsa-pss-sha-512']
  const keys = (...capabilities: Capability[]): MakeableKeys => makeableKeys(capabilities)

  it('are none where nothing passed', () => {
    expect(keys()).toEqual({ wrapped: [], resident: [] })
  })

  it('are wrapped where wrapping passed too', () => {
    expect(keys(...passed('ec-p256'))).toEqual({ wrapped: [], resident: ['ECC_NIST_P256/SIGN_VERIFY'] })
    expect(keys(...passed('ec-p256', 'wrap-ec-p256'))).toEqual({ wrapped: ['ECC_NIST_P256/SIGN_VERIFY'], resident: ['ECC_NIST_P256/SIGN_VERIFY'] })
    expect(keys(...passed('wrap-ec-p256', 'ecdh-p256'))).toEqual({ wrapped: [], resident: [] })
  })

  it('sign with RSA only where every algorithm of the usage passed', () => {
    expect(keys(...passed('rsa-2048', ...signing)).resident).toEqual(['RSA_2048/SIGN_VERIFY'])
    for (const one of signing) expect(keys(...passed('rsa-2048', ...signing.filter(name => name !== one))).resident).toEqual([])
  })

  it('decrypt with RSA by both OAEPs, or by raw RSA', () => {
    expect(keys(...passed('rsa-2048', 'rsa-oaep-sha-1')).resident).toEqual([])
    expect(keys(...passed('rsa-2048', 'rsa-oaep-sha-1', 'rsa-oaep-sha-256')).resident).toEqual(['RSA_2048/ENCRYPT_DECRYPT'])
    expect(keys(...passed('rsa-2048', 'rsa-raw')).resident).toEqual(['RSA_2048/ENCRYPT_DECRYPT'])
  })

  it('encrypt by AES-GCM or by message keys', () => {
    const gcm: CapabilityName[] = ['aes-gcm-encrypt', 'aes-gcm-decrypt', 'aes-gcm-bad-tag']
    expect(keys(...passed(...gcm, 'wrap-aes')).wrapped).toEqual(['SYMMETRIC_DEFAULT/ENCRYPT_DECRYPT'])
    expect(keys(...passed(...gcm.slice(1), 'wrap-aes')).resident).toEqual([])
    expect(keys(...passed('derived-mode', 'wrap-hmac-256')).wrapped).toEqual(['SYMMETRIC_DEFAULT/ENCRYPT_DECRYPT'])
  })

  it('take larger RSA keys on trust where RSA-2048 passed and the token tells the size, and not otherwise', () => {
    expect(keys(...passed('rsa-2048', ...signing), ...found({ 'rsa-3072': 'unprobed', 'rsa-4096': 'absent' })).resident).toEqual(['RSA_2048/SIGN_VERIFY', 'RSA_3072/SIGN_VERIFY'])
    expect(keys(...passed(...signing), ...found({ 'rsa-2048': 'failed', 'rsa-3072': 'unprobed' })).resident).toEqual([])
    expect(keys(...found({ ed25519: 'unprobed' })).resident).toEqual([])
  })
})
