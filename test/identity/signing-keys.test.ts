import { describe, expect, it } from 'vitest'
import { HsmUnavailable, SealBroken } from '../../src/hsm/hsm.ts'
import { accessKeyAad } from '../../src/identity/access-key.ts'
import { SigningKeys, type SealedAccessKey, type SigningKeysOptions } from '../../src/identity/signing-keys.ts'
import type { SealedMaterial } from '../../src/keys/material.ts'
import { deriveSigningKey } from '../../src/sigv4/signing.ts'

const secret = 'wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY'
const accessKey: SealedAccessKey = {
  id: 'AKIAIOSFODNN7EXAMPLE', accountId: '111122223333', userId: 'AIDACKCEVSQ6C2EXAMPLE', sealedSecret: seal(secret), serviceKeyVersion: 1,
}
const noon = new Date('2026-11-22T12:00:00Z')
const derived = (of = secret, date = '20261122', region = 'eu-central-1', service = 'kms') => deriveSigningKey(Buffer.from(of), date, region, service)

/** The only one of an HSM's verbs that matters here: what was sealed is AAD, a zero byte, and the secret. */
function seal(text: string, change: Partial<SealedAccessKey> = {}): Buffer {
  const { id, userId, accountId } = { id: 'AKIAIOSFODNN7EXAMPLE', userId: 'AIDACKCEVSQ6C2EXAMPLE' as string | null, accountId: '111122223333', ...change }
  return Buffer.concat([accessKeyAad(id, userId ?? 'root', accountId), Buffer.from([0]), Buffer.from(text)])
}

function setUp(options: Partial<SigningKeysOptions> = {}) {
  const seen: { materials: SealedMaterial[], secrets: Buffer[] } = { materials: [], secrets: [] }
  const clock = { now: noon }
  const keys = new SigningKeys({
    hsm: {
      async unseal(material, aad, sealed) {
        seen.materials.push(material)
        await Promise.resolve()
        if (!sealed.subarray(0, aad.length).equals(aad)) throw new SealBroken('not sealed with this key and aad')
        const plaintext = Buffer.from(sealed.subarray(aad.length + 1))
        seen.secrets.push(plaintext)
        return plaintext
      },
    },
    serviceKey: version => version === 1 ? { row: Buffer.from('row'), mac: Buffer.alloc(32, 1) } : undefined,
    now: () => clock.now,
    ...options,
  })
  const get = (row: SealedAccessKey = accessKey, date = '20261122', region = 'eu-central-1', service = 'kms') => keys.get(row, { date, region, service })
  return { keys, get, seen, clock }
}

describe('a signing key', () => {
  it('is unsealed once, and then there without waiting', async () => {
    const { get, seen } = setUp()
    const first = get()
    expect(first).toBeInstanceOf(Promise)
    expect(await first).toEqual(derived())
    expect(get()).toEqual(derived())
    expect(get({ ...accessKey, sealedSecret: Buffer.from(accessKey.sealedSecret) })).toEqual(derived())
    expect(seen.materials).toEqual([{ row: Buffer.from('row'), mac: Buffer.alloc(32, 1) }])
  })

  it('leaves no secret behind', async () => {
    const { get, seen } = setUp()
    await get()
    expect(seen.secrets).toEqual([Buffer.alloc(40)])
  })

  it('that many ask for at once is unsealed once', async () => {
    const { get, seen } = setUp()
    const answers = await Promise.all(Array.from({ length: 20 }, async () => await get()))
    expect(answers.every(key => key.equals(derived()))).toBe(true)
    expect(seen.materials).toHaveLength(1)
  })

  it('asks before it is unsealed, not when an unseal is joined or the key is known', async () => {
    const { keys, seen } = setUp()
    const scope = { date: '20261122', region: 'eu-central-1', service: 'kms' }
    const refused = new Error('not for you')
    expect(() => keys.get(accessKey, scope, () => { throw refused })).toThrow(refused)
    expect(seen.materials).toHaveLength(0)
    let asked = 0
    const begin = (): void => { asked++ }
    await Promise.all(Array.from({ length: 20 }, async () => await keys.get(accessKey, scope, begin)))
    expect(await keys.get(accessKey, scope, begin)).toEqual(derived())
    expect(asked).toBe(1)
  })

  it('can be looked at without any work, also when the row has changed', async () => {
    const { keys, get, seen } = setUp()
    const scope = { date: '20261122', region: 'eu-central-1', service: 'kms' }
    expect(keys.peek(accessKey.id, scope)).toBeUndefined()
    await get()
    expect(keys.peek(accessKey.id, scope)).toEqual(derived())
    expect(keys.peek(accessKey.id, { ...scope, service: 'sts' })).toBeUndefined()
    expect(keys.peek('AKIAOTHER', scope)).toBeUndefined()
    expect(seen.materials).toHaveLength(1)
  })

  it('is another for another day, Region and service', async () => {
    const { get, seen } = setUp()
    expect(await get()).toEqual(derived())
    expect(await get(accessKey, '20261122', 'eu-west-1')).toEqual(derived(secret, '20261122', 'eu-west-1'))
    expect(await get(accessKey, '20261122', 'eu-central-1', 'sts')).toEqual(derived(secret, '20261122', 'eu-central-1', 'sts'))
    expect(await get(accessKey, '20261121')).toEqual(derived(secret, '20261121'))
    expect(seen.materials).toHaveLength(4)
  })

  it('of the root user is bound to root', async () => {
    const { get } = setUp()
    expect(await get({ ...accessKey, userId: null, sealedSecret: seal(secret, { userId: null }) })).toEqual(derived())
  })
})

