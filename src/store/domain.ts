// The key domain: written before the ceremony touches a token, confirmed after it. And Trent's own keys, wrapped under it.
import type { SealedMaterial } from '../keys/material.ts'
import { changed, row, rows, type Db } from './database.ts'

export interface Domain {
  /** 16 bytes. */
  readonly id: Buffer
  readonly state: 'creating' | 'ready'
  /** 64 hex digits once ready. */
  readonly fingerprint: string | null
  readonly createdAt: Date
}

export interface DomainVersion {
  readonly version: number
  /** Both keys wrapped to the recovery key, and the SHA-256 of its SubjectPublicKeyInfo in hex; null after `init --no-recovery`. */
  readonly recovery: { readonly fingerprint: string; readonly domainKey: Buffer; readonly integrityKey: Buffer } | null
  /** What the token must be able to open before anything is served. */
  readonly canary: SealedMaterial & { readonly ciphertext: Buffer }
  readonly createdAt: Date
}

/** Purpose of the service key that seals the secrets of access keys. */
export const sealPurpose = 'access-key-seal'

export interface ServiceKey {
  readonly purpose: string
  readonly version: number
  readonly sealed: SealedMaterial
  readonly createdAt: Date
}

/** Notes that a domain (16-byte id) is about to be made. Resolves to false when the database has a domain already. */
export async function insertDomain(db: Db, id: Buffer): Promise<boolean> {
  return await changed(db, {
    name: 'domain.insert', text: "INSERT INTO domain (id, state) VALUES (encode($1, 'hex')::uuid, 'creating') ON CONFLICT (singleton) DO NOTHING",
  }, [id]) === 1
}

/** Marks the domain ready under its fingerprint (64 hex digits). Resolves to false when it is not the one being made. */
export async function confirmDomain(db: Db, id: Buffer, fingerprint: string): Promise<boolean> {
  return await changed(db, {
    name: 'domain.confirm',
    text: "UPDATE domain SET state = 'ready', fingerprint = $2 WHERE id = encode($1, 'hex')::uuid AND state = 'creating'",
  }, [id, fingerprint]) === 1
}

/** Forgets a domain whose ceremony did not finish. Resolves to false when there is none in that state. */
export async function deleteUnfinishedDomain(db: Db): Promise<boolean> {
  return await changed(db, { name: 'domain.delete', text: "DELETE FROM domain WHERE state = 'creating'" }) === 1
}

export async function findDomain(db: Db): Promise<Domain | undefined> {
  return await row<Domain>(db, {
    name: 'domain.find', text: 'SELECT uuid_send(id) AS id, state, fingerprint, created_at AS "createdAt" FROM domain',
  })
}

export async function insertDomainVersion(db: Db, { version, recovery, canary }: Omit<DomainVersion, 'createdAt'>): Promise<void> {
  await changed(db, {
    name: 'domain-versions.insert',
    text: `INSERT INTO domain_versions
      (version, recovery_fingerprint, recovery_domain_key, recovery_integrity_key, canary_row, canary_mac, canary_ciphertext)
      VALUES ($1, $2, $3, $4, $5, $6, $7)`,
  }, [version, recovery?.fingerprint, recovery?.domainKey, recovery?.integrityKey, canary.row, canary.mac, canary.ciphertext])
}

/** All versions, the newest last. */
export async function listDomainVersions(db: Db): Promise<DomainVersion[]> {
  const found = await rows<{
    version: number; recovery_fingerprint: string | null; recovery_domain_key: Buffer | null; recovery_integrity_key: Buffer | null
    canary_row: Buffer; canary_mac: Buffer; canary_ciphertext: Buffer; created_at: Date
  }>(db, {
    name: 'domain-versions.list',
    text: `SELECT version, recovery_fingerprint, recovery_domain_key, recovery_integrity_key, canary_row, canary_mac, canary_ciphertext, created_at
      FROM domain_versions ORDER BY version`,
  })
  return found.map(({ recovery_fingerprint: fingerprint, recovery_domain_key: domainKey, recovery_integrity_key: integrityKey, ...rest }) => ({
    version: rest.version,
    recovery: fingerprint === null || domainKey === null || integrityKey === null ? null : { fingerprint, domainKey, integrityKey },
    canary: { row: rest.canary_row, mac: rest.canary_mac, ciphertext: rest.canary_ciphertext },
    createdAt: rest.created_at,
  }))
}

/** Resolves to false when this version is there already: another process was first, use its key. */
export async function insertServiceKey(db: Db, key: Omit<ServiceKey, 'createdAt'>): Promise<boolean> {
  return await changed(db, {
    name: 'service-keys.insert',
    text: 'INSERT INTO service_keys (purpose, version, row, mac) VALUES ($1, $2, $3, $4) ON CONFLICT (purpose, version) DO NOTHING',
  }, [key.purpose, key.version, key.sealed.row, key.sealed.mac]) === 1
}

/** All versions for a purpose, the newest last. */
export async function listServiceKeys(db: Db, purpose: string): Promise<ServiceKey[]> {
  const found = await rows<{ purpose: string; version: number; row: Buffer; mac: Buffer; created_at: Date }>(db, {
    name: 'service-keys.list', text: 'SELECT purpose, version, row, mac, created_at FROM service_keys WHERE purpose = $1 ORDER BY version',
  }, [purpose])
  return found.map(({ row: sealedRow, mac, created_at: createdAt, ...rest }) => ({ ...rest, sealed: { row: sealedRow, mac }, createdAt }))
}
