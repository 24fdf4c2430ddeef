// Rows of materials. The row that the HSM's MAC covers is put together from keys and materials: an edit in either of them gives
// bytes whose MAC does not fit, and the agent refuses the key.
import { createHash } from 'node:crypto'
import type { MaterialPlan } from '../hsm/hsm.ts'
import { decodeMaterial, encodeMaterial, type Material, type SealedMaterial } from '../keys/material.ts'
import { changed, row, type Db } from './database.ts'

/** Stores a material that does not exist yet: blob and MAC are null until confirmMaterial. */
export async function insertMaterial(db: Db, plan: MaterialPlan): Promise<void> {
  await changed(db, {
    name: 'materials.insert',
    text: 'INSERT INTO materials (key_id, material_id, backing, cipher_mode, residency, cka_id) VALUES ($1, $2, $3, $4, $5, $6)',
  }, [plan.keyId, plan.materialId, plan.backing, plan.cipherMode, plan.residency, plan.ckaId])
}

export interface MaterialRow {
  readonly account_id: string
  readonly region: string
  readonly origin: string
  readonly spec: string
  readonly usage: string
  readonly key_id: string
  readonly material_id: Buffer
  readonly backing: number
  readonly cipher_mode: string
  readonly residency: string
  readonly cka_id: Buffer
  readonly domain_id: Buffer | null
  readonly domain_version: number | null
  readonly spki: Buffer | null
  readonly blob: Buffer | null
  readonly mac: Buffer | null
}

export const materialColumns = `k.account_id, k.region, k.origin, k.spec, k.usage, m.key_id, m.material_id, m.backing, m.cipher_mode, m.residency, m.cka_id,
  uuid_send(m.domain_id) AS domain_id, m.domain_version, m.spki, m.blob, m.mac`

export interface StoredMaterial {
  readonly plan: MaterialPlan
  /** Undefined until the material is confirmed. */
  readonly sealed: SealedMaterial | undefined
  /** SubjectPublicKeyInfo in DER, for asymmetric keys. */
  readonly spki: Buffer | null
}

export async function findMaterial(db: Db, keyId: string, materialId: Buffer, backing: number): Promise<StoredMaterial | undefined> {
  const found = await row<MaterialRow>(db, {
    name: 'materials.find',
    text: `SELECT ${materialColumns} FROM materials m JOIN keys k ON k.id = m.key_id WHERE m.key_id = $1 AND m.material_id = $2 AND m.backing = $3`,
  }, [keyId, materialId, backing])
  if (found === undefined) return undefined
  return { plan: planOf(found), sealed: sealedOf(found), spki: found.spki }
}

/** The highest backing number of a material, confirmed or not. */
export async function newestBacking(db: Db, keyId: string, materialId: Buffer): Promise<number | undefined> {
  const found = await row<{ newest: number | null }>(db, {
    name: 'materials.newest', text: 'SELECT max(backing) AS newest FROM materials WHERE key_id = $1 AND material_id = $2',
  }, [keyId, materialId])
  return found?.newest ?? undefined
}

/**
 * Stores what the HSM made for a material that was inserted before: blob, domain, MAC, public key (SubjectPublicKeyInfo in DER, null
 * for symmetric keys). Resolves to false when it is confirmed already (then the first answer stands) or gone.
 * @throws Error when the HSM's row is not the one that the tables will give from now on: no gateway could ever use it.
 */
export async function confirmMaterial(db: Db, sealed: SealedMaterial, spki: Buffer | null): Promise<boolean> {
  const made = decodeMaterial(sealed.row)
  const confirmed = await row<MaterialRow>(db, {
    name: 'materials.confirm',
    text: `UPDATE materials m SET domain_id = encode($4, 'hex')::uuid, domain_version = $5, spki = $6, blob = $7, mac = $8
      FROM keys k WHERE k.id = m.key_id AND m.key_id = $1 AND m.material_id = $2 AND m.backing = $3 AND m.mac IS NULL
      RETURNING ${materialColumns}`,
  }, [made.keyId, made.materialId, made.backing, made.domainId, made.domainVersion, spki, made.blob, sealed.mac])
  if (confirmed === undefined) return false
  if (sealedOf(confirmed)?.row.equals(sealed.row) !== true) throw new Error('materials.confirm: the HSM made another material than was planned')
  return true
}

/**
 * What the agent is given for a stored material; undefined until it is confirmed, which is when it has a MAC. Whatever else somebody has
 * taken away is for the agent to refuse, with an alarm.
 */
export function sealedOf(found: MaterialRow): SealedMaterial | undefined {
  if (found.mac === null) return undefined
  const material: Material = {
    ...planOf(found),
    domainId: found.domain_id ?? Buffer.alloc(0),
    domainVersion: found.domain_version ?? 0,
    spkiDigest: found.spki === null ? Buffer.alloc(0) : createHash('sha256').update(found.spki).digest(),
    blob: found.blob ?? Buffer.alloc(0),
  }
  return { row: encodeMaterial(material), mac: found.mac }
}

const planOf = (found: MaterialRow): MaterialPlan => ({
  accountId: found.account_id,
  region: found.region,
  keyId: found.key_id,
  materialId: found.material_id,
  backing: found.backing,
  origin: found.origin,
  spec: found.spec,
  usage: found.usage,
  cipherMode: found.cipher_mode as Material['cipherMode'],
  residency: found.residency as Material['residency'],
  ckaId: found.cka_id,
})
