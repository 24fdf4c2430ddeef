import { randomBytes, randomUUID } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { AnswerFrame } from '../../src/hsm/agent/frames.ts'
import { HsmClient } from '../../src/hsm/client.ts'
import { MaterialRefused, SealBroken } from '../../src/hsm/hsm.ts'
import { KmsError } from '../../src/errors.ts'
import { cipherModes, encodeHeader, headerBytes, parseCiphertext } from '../../src/keys/ciphertext.ts'
import { encodeContext } from '../../src/keys/context.ts'
import { keyIdBytes } from '../../src/keys/identifier.ts'
import { decodeMaterial, encodeMaterial, type Material, type SealedMaterial } from '../../src/keys/material.ts'
import { newPlan, openToken, poke, residentPlan, type TestToken } from '../support/token.ts'

let token: TestToken
let client: HsmClient
let wrapped: SealedMaterial
let resident: SealedMaterial

const context = encodeContext(new Map([['tenant', 'blue']]))
const plaintext = (): Buffer => Buffer.from('what only the token may open')
const refusedMac = new MaterialRefused('the MAC of a material row is wrong')

beforeAll(async () => {
  token = await openToken()
  client = token.client
  wrapped = await client.create(newPlan(), false)
  resident = await client.create(residentPlan(), false)
})
afterAll(() => token.remove())

/** The row with other fields, under the MAC that it had. */
const edited = ({ row, mac }: SealedMaterial, changes: Partial<Material>): SealedMaterial => ({ row: encodeMaterial({ ...decodeMaterial(row), ...changes }), mac })
const flipped = (bytes: Buffer, at = 0): Buffer => {
  const changed = Buffer.from(bytes)
  changed[at] = (changed[at] ?? 0) ^ 1
  return changed
}

describe('encrypt and decrypt', () => {
  it('open what they made, wrapped and resident, in both modes, with the same context', async () => {
    const derived = await Promise.all([newPlan({ cipherMode: 'derived' }), residentPlan({ cipherMode: 'derived' })].map(plan => client.create(plan, false)))
    for (const material of [wrapped, resident, ...derived]) {
      const blob = await client.encrypt(material, context, plaintext())
      expect(await client.decrypt(material, context, blob)).toEqual(plaintext())
      expect(blob.includes(plaintext())).toBe(false)
    }
  })

  it('put key id, material id, backing number and a fresh IV into the header', async () => {
    const material = decodeMaterial(wrapped.row)
    const [one, other] = [parseCiphertext(await client.encrypt(wrapped, context, plaintext())), parseCiphertext(await client.encrypt(wrapped, context, plaintext()))]
    expect(one.header).toMatchObject({ mode: 'direct', multiRegion: false, keyId: keyIdBytes(material.keyId), materialId: material.materialId, backing: 1 })
    expect(one.header.iv).not.toEqual(other.header.iv)
  })

  it.each([1, 4096, 8192])('take a plaintext of %i bytes', async length => {
    const bytes = randomBytes(length)
    expect(await client.decrypt(wrapped, context, await client.encrypt(wrapped, context, Buffer.from(bytes)))).toEqual(bytes)
  })

  it('take a context of hundreds of kilobytes', async () => {
    const large = encodeContext(new Map([['k', 'v'.repeat(500_000)]]))
    expect(await client.decrypt(wrapped, large, await client.encrypt(wrapped, large, plaintext()))).toEqual(plaintext())
  })

  it('refuse another context, or none', async () => {
    const blob = await client.encrypt(wrapped, context, plaintext())
    for (const other of [encodeContext(undefined), encodeContext(new Map([['tenant', 'red']]))]) {
      await expect(client.decrypt(wrapped, other, blob)).rejects.toMatchObject({ name: 'KmsError', code: 'InvalidCiphertextException', text: undefined })
    }
  })

  it.each(['direct', 'derived'] as const)('refuse a blob of %s mode in which any one byte is changed, with one error', async cipherMode => {
    const material = await client.create(newPlan({ cipherMode }), false)
    const blob = await client.encrypt(material, context, plaintext())
    expect(parseCiphertext(blob).header.mode).toBe(cipherMode)
    const refusals = await Promise.all(Array.from(blob, (_, at) => client.decrypt(material, context, flipped(blob, at)).then(() => 'opened', (thrown: unknown) => (thrown as KmsError).code)))
    expect(new Set(refusals)).toEqual(new Set(['InvalidCiphertextException']))
  })

  it('a blob opens only under the material that its header names, so that GCM\'s missing key commitment does no harm', async () => {
    const material = decodeMaterial(wrapped.row)
    const other = await client.create(newPlan({ keyId: material.keyId }), false)
    const blob = await client.encrypt(wrapped, context, plaintext())
    // Not under another material of the same key, as it is or renamed to it.
    await expect(client.decrypt(other, context, blob)).rejects.toThrow(new KmsError('InvalidCiphertextException'))
    const { header, sealed } = parseCiphertext(blob)
    const renamed = Buffer.concat([encodeHeader({ ...header, materialId: decodeMaterial(other.row).materialId }), sealed])
    await expect(client.decrypt(other, context, renamed)).rejects.toThrow(new KmsError('InvalidCiphertextException'))
    // Not under the right material by a header that names another in any field.
    const wrongNames = [{ keyId: keyIdBytes(randomUUID()) }, { materialId: randomBytes(32) }, { backing: 2 }, { multiRegion: true }, { iv: randomBytes(12) }]
    for (const wrong of wrongNames) {
      await expect(client.decrypt(wrapped, context, Buffer.concat([encodeHeader({ ...header, ...wrong }), sealed]))).rejects.toThrow(new KmsError('InvalidCiphertextException'))
    }
    const derived = encodeHeader({ ...header, mode: 'derived', iv: randomBytes(cipherModes.derived.ivBytes) })
    await expect(client.decrypt(wrapped, context, Buffer.concat([derived, sealed]))).rejects.toThrow(new KmsError('InvalidCiphertextException'))
    expect(await client.decrypt(wrapped, context, blob)).toEqual(plaintext())
  })

  it('refuse what is no ciphertext at all', async () => {
    for (const junk of [Buffer.alloc(0), Buffer.alloc(1), randomBytes(headerBytes('direct')), randomBytes(200)]) {
      await expect(client.decrypt(wrapped, context, junk)).rejects.toThrow(new KmsError('InvalidCiphertextException'))
    }
  })
})

