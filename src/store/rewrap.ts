// Which wrapped keys stand under which version of the domain key, and their move to the next one.
import type { SealedMaterial } from '../keys/material.ts'
import { decodeMaterial } from '../keys/material.ts'
import { changed, row, rows, type Db } from './database.ts'
import { materialColumns, sealedOf, type MaterialRow } from './materials.ts'

/** How many materials stand under each version, the oldest first. */
export async function countByVersion(db: Db): Promise<{ version: number; count: number }[]> {
  return await rows(db, {
    name: 'rewrap.count',
    text: 'SELECT domain_version AS version, count(*)::int AS count FROM materials WHERE mac IS NOT NULL GROUP BY domain_version ORDER BY domain_version',
  })
}

/** Some of the materials under a version, at most `limit`. */
export async function materialsUnder(db: Db, version: number, limit: number): Promise<SealedMaterial[]> {
  const found = await rows<MaterialRow>(db, {
    name: 'rewrap.list',
    text: `SELECT ${materialColumns} FROM materials m JOIN keys k ON k.id = m.key_id WHERE m.domain_version = $1 AND m.mac IS NOT NULL ORDER BY m.key_id, m.material_id, m.backing LIMIT $2`,
  }, [version, limit])
  return found.flatMap(one => sealedOf(one) ?? [])
}

/**
 * Puts the material in the place of what it was; false when that has changed meanwhile.
 * @throws Error when the new row is not the one that the tables will give from now on
 */
export async function replaceMaterial(db: Db, former: SealedMaterial, next: SealedMaterial): Promise<boolean> {
  const { keyId, materialId, backing, domainVersion, blob } = decodeMaterial(next.row)
  const replaced = await row<MaterialRow>(db, {
    name: 'rewrap.replace',
    text: `UPDATE materials m SET domain_version = $5, blob = $6, mac = $7 FROM keys k
      WHERE k.id = m.key_id AND m.key_id = $1 AND m.material_id = $2 AND m.backing = $3 AND m.mac = $4 RETURNING ${materialColumns}`,
  }, [keyId, materialId, backing, former.mac, domainVersion, blob, next.mac])
  if (replaced === undefined) return false
  if (sealedOf(replaced)?.row.equals(next.row) !== true) throw new Error('rewrap.replace: another material came back than was sent')
  return true
}

/** The same for one of Trent's own keys. */
export async function replaceServiceKey(db: Db, former: SealedMaterial, next: SealedMaterial): Promise<boolean> {
  return await changed(db, { name: 'rewrap.replace-service-key', text: 'UPDATE service_keys SET row = $2, mac = $3 WHERE mac = $1' }, [former.mac, next.row, next.mac]) === 1
}

/** Forgets a version, its recovery envelope with it. Resolves to false while anything stands under it. */
export async function deleteDomainVersion(db: Db, version: number): Promise<boolean> {
  return await changed(db, {
    name: 'rewrap.delete-version',
    text: 'DELETE FROM domain_versions WHERE version = $1 AND NOT EXISTS (SELECT FROM materials WHERE domain_version = $1)',
  }, [version]) === 1
}
