// Rows that other rows need.
import { randomBytes, randomUUID } from 'node:crypto'
import type { MaterialPlan } from '../../src/hsm/hsm.ts'
import type { Key } from '../../src/keys/key.ts'
import { encodeMaterial, type SealedMaterial } from '../../src/keys/material.ts'
import type { Db } from '../../src/store/database.ts'
import { insertAccount } from '../../src/store/identities.ts'
import { insertKey, updateCurrentMaterial, type NewKey } from '../../src/store/keys.ts'
import { confirmMaterial, insertMaterial } from '../../src/store/materials.ts'

export const region = 'eu-central-2'

export const newAccount = async (db: Db): Promise<string> => {
  const id = String(100_000_000_000 + Math.floor(Math.random() * 899_999_999_999))
  await insertAccount(db, { id, name: 'test' })
  return id
}

export const newKey = (accountId: string, changes: Partial<NewKey> = {}): NewKey => ({
  id: randomUUID(), accountId, region, spec: 'SYMMETRIC_DEFAULT', usage: 'ENCRYPT_DECRYPT', origin: 'AWS_KMS', state: 'Creating', description: '',
  multiRegion: false, manager: 'CUSTOMER', ...changes,
})

export const planFor = (key: NewKey, changes: Partial<MaterialPlan> = {}): MaterialPlan => ({
  accountId: key.accountId, region: key.region, keyId: key.id, materialId: randomBytes(32), backing: 1, origin: key.origin, spec: key.spec,
  usage: key.usage, cipherMode: 'direct', residency: 'wrapped', ckaId: Buffer.alloc(16), ...changes,
})

/** The bytes an HSM would answer with; the store does not check the MAC, the agent does. */
export const sealed = (plan: MaterialPlan, spkiDigest = Buffer.alloc(0)): SealedMaterial => ({
  row: encodeMaterial({ ...plan, domainId: randomBytes(16), domainVersion: 1, spkiDigest, blob: randomBytes(40) }),
  mac: randomBytes(32),
})

/** An enabled key with one confirmed material. */
export async function enabledKey(db: Db, accountId: string): Promise<{ key: Key; plan: MaterialPlan; material: SealedMaterial }> {
  const wanted = newKey(accountId)
  await insertKey(db, wanted)
  const plan = planFor(wanted)
  await insertMaterial(db, plan)
  const material = sealed(plan)
  await confirmMaterial(db, material, null)
  await updateCurrentMaterial(db, wanted.id, plan.materialId, 'Creating', 'Enabled')
  return { key: { ...wanted, arn: '', createdAt: new Date(), deletionDate: null, state: 'Enabled', currentMaterialId: plan.materialId }, plan, material }
}