describe('seal and unseal', () => {
  const aad = Buffer.from('owner')

  it('open what they made under the same owner', async () => {
    const sealed = await client.seal(token.domain.sealKey, aad, Buffer.from('secret'))
    expect((await client.unseal(token.domain.sealKey, aad, sealed)).toString()).toBe('secret')
  })

  it('refuse another owner, any changed byte and what is too short', async () => {
    const sealed = await client.seal(token.domain.sealKey, aad, Buffer.from('secret'))
    const changed = Array.from(sealed, (_, at) => [aad, flipped(sealed, at)] as const)
    for (const [otherAad, bytes] of [[Buffer.from('thief'), sealed] as const, ...changed, [aad, sealed.subarray(0, 33)] as const, [aad, Buffer.alloc(0)] as const]) {
      await expect(client.unseal(token.domain.sealKey, otherAad, bytes)).rejects.toThrow(new SealBroken('the sealed bytes do not open'))
    }
  })
})

describe('usages are apart', () => {
  const notSo = new MaterialRefused('the key may not be used so')

  it('a sealing key neither encrypts nor decrypts, cold or hot', async () => {
    const sealKey = await client.create(newPlan({ usage: 'TRENT_SEAL' }), false)
    for (const round of ['cold', 'hot']) {
      await expect(client.encrypt(sealKey, context, plaintext()), round).rejects.toThrow(notSo)
      await expect(client.decrypt(sealKey, context, randomBytes(100)), round).rejects.toThrow(notSo)
      expect((await client.seal(sealKey, context, Buffer.from('x'))).length, round).toBe(34)
    }
  })

  it('a KMS key neither seals nor unseals, cold or hot', async () => {
    const key = await client.create(newPlan(), false)
    for (const round of ['cold', 'hot']) {
      await expect(client.seal(key, context, Buffer.from('x')), round).rejects.toThrow(notSo)
      await expect(client.unseal(key, context, randomBytes(100)), round).rejects.toThrow(notSo)
      expect((await client.encrypt(key, context, plaintext())).length, round).toBeGreaterThan(80)
    }
  })

  it.each([
    ['spec', { spec: 'RSA_2048' }, 'no key of spec RSA_2048 for ENCRYPT_DECRYPT'],
    ['usage', { usage: 'SIGN_VERIFY' }, 'no key of spec SYMMETRIC_DEFAULT for SIGN_VERIFY'],
    ['cipher mode', { cipherMode: 'none' as const }, 'no key of spec SYMMETRIC_DEFAULT for ENCRYPT_DECRYPT'],
    ['name from Object.prototype', { spec: '__proto__', usage: 'constructor' }, 'no key of spec __proto__ for constructor'],
  ])('no key is made of another %s', async (_what, changes, message) => {
    await expect(client.create(newPlan(changes), false)).rejects.toThrow(new MaterialRefused(message))
  })
})

