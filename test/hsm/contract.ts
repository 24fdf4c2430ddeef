// What every token must do behind client and agent, whoever made it: one list of rules, which contract.system.test.ts runs on each.
import { randomBytes, randomUUID } from 'node:crypto'
import { expect } from 'vitest'
import { KmsError } from '../../src/errors.ts'
import { MaterialRefused, SealBroken, type MaterialPlan } from '../../src/hsm/hsm.ts'
import { cipherModes, encodeHeader, headerBytes, parseCiphertext, type CipherMode } from '../../src/keys/ciphertext.ts'
import { encodeContext } from '../../src/keys/context.ts'
import { keyIdBytes } from '../../src/keys/identifier.ts'
import { decodeMaterial, encodeMaterial, type Material, type SealedMaterial } from '../../src/keys/material.ts'
import { newPlan, residentPlan, type TestToken } from '../support/token.ts'

export interface Subject {
  readonly token: TestToken
  /** How this token's ciphertexts in direct mode say where their IV stands. */
  readonly direct: CipherMode
}

export interface Rule {
  readonly name: string
  readonly check: (subject: Subject) => Promise<void>
}

/** As in keys-in-use.ts. */
const heldLimit = 1_000
const inFlight = 32
const context = encodeContext(new Map([['tenant', 'blue']]))
const other = encodeContext(new Map([['tenant', 'red']]))
const none = encodeContext(undefined)
const plaintext = (): Buffer => Buffer.from('what only the token may open')
const invalid = new KmsError('InvalidCiphertextException')
const refusedMac = new MaterialRefused('the MAC of a material row is wrong')

const edited = ({ row, mac }: SealedMaterial, changes: Partial<Material>): SealedMaterial => ({ row: encodeMaterial({ ...decodeMaterial(row), ...changes }), mac })

function flipped(bytes: Buffer, at: number): Buffer {
  const changed = Buffer.from(bytes)
  changed[at] = (changed[at] ?? 0) ^ 1
  return changed
}

const planOf: Readonly<Record<Material['residency'], (changes: Partial<MaterialPlan>) => MaterialPlan>> = { wrapped: newPlan, resident: residentPlan }
const kinds = (['direct', 'derived'] as const).flatMap(cipherMode => (['wrapped', 'resident'] as const).map(residency => ({ cipherMode, residency })))

