import { createHash, randomBytes } from 'node:crypto'
import { beforeAll, expect, test } from 'vitest'
import { transaction, type Pool } from '../../src/store/database.ts'
import { loadKeyEntry } from '../../src/store/key-entries.ts'
import { countKeys, findKey, insertKey, listKeys, lockKey, updateCurrentMaterial, updateKeyDescription, updateKeyState } from '../../src/store/keys.ts'
import { confirmMaterial, findMaterial, insertMaterial } from '../../src/store/materials.ts'
import { findKeyPolicy, putKeyPolicy } from '../../src/store/policies.ts'
import { deleteTags, listTags, putTags } from '../../src/store/tags.ts'
import { useDatabase } from '../support/database.ts'
import { enabledKey, newAccount, newKey, planFor, region, sealed } from './fixtures.ts'

const database = useDatabase()
let pool: Pool
beforeAll(() => { pool = database.pool })

test('a key comes back as it was stored, with ARN and creation date', async () => {
  const wanted = newKey(await newAccount(pool), { description: 'für Ärger', state: 'PendingImport', origin: 'EXTERNAL' })
  const stored = await insertKey(pool, wanted)
  expect(stored).toMatchObject({ ...wanted, arn: `arn:aws:kms:${region}:${wanted.accountId}:key/${wanted.id}`, deletionDate: null, currentMaterialId: null })
  expect(Math.abs(stored.createdAt.getTime() - Date.now())).toBeLessThan(60_000)
  expect(await findKey(pool, wanted.id)).toEqual(stored)
  expect(await findKey(pool, newKey('').id)).toBeUndefined()
})

test('keys are listed by account in pages, by bytes of the id, without those whose creation is not confirmed', async () => {
  const [accountId, other] = [await newAccount(pool), await newAccount(pool)]
  await enabledKey(pool, other)
  const listed = [`mrk-${'0'.repeat(32)}`, `mrk-${'f'.repeat(32)}`]
  for (const id of listed) await insertKey(pool, newKey(accountId, { id, multiRegion: true, state: 'PendingImport', origin: 'EXTERNAL' }))
  for (let count = 0; count < 5; count++) listed.push((await enabledKey(pool, accountId)).key.id)
  const creating = newKey(accountId)
  await insertKey(pool, creating)
  await insertMaterial(pool, planFor(creating))
  listed.sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)))

  const pages: string[][] = []
  for (let after: string | undefined; ;) {
    const page = (await listKeys(pool, accountId, after, 3)).map(({ id }) => id)
    if (page.length === 0) break
    pages.push(page)
    after = page.at(-1)
  }
  expect(pages.map(page => page.length)).toEqual([3, 3, 1])
  expect(pages.flat()).toEqual(listed)
  expect(await countKeys(pool, accountId)).toBe(8)
})

test('a key in Creating whose material is confirmed is listed', async () => {
  const wanted = newKey(await newAccount(pool))
  await insertKey(pool, wanted)
  const plan = planFor(wanted)
  await insertMaterial(pool, plan)
  expect(await listKeys(pool, wanted.accountId, undefined, 10)).toEqual([])
  await confirmMaterial(pool, sealed(plan), null)
  expect((await listKeys(pool, wanted.accountId, undefined, 10)).map(({ id }) => id)).toEqual([wanted.id])
})

test('a state changes only from the states named', async () => {
  const { key } = await enabledKey(pool, await newAccount(pool))
  const date = new Date('2030-01-02T03:04:05.678Z')
  expect(await updateKeyState(pool, key.id, ['PendingImport'], 'PendingDeletion', date)).toBe(false)
  expect(await updateKeyState(pool, key.id, ['Enabled', 'Disabled'], 'PendingDeletion', date)).toBe(true)
  expect(await findKey(pool, key.id)).toMatchObject({ state: 'PendingDeletion', deletionDate: date })
  expect(await updateKeyState(pool, key.id, ['PendingDeletion'], 'Disabled', null)).toBe(true)
  expect(await findKey(pool, key.id)).toMatchObject({ state: 'Disabled', deletionDate: null })
  expect(await updateKeyDescription(pool, key.id, 'new')).toBe(true)
  expect(await findKey(pool, key.id)).toMatchObject({ description: 'new' })
})

test('a locked key waits for the transaction that holds it', async () => {
  const { key } = await enabledKey(pool, await newAccount(pool))
  const order: string[] = []
  let second: Promise<unknown> = Promise.resolve()
  await transaction(pool, async tx => {
    await lockKey(tx, key.id)
    second = transaction(pool, async other => {
      expect(await lockKey(other, key.id)).toMatchObject({ state: 'Disabled' })
      order.push('second')
    })
    // It waits: seen from the server, not by a clock.
    const waiting = "SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    await expect.poll(async () => (await pool.query(waiting)).rowCount).toBe(1)
    await updateKeyState(tx, key.id, ['Enabled'], 'Disabled', null)
    order.push('first')
  })
  await second
  expect(order).toEqual(['first', 'second'])
})

test('a material comes back exactly as the HSM authenticated it', async () => {
  const spki = randomBytes(91)
  const wanted = newKey(await newAccount(pool), { spec: 'ECC_NIST_P256', usage: 'SIGN_VERIFY' })
  await insertKey(pool, wanted)
  const plan = planFor(wanted, { cipherMode: 'none', residency: 'resident', ckaId: randomBytes(16), backing: 7 })
  await insertMaterial(pool, plan)
  expect(await findMaterial(pool, wanted.id, plan.materialId, 7)).toEqual({ plan, sealed: undefined, spki: null })
  const made = sealed(plan, createHash('sha256').update(spki).digest())
  expect(await confirmMaterial(pool, made, spki)).toBe(true)
  expect(await findMaterial(pool, wanted.id, plan.materialId, 7)).toEqual({ plan, sealed: made, spki })
  expect((await loadKeyEntry(pool, wanted.id))?.materials).toEqual([{ materialId: plan.materialId, backing: 7, sealed: made, spki }])
})

