// Where the probe works: sessions of its own, whose objects are gone when it is done, and the list of what was found.
import type { Handle, KeyPair, Mechanism } from 'pkcs11js'
import { KmsError } from '../../errors.ts'
import { capabilityTitles, type Capability, type CapabilityName, type CapabilityOutcome } from './capability.ts'
import { ckrName } from './ckr.ts'
import { Fault, ckrOf } from './fault.ts'
import type { Profile } from './profile.ts'
import type { Session } from './session.ts'
import { template, type Attributes } from './template.ts'
import { Fatal } from './token.ts'
import { isTransient } from './transient.ts'

/** The token answered, and the answer is not the right one. */
export class WrongAnswer extends Error {
  override readonly name = 'WrongAnswer'
}

/** What a capability is built on is not there. */
export class Missing extends Error {
  override readonly name = 'Missing'
}

/** The key that wraps, and by which mechanism. */
export interface Wrapping {
  readonly key: Handle
  readonly mechanism: number
}

export interface ProbeGround {
  /** @throws Fault */
  readonly openSession: () => Session
  readonly profile: Profile
  /** C_GetMechanismList: what is not in it is not tried, since a library may crash over what it does not know. */
  readonly offered: ReadonlySet<number>
  /** The domain key, or one that is made in the same way; the reason where there is none. @throws Missing */
  readonly wrapping: () => Wrapping
}

/** A device's bad moment is not its nature. */
const tries = 5
const order = Object.keys(capabilityTitles)

export class ProbeBench {
  readonly profile: Profile
  readonly offered: ReadonlySet<number>
  readonly wrapping: () => Wrapping
  readonly found: Capability[] = []
  readonly #openSession: () => Session
  readonly #sessions: Session[] = []
  readonly #made: Handle[] = []

  constructor(ground: ProbeGround) {
    this.profile = ground.profile
    this.offered = ground.offered
    this.wrapping = ground.wrapping
    this.#openSession = ground.openSession
    this.#renew()
  }

  get session(): Session {
    const session = this.#sessions.at(-1)
    if (session === undefined) throw new Missing('no session')
    return session
  }

  /** Tries one capability; `run` gives what is worth telling of it. False unless it passed. */
  row(name: CapabilityName, mechanisms: readonly number[], run: () => string): boolean {
    const begun = performance.now()
    const [outcome, detail] = this.#outcome(mechanisms, run)
    this.found.push({ name, outcome, detail, milliseconds: performance.now() - begun })
    return outcome === 'passed'
  }

  /** What is known without a try. */
  note(name: CapabilityName, outcome: CapabilityOutcome, detail: string): void {
    this.found.push({ name, outcome, detail, milliseconds: 0 })
  }

  /** What was found, in the order of the tables. */
  ordered(): Capability[] {
    return [...this.found].sort((a, b) => order.indexOf(a.name) - order.indexOf(b.name))
  }

  generate(mechanism: Mechanism, attributes: Attributes): Handle {
    return this.#keep(this.session.generateKey(mechanism, { TOKEN: false, PRIVATE: true, ...attributes }))
  }

  generatePair(mechanism: Mechanism, publicKey: Attributes, privateKey: Attributes): KeyPair {
    const pair = this.session.generateKeyPair(mechanism, { TOKEN: false, PRIVATE: false, ...publicKey }, { TOKEN: false, PRIVATE: true, SENSITIVE: true, ...privateKey })
    this.#keep(pair.publicKey)
    this.#keep(pair.privateKey)
    return pair
  }

  create(attributes: Attributes): Handle {
    return this.#keep(this.session.create({ TOKEN: false, PRIVATE: true, ...attributes }))
  }

  /** As Trent unwraps keys to use them: what comes out may not leave. */
  unwrap(mechanism: Mechanism, key: Handle, blob: Buffer, attributes: Attributes): Handle {
    return this.#keep(this.session.unwrap(mechanism, key, blob, { TOKEN: false, PRIVATE: true, SENSITIVE: true, EXTRACTABLE: false, ...attributes }))
  }

  /** Wraps an extractable key under the domain key and unwraps it again. */
  wrapAndBack(key: Handle, attributes: Attributes): Handle {
    const { mechanism, key: wrappingKey } = this.wrapping()
    const blob = this.session.wrap({ mechanism }, wrappingKey, key)
    return this.unwrap({ mechanism }, wrappingKey, blob, attributes)
  }

  derive(mechanism: Mechanism, key: Handle, attributes: Attributes): Handle {
    try {
      return this.#keep(this.session.p11.C_DeriveKey(this.session.handle, mechanism, key, template({ TOKEN: false, PRIVATE: true, ...attributes })))
    } catch (thrown) {
      throw new Fault('C_DeriveKey', ckrOf(thrown))
    }
  }

  /** The CKR with which the token refuses what it must refuse. @throws WrongAnswer when it does not, Fault when it only failed */
  refusal(run: () => void, allowed: string): number {
    try {
      run()
    } catch (thrown) {
      if (thrown instanceof Fault && !isTransient(thrown.ckr)) return thrown.ckr
      throw thrown
    }
    throw new WrongAnswer(allowed)
  }

  /** Destroys all that was made here so far. */
  clear(): void {
    for (const handle of this.#made.splice(0)) {
      try {
        this.session.destroy(handle)
      } catch (thrown) {
        // It ends with its session at the latest.
        if (!(thrown instanceof Fault)) throw thrown
      }
    }
  }

  close(): void {
    this.clear()
    for (const session of this.#sessions.splice(0)) closeQuietly(session)
  }

  #outcome(mechanisms: readonly number[], run: () => string): [CapabilityOutcome, string] {
    const missing = mechanisms.find(mechanism => !this.offered.has(mechanism))
    if (missing !== undefined) return ['absent', `mechanism 0x${missing.toString(16)}`]
    for (let tried = 1; ; tried++) {
      try {
        return ['passed', run()]
      } catch (thrown) {
        if (thrown instanceof WrongAnswer || thrown instanceof Fatal) return ['wrong', thrown.message]
        if (thrown instanceof Missing) return ['failed', thrown.message]
        // Something that Trent itself checks was not right, or nothing that OpenSSL can read.
        if (thrown instanceof KmsError) return ['wrong', thrown.code]
        const code = opensslCode(thrown)
        if (code !== undefined) return ['wrong', `OpenSSL takes it for none: ${code}`]
        if (!(thrown instanceof Fault)) throw thrown
        if (tried === tries || !isTransient(thrown.ckr)) return ['failed', `${thrown.call}: ${ckrName(thrown.ckr)}`]
        // What failed may have left an operation behind. The former session stays open: keys belong to it.
        this.#renew()
      }
    }
  }

  #renew(): void {
    try {
      this.#sessions.push(this.#openSession())
    } catch (thrown) {
      // The one before serves on, if there is one.
      if (this.#sessions.length === 0) throw thrown instanceof Fault ? thrown : new Fault('C_OpenSession', ckrOf(thrown))
    }
  }

  #keep(handle: Handle): Handle {
    this.#made.push(handle)
    return handle
  }
}

/** Of an error that node:crypto throws over what it was given: a point off its curve, a modulus that is none. */
function opensslCode(thrown: unknown): string | undefined {
  const code = thrown instanceof Error && 'code' in thrown ? String(thrown.code) : ''
  return /^ERR_(OSSL|CRYPTO)_/.test(code) ? code : undefined
}

function closeQuietly({ p11, handle }: Session): void {
  try {
    p11.C_CloseSession(handle)
  } catch (thrown) {
    // Its objects are destroyed already.
    if (!(thrown instanceof Error)) throw thrown
  }
}