const ofKinds: readonly Rule[] = kinds.flatMap(({ cipherMode, residency }): Rule[] => {
  const of = `a ${residency} key in ${cipherMode} mode`
  const make = ({ token }: Subject): Promise<SealedMaterial> => token.client.create(planOf[residency]({ cipherMode }), false)
  const rule = (what: string, check: (subject: Subject, key: SealedMaterial) => Promise<void>): Rule => ({
    name: `${of} ${what}`, check: async subject => { await check(subject, await make(subject)) },
  })
  return [
    rule('encrypts and decrypts, each time under another IV', async ({ token: { client }, direct }, key) => {
      const { keyId, materialId } = decodeMaterial(key.row)
      const blobs = [await client.encrypt(key, context, plaintext()), await client.encrypt(key, context, plaintext())]
      for (const blob of blobs) {
        expect(parseCiphertext(blob).header).toMatchObject({ mode: cipherMode === 'direct' ? direct : 'derived', multiRegion: false, keyId: keyIdBytes(keyId), materialId, backing: 1 })
        expect(blob.includes(plaintext())).toBe(false)
        expect(await client.decrypt(key, context, blob)).toEqual(plaintext())
      }
      const [one, another] = blobs.map(blob => parseCiphertext(blob).header.iv.toString('hex'))
      expect(one).not.toBe(another)
    }),
    rule('takes plaintexts of 1 to 4,096 bytes', async ({ token: { client } }, key) => {
      for (const length of [1, 15, 16, 17, 4_096]) {
        const bytes = randomBytes(length)
        expect(await client.decrypt(key, context, await client.encrypt(key, context, Buffer.from(bytes)))).toEqual(bytes)
      }
    }),
    rule('refuses another context, and none', async ({ token: { client } }, key) => {
      const blob = await client.encrypt(key, context, plaintext())
      for (const wrong of [other, none]) await expect(client.decrypt(key, wrong, blob)).rejects.toThrow(invalid)
    }),
    rule('refuses a blob in which any one byte is changed, with one error', async ({ token }, key) => {
      const blob = await token.client.encrypt(key, context, plaintext())
      const refusals = await Promise.all(Array.from(blob, (_, at) => token.client.decrypt(key, context, flipped(blob, at)).then(() => `opened at ${at}`, (thrown: unknown) => (thrown as KmsError).code)))
      expect(new Set(refusals)).toEqual(new Set(['InvalidCiphertextException']))
      expect(token.starts).toEqual(['first'])
    }),
    rule('refuses what is no ciphertext of it', async ({ token: { client } }, key) => {
      const blob = await client.encrypt(key, context, plaintext())
      for (const junk of [Buffer.alloc(0), Buffer.alloc(1), blob.subarray(0, -1), blob.subarray(0, headerBytes(cipherMode)), randomBytes(200)]) {
        await expect(client.decrypt(key, context, junk)).rejects.toThrow(invalid)
      }
    }),
    rule('is refused under a MAC that is not its row\'s, and serves on', async ({ token: { client } }, key) => {
      const blob = await client.encrypt(key, context, plaintext())
      await expect(client.encrypt(edited(key, { accountId: '999988887777' }), context, plaintext())).rejects.toThrow(refusedMac)
      for (const mac of [flipped(key.mac, 0), flipped(key.mac, 31), Buffer.alloc(32)]) await expect(client.decrypt({ row: key.row, mac }, context, blob)).rejects.toThrow(refusedMac)
      expect(await client.decrypt(key, context, blob)).toEqual(plaintext())
    }),
    rule('reencrypts to another key and back, and to itself', async ({ token: { client } }, key) => {
      const large = randomBytes(4_096)
      const to = await client.create(newPlan(), false)
      const from = await client.encrypt(key, context, Buffer.from(large))
      const there = await client.reencrypt({ material: key, context }, { material: to, context: other }, from)
      expect(await client.decrypt(to, other, there)).toEqual(large)
      const back = await client.reencrypt({ material: to, context: other }, { material: key, context }, there)
      expect(await client.decrypt(key, context, back)).toEqual(large)
      const self = await client.reencrypt({ material: key, context }, { material: key, context: other }, from)
      expect(await client.decrypt(key, other, self)).toEqual(large)
      await expect(client.reencrypt({ material: key, context: other }, { material: to, context }, from)).rejects.toThrow(invalid)
    }),
  ]
})

const ofNames: Rule = {
  name: 'a blob opens only under the material that its header names, so that GCM\'s missing key commitment does no harm',
  async check({ token: { client } }) {
    const key = await client.create(newPlan(), false)
    const another = await client.create(newPlan({ keyId: decodeMaterial(key.row).keyId }), false)
    const blob = await client.encrypt(key, context, plaintext())
    const { header, sealed } = parseCiphertext(blob)
    const renamed = (changes: Partial<typeof header>): Buffer => Buffer.concat([encodeHeader({ ...header, ...changes }), sealed])
    // Not under another material of the same key, as it is or renamed to it.
    for (const wrong of [blob, renamed({ materialId: decodeMaterial(another.row).materialId })]) await expect(client.decrypt(another, context, wrong)).rejects.toThrow(invalid)
    // Not under the right material by a header that names another in any field.
    for (const wrong of [
      { keyId: keyIdBytes(randomUUID()) }, { materialId: randomBytes(32) }, { backing: 2 }, { multiRegion: true }, { iv: randomBytes(header.iv.length) },
      { mode: 'derived' as const, iv: randomBytes(cipherModes.derived.ivBytes) },
    ]) await expect(client.decrypt(key, context, renamed(wrong))).rejects.toThrow(invalid)
    expect(await client.decrypt(key, context, blob)).toEqual(plaintext())
  },
}

const fieldEdits: readonly (readonly [string, Partial<Material>])[] = [
  ['account', { accountId: '999988887777' }], ['Region', { region: 'onprem-2' }], ['key id', { keyId: randomUUID() }], ['material id', { materialId: randomBytes(32) }],
  ['backing number', { backing: 2 }], ['origin', { origin: 'EXTERNAL' }], ['spec', { spec: 'HMAC_256' }], ['usage', { usage: 'TRENT_SEAL' }],
  ['cipher mode', { cipherMode: 'derived' }], ['residency', { residency: 'resident' }], ['CKA_ID', { ckaId: randomBytes(16) }], ['domain', { domainId: randomBytes(16) }],
  ['domain version', { domainVersion: 2 }], ['public key digest', { spkiDigest: randomBytes(32) }], ['blob', { blob: randomBytes(40) }],
]