describe('a row that changed', () => {
  it('with another sealed secret never gets the old key', async () => {
    const { get, seen } = setUp()
    await get()
    const replaced = { ...accessKey, sealedSecret: seal('another secret') }
    expect(await get(replaced)).toEqual(derived('another secret'))
    expect(get(replaced)).toEqual(derived('another secret'))
    expect(seen.materials).toHaveLength(2)
  })

  it('while the old one is being unsealed does not get the old one\'s answer', async () => {
    const { get } = setUp()
    const [old, replaced] = await Promise.all([get(), get({ ...accessKey, sealedSecret: seal('another secret') })])
    expect(replaced).toEqual(derived('another secret'))
    expect(old.equals(replaced)).toBe(false)
  })

  it.each<[string, Partial<SealedAccessKey>]>([
    ['user', { userId: 'AIDAOTHEROTHEROTHERAA' }], ['root user', { userId: null }], ['account', { accountId: '444455556666' }],
  ])('to belong to another %s meets the seal, not the known key', async (_, change) => {
    const { get } = setUp()
    await get()
    await expect(get({ ...accessKey, ...change })).rejects.toThrow(new SealBroken('not sealed with this key and aad'))
    expect(get()).toEqual(derived())
  })

  it('to name a service key that is not there is refused', async () => {
    const { get } = setUp()
    await get()
    await expect(get({ ...accessKey, serviceKeyVersion: 2 })).rejects.toThrow(new SealBroken('access key AKIAIOSFODNN7EXAMPLE: no service key of version 2'))
  })
})

it('a failure is not remembered', async () => {
  let answers = 0
  const { get } = setUp({
    hsm: {
      unseal: () => answers++ === 0 ? Promise.reject(new HsmUnavailable('unavailable', 'no token')) : Promise.resolve(Buffer.from(secret)),
    },
  })
  await expect(get()).rejects.toThrow(new HsmUnavailable('unavailable', 'no token'))
  expect(await get()).toEqual(derived())
})

describe('a key is dropped, its bytes overwritten by others than zeroes,', () => {
  const overwritten = (key: Buffer) => {
    expect(key.equals(derived())).toBe(false)
    expect(key.equals(Buffer.alloc(32))).toBe(false)
  }

  it('when others push it out, the longest unused first', async () => {
    const { get, seen } = setUp({ limit: 2 })
    const first = await get()
    const second = await get(accessKey, '20261122', 'eu-west-1')
    expect(get()).toBe(first)
    await get(accessKey, '20261122', 'eu-west-2')
    expect(get()).toBe(first)
    expect(second.equals(derived(secret, '20261122', 'eu-west-1'))).toBe(false)
    expect(seen.materials).toHaveLength(3)
    await get(accessKey, '20261122', 'eu-west-1')
    expect(seen.materials).toHaveLength(4)
  })

  it('when its day is over and no request can carry it any more', async () => {
    const { get, clock, seen } = setUp()
    const key = await get()
    clock.now = new Date('2026-11-23T00:14:59.999Z')
    expect(get()).toBe(key)
    clock.now = new Date('2026-11-23T00:15:00Z')
    await get(accessKey, '20261123')
    overwritten(key)
    expect(seen.materials).toHaveLength(2)
  })

  it('by clear', async () => {
    const { keys, get, seen } = setUp()
    const key = await get()
    keys.clear()
    overwritten(key)
    expect(await get()).toEqual(derived())
    expect(seen.materials).toHaveLength(2)
  })
})

it('a key that was on its way when all were dropped is not kept', async () => {
  const { keys, get, seen } = setUp()
  const late = get()
  keys.clear()
  expect(await late).toEqual(derived())
  await get()
  expect(seen.materials).toHaveLength(2)
})

it.each(['20261120', '20261124', '20269999', 'today'])('a key for the day %s, which no request of now can carry, is not kept', async date => {
  const { get, seen } = setUp()
  await get(accessKey, date)
  await get(accessKey, date)
  expect(seen.materials).toHaveLength(2)
})

it('tomorrow\'s key is kept five minutes before midnight', async () => {
  const { get, clock, seen } = setUp()
  clock.now = new Date('2026-11-22T23:55:00Z')
  await get(accessKey, '20261123')
  expect(get(accessKey, '20261123')).toEqual(derived(secret, '20261123'))
  expect(seen.materials).toHaveLength(1)
})