describe('random', () => {
  it.each([1, 32, 1024])('gives %i bytes', async length => {
    const [one, other] = [await client.random(length), await client.random(length)]
    expect([one.length, other.length]).toEqual([length, length])
    if (length > 1) expect(one).not.toEqual(other)
  })
})

describe('create', () => {
  it('fills in domain, version and blob of a wrapped key and keeps the plan', async () => {
    const plan = newPlan()
    const made = decodeMaterial((await client.create(plan, false)).row)
    expect(made).toMatchObject({ ...plan, domainId: Buffer.from(token.domain.id, 'hex'), domainVersion: 1, spkiDigest: Buffer.alloc(0) })
    // RFC 5649: 32 bytes of key and 8 of integrity check.
    expect(made.blob).toHaveLength(40)
  })

  it('leaves no blob of a resident key, and one object on the token', async () => {
    const plan = residentPlan()
    const made = decodeMaterial((await client.create(plan, false)).row)
    expect(made.blob).toHaveLength(0)
    expect(await poke(token.directory, 'count', { id: plan.ckaId.toString('hex') })).toBe(1)
  })

  it('finds the object of an earlier attempt when told that there may be one', async () => {
    const plan = residentPlan()
    const first = await client.create(plan, false)
    const blob = await client.encrypt(first, context, plaintext())
    const again = await client.create(plan, true)
    expect(again).toEqual(first)
    expect(await poke(token.directory, 'count', { id: plan.ckaId.toString('hex') })).toBe(1)
    expect(await client.decrypt(again, context, blob)).toEqual(plaintext())
  })

  it('makes the object when the earlier attempt did not get to it', async () => {
    const plan = residentPlan()
    const made = await client.create(plan, true)
    expect(await poke(token.directory, 'count', { id: plan.ckaId.toString('hex') })).toBe(1)
    expect(await client.decrypt(made, context, await client.encrypt(made, context, plaintext()))).toEqual(plaintext())
  })

  it('refuses a resident key of which the token holds two', async () => {
    const plan = residentPlan()
    const id = plan.ckaId.toString('hex')
    const made = await client.create(plan, false)
    expect(await poke(token.directory, 'duplicate', { id, label: 'intruder' })).toBe(2)
    await expect(client.encrypt(made, context, plaintext())).rejects.toThrow(new MaterialRefused(`two keys with CKA_ID ${id}`))
    await expect(client.create(plan, true)).rejects.toThrow(new MaterialRefused(`two keys with CKA_ID ${id}`))
  })

  it('gives no handle for a resident key that the token does not hold', async () => {
    const ghost = await openToken()
    try {
      const plan = residentPlan()
      const made = await ghost.client.create(plan, false)
      await expect(client.encrypt(made, context, plaintext())).rejects.toThrow(new MaterialRefused(`the token has no object with CKA_ID ${plan.ckaId.toString('hex')}`))
    } finally {
      await ghost.remove()
    }
  })
})