async function expectRefused({ token: { client } }: Subject, material: SealedMaterial, blob: Buffer): Promise<void> {
  await expect(client.encrypt(material, context, plaintext())).rejects.toThrow(refusedMac)
  await expect(client.decrypt(material, context, blob)).rejects.toThrow(refusedMac)
}

/** Each on a key that the agent has not seen, and again on one that it holds open: an edit in the database meets both. */
const ofEdits: readonly Rule[] = (['cold', 'hot'] as const).flatMap((state): Rule[] => {
  const make = async ({ token: { client } }: Subject, plan = newPlan()): Promise<{ material: SealedMaterial; blob: Buffer }> => {
    const material = await client.create(plan, false)
    if (state === 'hot') return { material, blob: await client.encrypt(material, context, plaintext()) }
    // A blob of the right form, of a key that is not open.
    const { keyId, materialId } = plan
    return { material, blob: Buffer.concat([encodeHeader({ mode: 'direct', multiRegion: false, keyId: keyIdBytes(keyId), materialId, backing: 1, iv: randomBytes(12) }), randomBytes(40)]) }
  }
  return [
    ...fieldEdits.map(([what, changes]): Rule => ({
      name: `a ${state} material is refused for an edited ${what}`,
      async check(subject) {
        const { material, blob } = await make(subject)
        await expectRefused(subject, edited(material, changes), blob)
      },
    })),
    {
      name: `a ${state} material is refused with blob, MAC or resident object of another key`,
      async check(subject) {
        const [one, another] = [await make(subject), await make(subject)]
        await expectRefused(subject, edited(one.material, { blob: decodeMaterial(another.material.row).blob }), one.blob)
        await expectRefused(subject, { row: one.material.row, mac: another.material.mac }, one.blob)
        const [mine, theirs] = [await make(subject, residentPlan()), await make(subject, residentPlan())]
        await expectRefused(subject, edited(mine.material, { ckaId: decodeMaterial(theirs.material.row).ckaId }), mine.blob)
      },
    },
  ]
})

const ofMaking: readonly Rule[] = [
  {
    name: 'a wrapped key has its plan, the domain and a blob in its row',
    async check({ token: { client, domain } }) {
      const plan = newPlan()
      const made = decodeMaterial((await client.create(plan, false)).row)
      expect(made).toMatchObject({ ...plan, domainId: Buffer.from(domain.id, 'hex'), domainVersion: 1, spkiDigest: Buffer.alloc(0) })
      // RFC 5649: 32 bytes of key and 8 of integrity check.
      expect(made.blob).toHaveLength(40)
    },
  },
  {
    name: 'a resident key has no blob, and is the same when it is made again',
    async check({ token: { client } }) {
      const plan = residentPlan()
      const first = await client.create(plan, false)
      expect(decodeMaterial(first.row).blob).toHaveLength(0)
      const blob = await client.encrypt(first, context, plaintext())
      expect(await client.create(plan, true)).toEqual(first)
      expect(await client.decrypt(first, context, blob)).toEqual(plaintext())
    },
  },
  {
    name: 'a resident key is made where the earlier attempt did not get to the token',
    async check({ token: { client } }) {
      const made = await client.create(residentPlan(), true)
      expect(await client.decrypt(made, context, await client.encrypt(made, context, plaintext()))).toEqual(plaintext())
    },
  },
  {
    name: 'no key is made of a kind that the agent does not know',
    async check({ token: { client } }) {
      for (const [changes, text] of [
        [{ spec: 'NO_SUCH_SPEC' }, 'no key of spec NO_SUCH_SPEC for ENCRYPT_DECRYPT'],
        [{ usage: 'SIGN_VERIFY' }, 'no key of spec SYMMETRIC_DEFAULT for SIGN_VERIFY'],
        [{ cipherMode: 'none' as const }, 'no key of spec SYMMETRIC_DEFAULT for ENCRYPT_DECRYPT'],
        [{ spec: '__proto__', usage: 'constructor' }, 'no key of spec __proto__ for constructor'],
      ] as const) await expect(client.create(newPlan(changes), false)).rejects.toThrow(new MaterialRefused(text))
    },
  },
  {
    name: 'a key that was closed to make room for others is opened again',
    async check({ token }) {
      const { client } = token
      const all = Array.from({ length: heldLimit + inFlight }, (_, number) => number)
      const keys: SealedMaterial[] = []
      const blobs: Buffer[] = []
      await inTurns(all, async number => {
        const key = await client.create(newPlan(), false)
        keys[number] = key
        blobs[number] = await client.encrypt(key, context, Buffer.from(`key ${number}`))
      })
      await inTurns(all, async number => {
        const [key, blob] = [keys[number], blobs[number]]
        if (key === undefined || blob === undefined) throw new Error(`no key ${number}`)
        expect((await client.decrypt(key, context, blob)).toString()).toBe(`key ${number}`)
      })
      expect(token.starts).toEqual(['first'])
    },
  },
]

