// What the cache keeps of a key, in one statement: key, policy, tags and confirmed materials of one moment.
import type { Key } from '../keys/key.ts'
import type { SealedMaterial } from '../keys/material.ts'
import { lookUpMs, row, type Db } from './database.ts'
import { keyColumns, keyFromRow, type KeyRow } from './keys.ts'
import { sealedOf } from './materials.ts'

export interface StoredKey {
  readonly key: Key
  /** Undefined when the key has no policy row: nobody may use it. */
  readonly policyDocument: string | undefined
  /** In the order ListResourceTags shows. */
  readonly tags: ReadonlyMap<string, string>
  /** Confirmed ones, by material id and then backing, the newest backing of a material last. */
  readonly materials: readonly StoredBacking[]
}

export interface StoredBacking {
  /** 32 bytes. */
  readonly materialId: Buffer
  readonly backing: number
  readonly sealed: SealedMaterial
  /** SubjectPublicKeyInfo in DER, for asymmetric keys. Anyone who writes to the database may have written it: see Hsm.publicKey. */
  readonly spki: Buffer | null
}

interface MaterialJson {
  readonly material_id: string
  readonly backing: number
  readonly cipher_mode: string
  readonly residency: string
  readonly cka_id: string
  readonly domain_id: string | null
  readonly domain_version: number | null
  readonly spki: string | null
  readonly blob: string | null
  readonly mac: string
}

type EntryRow = KeyRow & { readonly document: string | null; readonly tags: readonly [string, string][] | null; readonly materials: readonly MaterialJson[] | null }

const statement = {
  name: 'keys.entry',
  hot: true,
  withinMs: lookUpMs,
  text: `SELECT ${keyColumns}, p.document,
      (SELECT json_agg(json_build_array(t.tag_key, t.tag_value) ORDER BY t.position) FROM tags t WHERE t.key_id = k.id) AS tags,
      (SELECT json_agg(json_build_object('material_id', encode(m.material_id, 'hex'), 'backing', m.backing, 'cipher_mode', m.cipher_mode,
          'residency', m.residency, 'cka_id', encode(m.cka_id, 'hex'), 'domain_id', encode(uuid_send(m.domain_id), 'hex'),
          'domain_version', m.domain_version, 'spki', encode(m.spki, 'hex'), 'blob', encode(m.blob, 'hex'), 'mac', encode(m.mac, 'hex'))
          ORDER BY m.material_id, m.backing)
        FROM materials m WHERE m.key_id = k.id AND m.mac IS NOT NULL) AS materials
    FROM keys k LEFT JOIN key_policies p ON p.key_id = k.id WHERE k.id = $1`,
} as const

export async function loadKeyEntry(db: Db, keyId: string): Promise<StoredKey | undefined> {
  const found = await row<EntryRow>(db, statement, [keyId])
  if (found === undefined) return undefined
  const key = keyFromRow(found)
  return {
    key,
    policyDocument: found.document ?? undefined,
    tags: new Map(found.tags ?? []),
    materials: (found.materials ?? []).flatMap(json => backingOf(key, json)),
  }
}

function backingOf(key: Key, json: MaterialJson): StoredBacking[] {
  const materialId = bytes(json.material_id)
  const spki = orNull(json.spki)
  const sealed = sealedOf({
    account_id: key.accountId, region: key.region, origin: key.origin, spec: key.spec, usage: key.usage, key_id: key.id,
    material_id: materialId, backing: json.backing, cipher_mode: json.cipher_mode, residency: json.residency, cka_id: bytes(json.cka_id),
    domain_id: orNull(json.domain_id), domain_version: json.domain_version, spki, blob: orNull(json.blob),
    mac: bytes(json.mac),
  })
  return sealed === undefined ? [] : [{ materialId, backing: json.backing, sealed, spki }]
}

const bytes = (hex: string): Buffer => Buffer.from(hex, 'hex')
const orNull = (hex: string | null): Buffer | null => (hex === null ? null : bytes(hex))
