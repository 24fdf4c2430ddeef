// Key material as Postgres keeps it: a row that an HMAC in the HSM authenticates. The agent takes nothing about a key from
// anywhere else. The encoding cannot change once data exists.
import { materialModes, type MaterialMode } from './ciphertext.ts'
import { isKeyId } from './identifier.ts'

export const materialLabel = 'trent/material/1'

const residencies = ['wrapped', 'resident'] as const
export type Residency = (typeof residencies)[number]

export interface Material {
  readonly accountId: string
  readonly region: string
  readonly keyId: string
  /** 32 bytes. */
  readonly materialId: Buffer
  readonly backing: number
  readonly origin: string
  readonly spec: string
  readonly usage: string
  /** 'none' for keys that do not encrypt symmetrically. */
  readonly cipherMode: MaterialMode | 'none'
  readonly residency: Residency
  /** 16 bytes: CKA_ID of a resident object, chosen before the object exists. Zeroes when wrapped. */
  readonly ckaId: Buffer
  /** 16 bytes. */
  readonly domainId: Buffer
  readonly domainVersion: number
  /** SHA-256 of the SubjectPublicKeyInfo, 32 bytes; empty for symmetric keys. */
  readonly spkiDigest: Buffer
  /** The wrapped key; empty when resident. */
  readonly blob: Buffer
}

/** A material row and its HMAC-SHA-256 (32 bytes) under the integrity key: how gateway and agent name a key to each other. */
export interface SealedMaterial {
  readonly row: Buffer
  readonly mac: Buffer
}

const fieldCount = 16

/** Length-prefixed fields, each u32 big-endian length and bytes, the label first. */
export function encodeMaterial(material: Material): Buffer {
  const fields = [
    materialLabel, material.accountId, material.region, material.keyId, material.materialId, u32(material.backing), material.origin,
    material.spec, material.usage, material.cipherMode, material.residency, material.ckaId, material.domainId,
    u32(material.domainVersion), material.spkiDigest, material.blob,
  ]
  return Buffer.concat(fields.flatMap(field => {
    const bytes = typeof field === 'string' ? Buffer.from(field) : field
    return [u32(bytes.length), bytes]
  }))
}

/**
 * The reverse of encodeMaterial, for a row whose MAC has been checked, and for the plan of one: a gateway taken over may send any
 * bytes as a plan, and what it gets a MAC for is a row for ever.
 * @throws RangeError when the bytes are not exactly one encoded row with ids of the right lengths.
 */
export function decodeMaterial(row: Buffer): Material {
  const fields: Buffer[] = []
  let offset = 0
  while (offset < row.length && fields.length < fieldCount) {
    const end = offset + 4 + row.readUInt32BE(offset)
    if (end > row.length) throw new RangeError('material row: field runs past the end')
    fields.push(row.subarray(offset + 4, end))
    offset = end
  }
  const [label, accountId, region, keyId, materialId, backing, origin, spec, usage, cipherMode, residency, ckaId, domainId, domainVersion, spkiDigest, blob] = fields
  if (offset !== row.length || blob === undefined || label?.toString() !== materialLabel) throw new RangeError('material row: wrong form')
  const material: Material = {
    accountId: text(accountId), region: text(region), keyId: text(keyId), materialId: bytes(materialId), backing: number(backing),
    origin: text(origin), spec: text(spec), usage: text(usage), cipherMode: text(cipherMode) as Material['cipherMode'],
    residency: text(residency) as Residency, ckaId: bytes(ckaId), domainId: bytes(domainId), domainVersion: number(domainVersion),
    spkiDigest: bytes(spkiDigest), blob,
  }
  if (!isWellFormed(material)) throw new RangeError('material row: wrong value')
  // Numbers of another length and text that is no UTF-8 would be read as something that they are not.
  if (!encodeMaterial(material).equals(row)) throw new RangeError('material row: not as it is encoded')
  return material
}

/** A plan has no domain yet, a symmetric key no public key. */
const isWellFormed = ({ keyId, materialId, cipherMode, residency, ckaId, domainId, spkiDigest }: Material): boolean =>
  isKeyId(keyId) && materialId.length === 32 && ckaId.length === 16 && [0, 16].includes(domainId.length) && [0, 32].includes(spkiDigest.length)
  && (cipherMode === 'none' || (materialModes as readonly string[]).includes(cipherMode)) && residencies.includes(residency)

const bytes = (field: Buffer | undefined): Buffer => field ?? Buffer.alloc(0)
const text = (field: Buffer | undefined): string => bytes(field).toString()
const number = (field: Buffer | undefined): number => bytes(field).readUInt32BE()

function u32(value: number): Buffer {
  const out = Buffer.allocUnsafe(4)
  out.writeUInt32BE(value)
  return out
}
