// The keys that are open on the token, held by the main thread's session: unwrapped as non-extractable session objects, or
// found by CKA_ID. Sessions of one application see each other's session objects, so every worker uses these handles.
import { keyIdBytes } from '../../keys/identifier.ts'
import { decodeMaterial } from '../../keys/material.ts'
import { isKeySpec, type KeySpecName } from '../../keys/spec.ts'
import { isAuthentic, type Domain } from './domain.ts'
import { Fault } from './fault.ts'
import type { Verb } from './frames.ts'
import { keyKind, unwrapAttributes } from './key-template.ts'
import { findResident } from './make-material.ts'
import type { NamedKey } from './named-key.ts'
import type { Profile } from './profile.ts'
import { Refused } from './refused.ts'
import { macOf } from './row-name.ts'
import type { Session } from './session.ts'
import { mechanisms } from './template.ts'

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
}

/** SoftHSM holds 8.4 kB a session object. */
const heldLimit = 1000

export class KeysInUse {
  readonly #session: Session
  readonly #profile: Profile
  readonly #domain: Domain
  /** In order of use, the oldest first. By row name, as latin1. */
  readonly #held = new Map<string, Held>()
  readonly #drop: (name: string) => Promise<void>

  /** `drop` makes every worker forget a name and resolves when all have: only then may its handle be destroyed and used again. */
  constructor(session: Session, profile: Profile, domain: Domain, drop: (name: string) => Promise<void>) {
    this.#session = session
    this.#profile = profile
    this.#domain = domain
    this.#drop = drop
  }

  /** @throws Refused when the MAC is not this domain's; Fault from the HSM. */
  open(row: Buffer, rowName: Buffer): OpenKey {
    const name = rowName.toString('latin1')
    const held = this.#held.get(name)
    if (held !== undefined) {
      this.#held.delete(name)
      this.#held.set(name, held)
      return held
    }
    const opened = this.#fetch(row, rowName)
    this.#held.set(name, opened)
    if (this.#held.size > heldLimit) this.#forgetOldest()
    return opened
  }

  /** Lets go of a key whose handle the token no longer knows. Not destroyed: the number may be another object's by now. */
  forget(name: string): void {
    if (this.#held.delete(name)) void this.#drop(name)
  }

  #fetch(row: Buffer, rowName: Buffer): Held {
    // The row comes from a gateway, which has it from Postgres: nothing in it counts before its MAC has been checked.
    const mac = macOf(rowName, row)
    if (mac === undefined || !isAuthentic(this.#session, this.#domain.integrityKey, row, mac)) throw new Refused('the MAC of a material row is wrong')
    const material = decodeMaterial(row)
    const kind = keyKind(material)
    if (kind === undefined || !isKeySpec(material.spec)) throw new Refused(`no key of spec ${material.spec} for ${material.usage}`)
    if (!material.domainId.equals(this.#domain.id) || material.domainVersion !== this.#domain.version) throw new Refused('the row is of another domain')
    const resident = material.residency === 'resident'
    const handle = resident
      ? findResident(this.#session, material)
      : this.#session.unwrap(mechanisms.wrap(this.#domain.wrapMechanism), this.#domain.domainKey, material.blob, unwrapAttributes(kind, this.#profile))
    if (handle === undefined) throw new Refused(`the token has no object with CKA_ID ${material.ckaId.toString('hex')}`)
    return {
      handle, resident, verbs: kind.verbs, spec: material.spec, usage: material.usage, spkiDigest: Buffer.from(material.spkiDigest), mode: material.cipherMode,
      name: { multiRegion: material.keyId.startsWith('mrk-'), keyId: keyIdBytes(material.keyId), materialId: Buffer.from(material.materialId), backing: material.backing },
    }
  }

  #forgetOldest(): void {
    const [oldest] = this.#held
    if (oldest === undefined) return
    const [name, held] = oldest
    this.#held.delete(name)
    // A worker that hangs never answers: the object then stays until the supervisor ends this process.
    void this.#drop(name).then(() => { this.#destroy(held) })
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
