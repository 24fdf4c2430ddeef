// The keys that are open on the token, held by the main thread's session: unwrapped as non-extractable session objects, or
// found by CKA_ID. Sessions of one application see each other's session objects, so every worker uses these handles.
import type { Handle } from 'pkcs11js'
import { keyIdBytes } from '../../keys/identifier.ts'
import { decodeMaterial, type Material } from '../../keys/material.ts'
import { isKeySpec, type KeySpecName } from '../../keys/spec.ts'
import type { KeyLimits } from './control.ts'
import { findDomainKey, isAuthentic, type Domain } from './domain.ts'
import { Fault } from './fault.ts'
import type { Verb } from './frames.ts'
import { keyKind, unwrapAttributes } from './key-template.ts'
import { findResident, isResident } from './make-material.ts'
import type { NamedKey } from './named-key.ts'
import type { Profile } from './profile.ts'
import { Refused } from './refused.ts'
import { macOf } from './row-name.ts'
import type { Session } from './session.ts'
import { mechanisms, type Attributes } from './template.ts'

export interface OpenKey extends NamedKey {
  readonly verbs: ReadonlySet<Verb>
  /** Of the authenticated row: they alone say which algorithms the key takes. */
  readonly spec: KeySpecName
  readonly usage: string
  /** SHA-256 of the SubjectPublicKeyInfo, 32 bytes; empty for a secret key. */
  readonly spkiDigest: Buffer
}

interface Held extends OpenKey {
  /** Session objects are destroyed when dropped; a resident key stays. */
  readonly resident: boolean
  /** When it is let go of, performance.now(). */
  readonly ends: number
}

/** What makes every worker let go: resolves when none uses the handle, or any of them, any more. */
export interface Letting {
  forget(name: string): Promise<void>
  forgetAll(): Promise<void>
}

/** Resident objects whose handles are kept after their keys were let go of: a search costs 20 ms at 1,000 objects, 400 ms at 20,000. */
const locatedLimit = 10_000
/** Of its lifetime a key loses up to so much by chance: keys that were opened together are not all opened again together. */
const lifetimeJitter = 0.1

export class KeysInUse {
  readonly #session: Session
  readonly #profile: Profile
  readonly #domain: Domain
  readonly #limits: KeyLimits
  /** In order of use, the oldest first. By row name, as latin1. */
  readonly #held = new Map<string, Held>()
  readonly #otherVersions = new Map<number, Handle>()
  /** Of resident keys, by row name. */
  readonly #located = new Map<string, Handle>()
  readonly #letting: Letting
  #unwraps = 0
  /** Until every worker has let go of all handles, no new one may be made: it could have the number of an old one. */
  #fence: Promise<void> | undefined

  constructor(session: Session, profile: Profile, domain: Domain, limits: KeyLimits, letting: Letting) {
    this.#session = session
    this.#profile = profile
    this.#domain = domain
    this.#limits = limits
    this.#letting = letting
  }

  get unwraps(): number {
    return this.#unwraps
  }