/** All of them, some at a time. */
async function inTurns(all: readonly number[], work: (number: number) => Promise<void>): Promise<void> {
  const left = [...all]
  await Promise.all(Array.from({ length: inFlight }, async () => {
    for (let next = left.shift(); next !== undefined; next = left.shift()) await work(next)
  }))
}

const owner = Buffer.from('owner')
const notSo = new MaterialRefused('the key may not be used so')

const ofOthers: readonly Rule[] = [
  {
    name: 'credentials are sealed, opened by their owner alone, and refused when changed or too short',
    async check({ token: { client, domain: { sealKey } } }) {
      const sealed = await client.seal(sealKey, owner, Buffer.from('secret'))
      expect(sealed.includes('secret')).toBe(false)
      expect((await client.unseal(sealKey, owner, sealed)).toString()).toBe('secret')
      expect(await client.seal(sealKey, owner, Buffer.from('secret'))).not.toEqual(sealed)
      const changed = Array.from(sealed, (_, at) => [owner, flipped(sealed, at)] as const)
      for (const [aad, bytes] of [[Buffer.from('thief'), sealed] as const, ...changed, [owner, sealed.subarray(0, 33)] as const, [owner, Buffer.alloc(0)] as const]) {
        await expect(client.unseal(sealKey, aad, bytes)).rejects.toThrow(new SealBroken('the sealed bytes do not open'))
      }
    },
  },
  {
    name: 'a sealing key neither encrypts nor decrypts, cold or hot',
    async check({ token: { client } }) {
      const sealKey = await client.create(newPlan({ usage: 'TRENT_SEAL' }), false)
      for (const round of ['cold', 'hot']) {
        await expect(client.encrypt(sealKey, context, plaintext()), round).rejects.toThrow(notSo)
        await expect(client.decrypt(sealKey, context, randomBytes(100)), round).rejects.toThrow(notSo)
        expect((await client.seal(sealKey, context, Buffer.from('x'))).length, round).toBe(34)
      }
    },
  },
  {
    name: 'a KMS key neither seals nor unseals, cold or hot',
    async check({ token: { client } }) {
      const key = await client.create(newPlan(), false)
      for (const round of ['cold', 'hot']) {
        await expect(client.seal(key, context, Buffer.from('x')), round).rejects.toThrow(notSo)
        await expect(client.unseal(key, context, randomBytes(100)), round).rejects.toThrow(notSo)
        expect((await client.encrypt(key, context, plaintext())).length, round).toBeGreaterThan(80)
      }
    },
  },
  {
    name: 'random bytes come in all lengths, and are others each time',
    async check({ token: { client } }) {
      for (const length of [1, 32, 1_024]) expect(await client.random(length)).toHaveLength(length)
      expect(await client.random(32)).not.toEqual(await client.random(32))
    },
  },
  {
    name: 'the canary of the database opens, and no changed one',
    async check({ token: { client, domain: { canary } } }) {
      expect(await client.canary(canary, none, canary.ciphertext)).toBe(true)
      expect(await client.canary(canary, none, flipped(canary.ciphertext, 70))).toBe(false)
      expect(await client.canary(canary, context, canary.ciphertext)).toBe(false)
    },
  },
]

export const rules: readonly Rule[] = [...ofKinds, ofNames, ...ofEdits, ...ofMaking, ...ofOthers]
