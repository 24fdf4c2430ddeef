// What someone can do who has the PIN of the token and a copy of the database, but does not go through Trent. On SoftHSM the answer is:
// use keys, not read them. poke-token.js calls PKCS#11 itself.
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { decodeMaterial } from '../../../src/keys/material.ts'
import { newPlan, openToken, poke, residentPlan, type TestToken } from '../../support/token.ts'

const CKR = {
  ATTRIBUTE_READ_ONLY: 0x10, ATTRIBUTE_SENSITIVE: 0x11, ACTION_PROHIBITED: 0x1b, KEY_FUNCTION_NOT_PERMITTED: 0x68, KEY_UNEXTRACTABLE: 0x6a, MECHANISM_INVALID: 0x70,
  TEMPLATE_INCONSISTENT: 0xd1,
} as const
const CKO_SECRET_KEY = 4
const CKK_GENERIC_SECRET = 0x10
const CKK_AES = 0x1f

interface TokenObject {
  readonly label: string
  readonly [attribute: string]: unknown
}

let token: TestToken
/** A wrapped KMS key as it stands in the database. */
let blob: string
let labels: { readonly domain: string; readonly integrity: string; readonly resident: string }

beforeAll(async () => {
  token = await openToken()
  blob = decodeMaterial((await token.client.create(newPlan(), false)).row).blob.toString('hex')
  const plan = residentPlan()
  await token.client.create(plan, false)
  labels = { domain: `trent/domain/${token.domain.id}/1`, integrity: `trent/integrity/${token.domain.id}/1`, resident: `trent/key/${plan.keyId}` }
})
afterAll(() => token.remove())

const noUse = { encrypt: false, decrypt: false, wrap: false, unwrap: false, sign: false, verify: false, derive: false }
const kept = { class: CKO_SECRET_KEY, token: true, private: true, sensitive: true, extractable: false }

describe('the objects of a domain', () => {
  let objects: readonly TokenObject[]
  beforeAll(async () => { objects = await poke<TokenObject[]>(token.directory, 'objects') })
  const labelled = (label: string): TokenObject[] => objects.filter(object => object.label === label)

  it('are the domain key and the integrity key, once each, and resident keys: no transport key stays', () => {
    expect(objects.map(({ label }) => label).sort()).toEqual(Object.values(labels).sort())
  })

  it('the domain key wraps and unwraps by one mechanism, cannot be changed, and what it unwraps cannot be read', () => {
    expect(labelled(labels.domain)).toEqual([{
      ...kept, ...noUse, label: labels.domain, id: `${token.domain.id}0000000101`, keyType: CKK_AES, modifiable: false, wrap: true, unwrap: true,
      allowedMechanisms: '0a21000000000000', unwrapTemplate: { sensitive: true, extractable: false },
    }])
  })

  it('the integrity key signs by HMAC-SHA-256, nothing else, and cannot be changed', () => {
    expect(labelled(labels.integrity)).toEqual([{
      ...kept, ...noUse, label: labels.integrity, id: `${token.domain.id}0000000102`, keyType: CKK_GENERIC_SECRET, modifiable: false, sign: true,
      allowedMechanisms: '5102000000000000',
    }])
  })

  it('a resident key encrypts and decrypts by AES-GCM, nothing else', () => {
    expect(labelled(labels.resident)).toMatchObject([{ ...kept, ...noUse, keyType: CKK_AES, encrypt: true, decrypt: true, allowedMechanisms: '8710000000000000' }])
  })

  it('start finds the template enforced', () => {
    expect(token.ready).toMatchObject({ templateEnforced: true, serial: expect.stringMatching(/^[0-9a-f]{16}$/) as string })
  })
})

describe('a wrapped key of the database', () => {
  it.each([
    ['readable', { extractable: true, sensitive: false }],
    ['extractable', { extractable: true, sensitive: true }],
    ['not sensitive', { extractable: false, sensitive: false }],
    ['as the caller likes', {}],
  ])('is not unwrapped %s', async (_how, attributes) => {
    expect(await poke(token.directory, 'unwrap', { label: labels.domain, blob, attributes })).toBe(CKR.TEMPLATE_INCONSISTENT)
  })

  it('is unwrapped as a key that nobody can read: the refusals above are of their attributes', async () => {
    expect(await poke(token.directory, 'unwrap', { label: labels.domain, blob, attributes: { extractable: false, sensitive: true } })).toBe(0)
  })

  it('is not deciphered by the domain key as a block cipher', async () => {
    expect([CKR.KEY_FUNCTION_NOT_PERMITTED, CKR.MECHANISM_INVALID]).toContain(await poke(token.directory, 'decryptEcb', { label: labels.domain, blob }))
  })
})

describe.each(['domain', 'integrity'] as const)('the %s key', role => {
  it.each([['decrypt'], ['encrypt'], ['derive'], ['modifiable'], ['extractable']])('does not take %s=true', async name => {
    expect(await poke(token.directory, 'set', { label: labels[role], attributes: { [name]: true } })).toBe(CKR.ACTION_PROHIBITED)
  })

  it.each([
    ['that decrypts', { decrypt: true }],
    ['that may be changed', { modifiable: true }],
    ['that may leave the token', { extractable: true }],
    ['that may be read', { sensitive: false }],
    ['of another mechanism', { allowedMechanisms: '8110000000000000' }],
  ])('is not copied to one %s', async (_what, attributes) => {
    expect(await poke(token.directory, 'copy', { label: labels[role], attributes })).toBe(CKR.ATTRIBUTE_READ_ONLY)
  })
})

describe.each(['domain', 'integrity', 'resident'] as const)('the %s key', role => {
  it('does not tell its value', async () => {
    expect(await poke(token.directory, 'read', { label: labels[role] })).toBe(CKR.ATTRIBUTE_SENSITIVE)
  })

  it('is not wrapped under a key of the caller\'s own', async () => {
    expect(await poke(token.directory, 'wrap', { label: labels[role] })).toBe(CKR.KEY_UNEXTRACTABLE)
  })

  it('does not become extractable, in place or as a copy', async () => {
    expect(await poke(token.directory, 'set', { label: labels[role], attributes: { extractable: true } })).not.toBe(0)
    expect(await poke(token.directory, 'copy', { label: labels[role], attributes: { extractable: true } })).not.toBe(0)
    expect(await poke(token.directory, 'copy', { label: labels[role], attributes: { sensitive: false } })).not.toBe(0)
  })
})
