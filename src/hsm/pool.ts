// Several tokens of one domain as one HSM: the first of the configuration that is well serves, the others stand by for it. A call that
// fails for the token's sake goes to the next token; one that fails for its own (a wrong ciphertext, a forged row) does not.
import { encodeContext } from '../keys/context.ts'
import { makeableOnEach, type MakeableKeys } from '../keys/makeable.ts'
import type { SealedMaterial } from '../keys/material.ts'
import type { PublicKey } from '../keys/public-key.ts'
import type { RsaEncryptionAlgorithm, SigningAlgorithm } from '../keys/spec.ts'
import type { AnswerFrame } from './agent/frames.ts'
import { Breaker, type BreakerState } from './breaker.ts'
import type { AgentAddress, Losses } from './calls.ts'
import { HsmClient } from './client.ts'
import { HsmUnavailable, type Hsm, type MadeMaterial, type MaterialPlan, type ReencryptSide, type SharedSecret } from './hsm.ts'
import { Quarantine, Quarantined } from './quarantine.ts'

/** What the primary says of a token. */
export interface TokenStanding {
  readonly token: string
  /** Null while no agent serves it. */
  readonly address: AgentAddress | null
  /** Told to take no new calls. */
  readonly draining: boolean
}

/** What every token of the domain opens: the database's canary. */
export interface PoolCanary {
  readonly material: SealedMaterial
  readonly context: Buffer
  readonly ciphertext: Buffer
}

/** A domain version's canary as the database has it. */
export const poolCanary = ({ row, mac, ciphertext }: SealedMaterial & { readonly ciphertext: Buffer }): PoolCanary =>
  ({ material: { row, mac }, context: encodeContext(undefined), ciphertext })

export interface PoolOptions {
  /** Labels, first choice first. */
  readonly tokens: readonly string[]
  /** Asked before each use: a new version of the domain key has a new one. */
  readonly canary: () => Promise<PoolCanary>
  readonly quarantine?: Quarantine
  /** Called for every answer, for the metrics. */
  readonly observe: (token: string, answer: AnswerFrame) => void
  readonly breaker: (token: string, state: BreakerState) => void
  /** A call that failed on this token went to another. */
  readonly failedOver: (token: string) => void
}

interface Member {
  readonly token: string
  readonly client: HsmClient
  readonly breaker: Breaker
  draining: boolean
  probing: boolean
  /** When an answer last showed that the token is well, performance.now(). */
  seen: number
}

/** Milliseconds: a token that nobody has heard of for so long is asked its canary; one that is given up is asked each time. */
const quietMilliseconds = 5_000
const probeEveryMilliseconds = 1_000

export class HsmPool implements Hsm {
  readonly #options: PoolOptions
  readonly #members: readonly Member[]
  readonly #timer: NodeJS.Timeout

  constructor(options: PoolOptions) {
    this.#options = options
    // One for all: what has ended agents of one token must not be tried on the next.
    const quarantine = options.quarantine ?? new Quarantine({ alarm: () => undefined })
    this.#members = options.tokens.map(token => {
      const member: Member = {
        token,
        client: new HsmClient({ observe: options.observe, quarantine, elsewhere: () => this.#isWellBeside(member) }),
        breaker: new Breaker(state => { options.breaker(token, state) }),
        draining: false, probing: false, seen: performance.now(),
      }
      return member
    })
    this.#timer = setInterval(() => { this.#probe() }, probeEveryMilliseconds)
    this.#timer.unref()
  }

  /** All tokens as they stand now; one that is not named has no agent. */
  setTokens(standings: readonly TokenStanding[]): void {
    for (const member of this.#members) {
      const standing = standings.find(({ token }) => token === member.token)
      member.draining = standing?.draining ?? false
      member.client.setAgent(standing?.address ?? null)
    }
  }

  /** What every token that has served can make and use; null while none has said. */
  get makes(): MakeableKeys | null {
    const known = this.#members.flatMap(({ client }) => client.makes ?? [])
    return known.length === 0 ? null : makeableOnEach(known)
  }

  get available(): boolean {
    return this.#members.some(({ client }) => client.available)
  }

  encrypt(material: SealedMaterial, context: Buffer, plaintext: Buffer): Promise<Buffer> {
    return this.#run((client, lost) => client.encrypt(material, context, plaintext, lost))
  }

  decrypt(material: SealedMaterial, context: Buffer, blob: Buffer): Promise<Buffer> {
    return this.#run((client, lost) => client.decrypt(material, context, blob, lost))
  }

  decryptRsa(material: SealedMaterial, algorithm: RsaEncryptionAlgorithm, ciphertext: Buffer): Promise<Buffer> {
    return this.#run((client, lost) => client.decryptRsa(material, algorithm, ciphertext, lost))
  }