/** Each on a key that the agent has not seen, and again on one that it holds open: an edit in the database meets both. */
describe.each(['cold', 'hot'])('a material that someone edited in the database, %s', state => {
  const make = async (plan = newPlan()): Promise<{ material: SealedMaterial; blob: Buffer }> => {
    const material = await client.create(plan, false)
    if (state === 'cold') {
      // Another client's key of the same plan: a blob of the right form, of a key that is not open.
      const { keyId, materialId } = plan
      return { material, blob: Buffer.concat([encodeHeader({ mode: 'direct', multiRegion: false, keyId: keyIdBytes(keyId), materialId, backing: 1, iv: randomBytes(12) }), randomBytes(40)]) }
    }
    return { material, blob: await client.encrypt(material, context, plaintext()) }
  }
  const expectRefused = async (material: SealedMaterial, blob: Buffer): Promise<void> => {
    await expect(client.encrypt(material, context, plaintext())).rejects.toThrow(refusedMac)
    await expect(client.decrypt(material, context, blob)).rejects.toThrow(refusedMac)
  }

  it.each<[string, Partial<Material>]>([
    ['account', { accountId: '999988887777' }],
    ['Region', { region: 'onprem-2' }],
    ['key id', { keyId: randomUUID() }],
    ['material id', { materialId: randomBytes(32) }],
    ['backing number', { backing: 2 }],
    ['origin', { origin: 'EXTERNAL' }],
    ['spec', { spec: 'HMAC_256' }],
    ['usage', { usage: 'TRENT_SEAL' }],
    ['cipher mode', { cipherMode: 'derived' }],
    ['residency', { residency: 'resident' }],
    ['CKA_ID', { ckaId: randomBytes(16) }],
    ['domain', { domainId: randomBytes(16) }],
    ['domain version', { domainVersion: 2 }],
    ['public key digest', { spkiDigest: randomBytes(32) }],
    ['blob', { blob: randomBytes(40) }],
  ])('is refused for its %s', async (_what, changes) => {
    const { material, blob } = await make()
    await expectRefused(edited(material, changes), blob)
  })

  it('is refused for a changed MAC', async () => {
    const { material, blob } = await make()
    await expectRefused({ row: material.row, mac: flipped(material.mac, 31) }, blob)
  })

  it('is refused with the blob of another key', async () => {
    const [one, other] = [await make(), await make()]
    await expectRefused(edited(one.material, { blob: decodeMaterial(other.material.row).blob }), one.blob)
    await expectRefused(edited(other.material, { blob: decodeMaterial(one.material.row).blob }), other.blob)
  })

  it('is refused with the resident object of another key', async () => {
    const [one, other] = [await make(residentPlan()), await make(residentPlan())]
    await expectRefused(edited(one.material, { ckaId: decodeMaterial(other.material.row).ckaId }), one.blob)
  })

  it('is refused with the MAC of another row', async () => {
    const [one, other] = [await make(), await make()]
    await expectRefused({ row: one.material.row, mac: other.material.mac }, one.blob)
  })

  it('still serves as it was made', async () => {
    const { material } = await make()
    const blob = await client.encrypt(material, context, plaintext())
    await expect(client.encrypt(edited(material, { accountId: '999988887777' }), context, plaintext())).rejects.toThrow(refusedMac)
    expect(await client.decrypt(material, context, blob)).toEqual(plaintext())
  })
})

describe('a domain', () => {
  it('opens its own canary and not one whose bytes were changed', async () => {
    const { canary } = token.domain
    expect(await client.canary(canary, encodeContext(undefined), canary.ciphertext)).toBe(true)
    expect(await client.canary(canary, encodeContext(undefined), flipped(canary.ciphertext, 70))).toBe(false)
    expect(await client.canary(canary, context, canary.ciphertext)).toBe(false)
  })

  it('of a version that the token does not hold ends the start with a sentence', async () => {
    const { id, canary, sealKey } = token.domain
    await expect(openToken({ domain: { id, version: 2, canary, sealKey } as { id: string; version: number } }))
      .rejects.toThrow(`the token does not hold the domain key of this database's domain ${id} (version 2): the database belongs to another token`)
  })
})

describe('the row of a key', () => {
  it('is sent only when a worker asks for it', async () => {
    const answers: string[] = []
    const observed = new HsmClient({ observe: (_token: string, answer: AnswerFrame) => { answers.push(answer.status) } })
    observed.setAgent(token.supervisor.address)
    try {
      const material = await client.create(newPlan(), false)
      for (let i = 0; i < 10; i++) await observed.encrypt(material, context, plaintext())
      // Two workers at most, each asking once; every call ends well.
      expect(answers.filter(status => status === 'ok')).toHaveLength(10)
      expect(answers[0]).toBe('needRow')
      expect(answers.filter(status => status === 'needRow').length).toBeLessThanOrEqual(2)
      expect(answers.filter(status => status !== 'ok' && status !== 'needRow')).toEqual([])
    } finally {
      observed.close()
    }
  })
})
