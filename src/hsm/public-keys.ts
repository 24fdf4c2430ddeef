// Public keys that may be used: a key comes from Postgres, and counts only once the HSM has found the row authentic that holds its
// digest. Asked once for each material that is cached.
import { createHash } from 'node:crypto'
import type { SealedMaterial } from '../keys/material.ts'
import { readPublicKey, type PublicKey } from '../keys/public-key.ts'
import { MaterialRefused } from './hsm.ts'

export class PublicKeys {
  readonly #digestOf: (material: SealedMaterial) => Promise<Buffer>
  /** A material stays the same object as long as it is cached. */
  readonly #known = new WeakMap<SealedMaterial, Promise<PublicKey>>()

  /** `digestOf`: asks the HSM for what the row says, 32 bytes. */
  constructor(digestOf: (material: SealedMaterial) => Promise<Buffer>) {
    this.#digestOf = digestOf
  }

  /** @throws MaterialRefused; HsmUnavailable, and is asked again the next time */
  get(material: SealedMaterial, spki: Buffer): Promise<PublicKey> {
    const known = this.#known.get(material)
    if (known !== undefined) return known
    const asked = this.#ask(material, spki)
    this.#known.set(material, asked)
    asked.catch(() => { this.#known.delete(material) })
    return asked
  }

  async #ask(material: SealedMaterial, spki: Buffer): Promise<PublicKey> {
    const digest = await this.#digestOf(material)
    const key = createHash('sha256').update(spki).digest().equals(digest) ? readPublicKey(spki) : undefined
    if (key === undefined) throw new MaterialRefused('the public key is not the one that the material row names')
    return key
  }
}