  sign(material: SealedMaterial, algorithm: SigningAlgorithm, signed: Buffer): Promise<Buffer> {
    return this.#run((client, lost) => client.sign(material, algorithm, signed, lost))
  }

  verify(material: SealedMaterial, spki: Buffer, message: Buffer, signature: Buffer): Promise<boolean> {
    return this.#run((client, lost) => client.verify(material, spki, message, signature, lost))
  }

  encapsulate(material: SealedMaterial, spki: Buffer): Promise<SharedSecret> {
    return this.#run((client, lost) => client.encapsulate(material, spki, lost))
  }

  decapsulate(material: SealedMaterial, ciphertext: Buffer): Promise<Buffer> {
    return this.#run((client, lost) => client.decapsulate(material, ciphertext, lost))
  }

  deriveSecret(material: SealedMaterial, spki: Buffer): Promise<Buffer> {
    return this.#run((client, lost) => client.deriveSecret(material, spki, lost))
  }

  publicKey(material: SealedMaterial, spki: Buffer): Promise<PublicKey> {
    return this.#run(client => client.publicKey(material, spki))
  }

  mac(material: SealedMaterial, message: Buffer): Promise<Buffer> {
    return this.#run((client, lost) => client.mac(material, message, lost))
  }

  reencrypt(source: ReencryptSide, destination: ReencryptSide, blob: Buffer): Promise<Buffer> {
    return this.#run((client, lost) => client.reencrypt(source, destination, blob, lost))
  }

  random(length: number): Promise<Buffer> {
    return this.#run((client, lost) => client.random(length, lost))
  }

  create(plan: MaterialPlan, again: boolean): Promise<MadeMaterial> {
    return this.#run((client, lost, isRepeat) => client.create(plan, again || isRepeat, lost))
  }

  seal(material: SealedMaterial, aad: Buffer, secret: Buffer): Promise<Buffer> {
    return this.#run((client, lost) => client.seal(material, aad, secret, lost))
  }

  unseal(material: SealedMaterial, aad: Buffer, sealed: Buffer): Promise<Buffer> {
    return this.#run((client, lost) => client.unseal(material, aad, sealed, lost))
  }

  close(): void {
    clearInterval(this.#timer)
    for (const { client } of this.#members) client.close()
  }

  /** On the first token that is well; when it fails there, on the next. @throws what the call throws, the last HsmUnavailable */
  async #run<T>(call: (client: HsmClient, lost: Losses, isRepeat: boolean) => Promise<T>): Promise<T> {
    const lost: Losses = []
    let failure: unknown
    let former: Member | undefined
    for (const member of this.#choices()) {
      if (former !== undefined) this.#options.failedOver(former.token)
      try {
        const result = await call(member.client, lost, former !== undefined)
        this.#heard(member)
        return result
      } catch (thrown) {
        // What has ended two agents is not tried on a third, and says nothing of this one.
        if (thrown instanceof Quarantined) throw thrown
        // Every other fault is the caller's: the token has answered.
        if (!(thrown instanceof HsmUnavailable)) {
          this.#heard(member)
          throw thrown
        }
        member.breaker.count(true)
        // The next look asks the canary: whether it was the token or the one key is not known.
        member.seen = -Infinity
        failure = thrown
        former = member
      }
    }
    throw failure
  }

  #heard(member: Member): void {
    member.seen = performance.now()
    member.breaker.count(false)
  }

  /** Those that are well, in their order; when none is, the best there is, since a call that is not tried is lost for certain. */
  #choices(): readonly Member[] {
    const well = this.#members.filter(isWell)
    if (well.length > 0) return well
    const answering = this.#members.filter(({ client }) => client.available)
    return answering.length > 0 ? answering : this.#members.slice(0, 1)
  }

  #isWellBeside(member: Member): boolean {
    return this.#members.some(other => other !== member && isWell(other))
  }

  #probe(): void {
    for (const member of this.#members) {
      const isDue = member.breaker.state !== 'closed' || performance.now() - member.seen > quietMilliseconds
      if (isDue && !member.probing && !member.draining && member.client.available) void this.#ask(member)
    }
  }

  async #ask(member: Member): Promise<void> {
    member.probing = true
    try {
      const canary = await this.#options.canary().catch(() => undefined)
      // Postgres is away: that says nothing of the token.
      if (canary === undefined) return
      member.breaker.probing()
      const passed = await member.client.canary(canary.material, canary.context, canary.ciphertext).catch(() => false)
      if (passed) member.seen = performance.now()
      member.breaker.probed(passed)
    } finally {
      member.probing = false
    }
  }
}

const isWell = ({ client, breaker, draining }: Member): boolean => !draining && breaker.state === 'closed' && client.available