  /** Resolves when keys may be opened: at once, but for the time after a stale handle. */
  async ready(): Promise<void> {
    while (this.#fence !== undefined) await this.#fence
  }

  /** To be called when ready() only. @throws Refused when the MAC is not this domain's; Fault from the HSM. */
  open(row: Buffer, rowName: Buffer): OpenKey {
    const name = rowName.toString('latin1')
    const held = this.#held.get(name)
    if (held !== undefined) {
      this.use([name])
      return held
    }
    const opened = this.#fetch(row, rowName)
    this.#held.set(name, opened)
    if (this.#held.size > this.#limits.held) this.#forgetOldest()
    return opened
  }

  /** The least lately used are closed first; workers tell now and then which they use. */
  use(names: readonly string[]): void {
    for (const name of names) {
      const held = this.#held.get(name)
      if (held === undefined) continue
      this.#held.delete(name)
      this.#held.set(name, held)
    }
  }

  /**
   * A handle went stale that was not destroyed here: the token has let objects go, and may give their numbers to the next. Which others
   * are gone is not known, so no handle counts any more. Not destroyed: a number may be another object's by now.
   */
  distrust(): void {
    // What is said while workers let go is about handles that they are letting go of.
    if (this.#fence !== undefined) return
    this.#held.clear()
    this.#located.clear()
    this.#fence = this.#letting.forgetAll().then(() => { this.#fence = undefined })
  }

  /** Lets go of keys whose lifetime is over, used or not: who deletes a key waits for it, and then no handle is left. `now` as performance.now(). */
  expire(now: number): void {
    for (const [name, held] of this.#held) if (held.ends <= now) this.#forget(name, held)
  }

  #fetch(row: Buffer, rowName: Buffer): Held {
    // The row comes from a gateway, which has it from Postgres: nothing in it counts before its MAC has been checked.
    const mac = macOf(rowName, row)
    if (mac === undefined || !isAuthentic(this.#session, this.#domain.integrityKey, row, mac)) throw new Refused('the MAC of a material row is wrong')
    const material = decodeMaterial(row)
    const kind = keyKind(material)
    if (kind === undefined || !isKeySpec(material.spec)) throw new Refused(`no key of spec ${material.spec} for ${material.usage}`)
    if (!material.domainId.equals(this.#domain.id)) throw new Refused('the row is of another domain')
    const resident = material.residency === 'resident'
    const handle = resident ? this.#locate(rowName.toString('latin1'), material) : this.#unwrap(material, unwrapAttributes(kind, this.#profile))
    return {
      handle, resident, ends: performance.now() + this.#limits.lifetime * (1 - lifetimeJitter * Math.random()),
      verbs: kind.verbs, spec: material.spec, usage: material.usage, spkiDigest: Buffer.from(material.spkiDigest), mode: material.cipherMode,
      name: { multiRegion: material.keyId.startsWith('mrk-'), keyId: keyIdBytes(material.keyId), materialId: Buffer.from(material.materialId), backing: material.backing },
    }
  }

  /** While keys are rewrapped, and until the old version is retired, rows of two versions are in use. @throws Refused */
  #domainKey(version: number): Handle {
    if (version === this.#domain.version) return this.#domain.domainKey
    const handle = this.#otherVersions.get(version) ?? findDomainKey(this.#session, this.#domain.id, version, 'domain')
    if (handle === undefined) throw new Refused(`the token does not hold version ${version} of the domain key`)
    this.#otherVersions.set(version, handle)
    return handle
  }

  #unwrap({ blob, domainVersion }: Pick<Material, 'blob' | 'domainVersion'>, attributes: Attributes): Handle {
    this.#unwraps++
    return this.#session.unwrap(mechanisms.wrap(this.#domain.wrapMechanism), this.#domainKey(domainVersion), blob, attributes)
  }

  /** Searched for once; after that it is enough that the object of this handle is still the one. @throws Refused, Fault */
  #locate(name: string, material: Pick<Material, 'ckaId' | 'keyId'>): Handle {
    const known = this.#located.get(name)
    if (known !== undefined && isResident(this.#session, known, material)) return known
    this.#located.delete(name)
    const found = findResident(this.#session, material)
    if (found === undefined) throw new Refused(`the token has no object with CKA_ID ${material.ckaId.toString('hex')}`)
    this.#located.set(name, found)
    const [oldest] = this.#located.keys()
    if (this.#located.size > locatedLimit && oldest !== undefined) this.#located.delete(oldest)
    return found
  }

  #forgetOldest(): void {
    const [oldest] = this.#held
    if (oldest !== undefined) this.#forget(...oldest)
  }

  #forget(name: string, held: Held): void {
    this.#held.delete(name)
    // A worker that hangs never answers: the object then stays until the supervisor ends this process.
    void this.#letting.forget(name).then(() => { this.#destroy(held) })
  }

  #destroy({ resident, handle }: Held): void {
    if (resident) return
    try {
      this.#session.destroy(handle)
    } catch (thrown) {
      // Gone already, or it stays until the session ends: nobody uses it, and no call in flight is to be lost over it.
      if (!(thrown instanceof Fault)) throw thrown
    }
  }
}