test('a material is confirmed once: the first answer stands', async () => {
  const wanted = newKey(await newAccount(pool))
  await insertKey(pool, wanted)
  const plan = planFor(wanted)
  await insertMaterial(pool, plan)
  const [first, second] = [sealed(plan), sealed(plan)]
  expect(await confirmMaterial(pool, first, null)).toBe(true)
  expect(await confirmMaterial(pool, second, null)).toBe(false)
  expect((await findMaterial(pool, wanted.id, plan.materialId, 1))?.sealed).toEqual(first)
})

test('a material other than the one planned is not confirmed', async () => {
  const wanted = newKey(await newAccount(pool))
  await insertKey(pool, wanted)
  const plan = planFor(wanted)
  await insertMaterial(pool, plan)
  const refused = 'materials.confirm: the HSM made another material than was planned'
  const spki = randomBytes(91)
  for (const made of [sealed({ ...plan, spec: 'HMAC_256' }), sealed({ ...plan, cipherMode: 'derived' }), sealed({ ...plan, accountId: '999999999999' })]) {
    await expect(transaction(pool, tx => confirmMaterial(tx, made, null))).rejects.toThrow(refused)
  }
  await expect(transaction(pool, tx => confirmMaterial(tx, sealed(plan), spki))).rejects.toThrow(refused)
  expect((await findMaterial(pool, wanted.id, plan.materialId, 1))?.sealed).toBeUndefined()
})

test('an edit of spec or account in keys changes the row that the MAC covers', async () => {
  const { key, plan, material } = await enabledKey(pool, await newAccount(pool))
  for (const edit of ["spec = 'HMAC_256'", "usage = 'SIGN_VERIFY'", "origin = 'EXTERNAL'", "region = 'us-east-1'"]) {
    await pool.query(`UPDATE keys SET ${edit} WHERE id = $1`, [key.id])
    const found = (await findMaterial(pool, key.id, plan.materialId, 1))?.sealed
    expect(found?.mac).toEqual(material.mac)
    expect(found?.row.equals(material.row), edit).toBe(false)
    await pool.query("UPDATE keys SET spec = 'SYMMETRIC_DEFAULT', usage = 'ENCRYPT_DECRYPT', origin = 'AWS_KMS', region = $2 WHERE id = $1", [key.id, region])
    expect((await findMaterial(pool, key.id, plan.materialId, 1))?.sealed).toEqual(material)
  }
})

test('a key with materials cannot be deleted: the database is all that knows of the object in the HSM', async () => {
  const { key } = await enabledKey(pool, await newAccount(pool))
  await expect(pool.query('DELETE FROM keys WHERE id = $1', [key.id])).rejects.toMatchObject({ code: '23503', constraint: 'materials_key_id_fkey' })
})

test('the cache entry of a key has policy, tags in their order and the confirmed materials, of one moment', async () => {
  const { key, plan, material } = await enabledKey(pool, await newAccount(pool))
  expect(await loadKeyEntry(pool, key.id)).toMatchObject({ policyDocument: undefined, tags: new Map() })
  const policy = '{"Version": "2012-10-17",  "Statement": []}'
  await putKeyPolicy(pool, key.id, 'other')
  await putKeyPolicy(pool, key.id, policy)
  expect(await findKeyPolicy(pool, key.id)).toBe(policy)
  await putTags(pool, key.id, new Map([['zebra', '1'], ['__proto__', '2'], ['ant', '3']]))
  const next = { ...plan, backing: 2 }
  await insertMaterial(pool, next)
  await insertMaterial(pool, { ...plan, backing: 3 })
  const nextMade = sealed(next)
  await confirmMaterial(pool, nextMade, null)
  const entry = await loadKeyEntry(pool, key.id)
  expect(entry?.policyDocument).toBe(policy)
  expect([...entry?.tags ?? []]).toEqual([['zebra', '1'], ['__proto__', '2'], ['ant', '3']])
  expect(entry?.materials).toEqual([
    { materialId: plan.materialId, backing: 1, sealed: material, spki: null },
    { materialId: plan.materialId, backing: 2, sealed: nextMade, spki: null },
  ])
  expect(entry?.key).toEqual(await findKey(pool, key.id))
  expect(await loadKeyEntry(pool, newKey('').id)).toBeUndefined()
})

test('a tag that is changed keeps its place; tags that are not there are passed over', async () => {
  const { key } = await enabledKey(pool, await newAccount(pool))
  await putTags(pool, key.id, new Map([['a', '1'], ['b', '2']]))
  await putTags(pool, key.id, new Map([['c', '3'], ['a', '4']]))
  expect([...await listTags(pool, key.id)]).toEqual([['a', '4'], ['b', '2'], ['c', '3']])
  await deleteTags(pool, key.id, ['a', 'never there'])
  expect([...await listTags(pool, key.id)]).toEqual([['b', '2'], ['c', '3']])
})

test('a current material is set together with the state, from the state expected', async () => {
  const wanted = newKey(await newAccount(pool))
  await insertKey(pool, wanted)
  const materialId = randomBytes(32)
  expect(await updateCurrentMaterial(pool, wanted.id, materialId, 'Updating', 'Enabled')).toBe(false)
  expect(await updateCurrentMaterial(pool, wanted.id, materialId, 'Creating', 'Enabled')).toBe(true)
  expect(await findKey(pool, wanted.id)).toMatchObject({ state: 'Enabled', currentMaterialId: materialId })
})
