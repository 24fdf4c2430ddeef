// The contract of the Hsm on every kind of token there is: what clients see must be the same. And it must notice a token that breaks it.
import { rm } from 'node:fs/promises'
import { afterAll, afterEach, beforeAll, describe, expect, inject, it } from 'vitest'
import type { CipherMode } from '../../src/keys/ciphertext.ts'
import { chaosToken, type ChaosToken, type Faults } from '../support/chaos.ts'
import { newFolder, writeTokenFiles } from '../support/installation.ts'
import { openNss } from '../support/other-token.ts'
import { openToken, type TestToken } from '../support/token.ts'
import { rules, type Subject } from './contract.ts'

interface Opened {
  readonly token: TestToken
  close(): Promise<void>
}

async function openSoftHsm(): Promise<Opened> {
  const token = await openToken()
  return { token, close: () => token.remove() }
}

/** SoftHSM behind the module of test/chaos, with the habits of another vendor: its profile is what Trent knows of it. */
const behindModule = (profile: string, habits: Faults) => async (): Promise<Opened & { readonly chaos: ChaosToken }> => {
  const directory = await newFolder('contract')
  await writeTokenFiles(directory, inject('installation').directory)
  const chaos = await chaosToken(directory)
  chaos.control(habits)
  const token = await openToken({ token: { serial: undefined, libraryParameters: undefined, ...chaos.token, profile } })
  return {
    token, chaos,
    close: async () => {
      await token.remove()
      await rm(directory, { recursive: true, force: true })
    },
  }
}

const tokens: readonly { readonly name: string; readonly open: () => Promise<Opened>; readonly direct: CipherMode }[] = [
  { name: 'SoftHSM', open: openSoftHsm, direct: 'direct' },
  { name: 'NSS softokn', open: openNss, direct: 'direct' },
  { name: 'SoftHSM through the module of test/chaos with every fault off', open: behindModule('softhsm', {}), direct: 'direct' },
  { name: 'a token with the IVs and the wrapping of CloudHSM', open: behindModule('cloudhsm', { iv: 'cloudhsm' }), direct: 'direct' },
  { name: 'a token with the IVs of Luna', open: behindModule('luna', { iv: 'luna' }), direct: 'direct16' },
]

describe.each(tokens)('$name', ({ open, direct }) => {
  let opened: Opened
  let subject: Subject
  beforeAll(async () => {
    opened = await open()
    subject = { token: opened.token, direct }
  })
  afterAll(() => opened.close())

  it.each(rules)('$name', ({ check }) => check(subject))
})

/** A token that answers CKR_OK to all of it, so that nothing but a rule can tell. */
const breaks: readonly { readonly what: string; readonly faults: Faults; readonly rule: RegExp; readonly seen: RegExp }[] = [
  { what: 'decrypts whatever the tag says', faults: { wrong: ['C_Decrypt'] }, rule: /wrapped key in direct mode refuses a blob/, seen: /expected Set/ },
  { what: 'decrypts under another context', faults: { wrong: ['C_Decrypt'] }, rule: /resident key in direct mode refuses another context/, seen: /resolved/ },
  { what: 'opens seals of others', faults: { wrong: ['C_Decrypt'] }, rule: /credentials are sealed/, seen: /resolved/ },
  { what: 'gives the same random bytes each time', faults: { wrong: ['C_GenerateRandom'] }, rule: /random bytes/, seen: /to not deeply equal/ },
  { what: 'gives the same IV each time', faults: { wrong: ['C_GenerateRandom'] }, rule: /wrapped key in direct mode encrypts/, seen: /not to be/ },
  { what: 'gives the same nonce each time', faults: { wrong: ['C_GenerateRandom'] }, rule: /wrapped key in derived mode encrypts/, seen: /not to be/ },
  { what: 'makes one MAC for all rows', faults: { wrong: ['C_Sign'] }, rule: /cold material is refused for an edited account/, seen: /resolved/ },
  { what: 'does not wrap', faults: { fail: { C_WrapKey: { ckr: 0x70 } } }, rule: /a wrapped key has its plan/, seen: /C_WrapKey/ },
  { what: 'does not look for objects', faults: { fail: { C_FindObjects: { ckr: 0x54 } } }, rule: /same when it is made again/, seen: /C_FindObjects/ },
  { what: 'does not derive', faults: { fail: { C_SignInit: { ckr: 0x70 } } }, rule: /wrapped key in derived mode takes plaintexts/, seen: /C_SignInit/ },
  { what: 'has no room for open keys', faults: { objects: 500 }, rule: /closed to make room/, seen: /C_UnwrapKey|C_GenerateKey/ },
]

describe('a token that breaks a rule is found out: it', () => {
  let opened: Opened & { readonly chaos: ChaosToken }
  beforeAll(async () => { opened = await behindModule('softhsm', {})() })
  afterEach(() => { opened.chaos.clear() })
  afterAll(() => opened.close())

  it.each(breaks)('$what', async ({ faults, rule, seen }) => {
    const [found, second] = rules.filter(({ name }) => rule.test(name))
    if (found === undefined || second !== undefined) throw new Error(`not one rule by the name ${rule.source}`)
    opened.chaos.control(faults)
    await expect(found.check({ token: opened.token, direct: 'direct' })).rejects.toThrow(seen)
  })
})
