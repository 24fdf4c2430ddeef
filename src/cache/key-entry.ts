// A key as the hot path wants it: policy compiled, materials found by the header of a ciphertext.
import { compilePolicy, denyAll, type Policy } from '../authz/policy.ts'
import { KmsError } from '../errors.ts'
import type { Key } from '../keys/key.ts'
import type { SealedMaterial } from '../keys/material.ts'
import type { StoredKey } from '../store/key-entries.ts'

export interface KeyEntry {
  readonly key: Key
  /** denyAll when there is no document, or one that does not compile. */
  readonly policy: Policy
  /** As it was put; empty when there is none. */
  readonly policyDocument: string
  /** In the order ListResourceTags shows. */
  readonly tags: ReadonlyMap<string, string>
  /** The newest backing of the current material; undefined before a first import. */
  readonly current: SealedMaterial | undefined
  /** SubjectPublicKeyInfo (DER) of the current material, for asymmetric keys; to be used through Hsm.publicKey alone. */
  readonly spki: Buffer | undefined
  /** A confirmed material by its 32-byte id and backing number, both taken from a ciphertext that may be anyone's. */
  readonly material: (materialId: Buffer, backing: number) => SealedMaterial | undefined
}

export function keyEntry({ key, policyDocument, tags, materials }: StoredKey): KeyEntry {
  const byName = new Map(materials.map(({ materialId, backing, sealed }) => [materialName(materialId, backing), sealed]))
  const ids = new Set(materials.map(({ materialId }) => materialId.toString('hex')))
  // Asymmetric and HMAC keys have one material and no current id: AWS does not name it.
  const currentId = key.currentMaterialId?.toString('hex') ?? (ids.size === 1 ? [...ids][0] : undefined)
  const current = materials.findLast(({ materialId }) => materialId.toString('hex') === currentId)
  return {
    key,
    policy: policyDocument === undefined ? denyAll : compiled(policyDocument, 'key'),
    policyDocument: policyDocument ?? '',
    tags,
    current: current?.sealed,
    spki: current?.spki ?? undefined,
    material: (materialId, backing) => byName.get(materialName(materialId, backing)),
  }
}

const materialName = (materialId: Buffer, backing: number): string => `${materialId.toString('hex')} ${backing}`

/** A stored document that does not compile was put there past PutKeyPolicy: it denies. */
export function compiled(document: string, kind: 'key' | 'identity'): Policy {
  try {
    return compilePolicy(document, kind)
  } catch (error) {
    if (error instanceof KmsError) return denyAll
    throw error
  }
}
