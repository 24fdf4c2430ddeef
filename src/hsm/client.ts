// The gateway's side of the HSM: verbs to the least-loaded worker of their lane, with a bounded queue before them; one repeat when an agent dies under a call. Every verb may be repeated safely (create: see Hsm.create).
import { invalidCiphertext } from '../keys/ciphertext.ts'
import { decodeMaterial, encodeMaterial, type SealedMaterial } from '../keys/material.ts'
import { encodeExpiry } from './agent/expiry.ts'
import type { AnswerFrame, Verb } from './agent/frames.ts'
import { rowName } from './agent/row-name.ts'
import type { PublicKey } from '../keys/public-key.ts'
import { isSlow, rsaEncryptionAlgorithms, signingAlgorithms, type RsaEncryptionAlgorithm, type SigningAlgorithm } from '../keys/spec.ts'
import { decodeMade } from './made.ts'
import { HsmUnavailable, MaterialRefused, PlaintextTooLong, SealBroken, type Hsm, type MadeMaterial, type MaterialPlan, type ReencryptSide } from './hsm.ts'
import { PublicKeys } from './public-keys.ts'
import { Lane, laneOf, lanes, type LaneName } from './lane.ts'

/** Where an agent listens: told by the supervisor, again at each replacement. */
export interface AgentAddress {
  readonly token: string
  readonly generation: number
  readonly sockets: Readonly<Record<LaneName, readonly string[]>>
}

export interface ClientOptions {
  /** Called for every answer, for the metrics. */
  readonly observe: (token: string, answer: AnswerFrame) => void
  readonly now?: () => number
}

/** Waiting for a worker and in the HSM together, milliseconds; the supervisor's own deadlines are shorter and replace the agent. */
const callLimits: Readonly<Partial<Record<Verb, number>>> = { create: 30_000 }
const usualCallLimit = 10_000
export const callLimit = (verb: Verb): number => callLimits[verb] ?? usualCallLimit
const sweepEveryMilliseconds = 250
const attempts = 2
/** How often a row is sent with one call: the key may go stale under it, at this worker or, a moment later, at another. */
const rowsLimit = 3
/** Losses of one call, whatever it was with: an agent may end the connection of a frame that it cannot read, and go on. */
const lossLimit = 4
/** By then an agent that died has lost all its connections. */
const repeatMilliseconds = 20
const none = Buffer.alloc(0)

type FieldsOf = (attempt: number, left: number) => readonly Buffer[]

interface Named {
  readonly name: Buffer
  readonly slow: boolean
}

interface Pending {
  readonly verb: Verb
  readonly lane: LaneName
  readonly deadline: number
  settled: boolean
  sentElsewhere: boolean
  resolve(answer: AnswerFrame): void
  reject(error: Error): void
}

export class HsmClient implements Hsm {
  readonly #observe: ClientOptions['observe']
  readonly #now: () => number
  #address: AgentAddress | null = null
  readonly #lanes: Readonly<Record<LaneName, Lane>> = { hot: new Lane('hot'), slow: new Lane('slow') }
  readonly #pending = new Set<Pending>()
  readonly #sweep: NodeJS.Timeout
  readonly #publicKeys = new PublicKeys(async material => payloadOf(await this.#withKey('authenticate', material, [])))
  /** A material stays the same object as long as it is cached. */
  readonly #names = new WeakMap<SealedMaterial, Named>()

  constructor(options: ClientOptions) {
    this.#observe = options.observe
    this.#now = options.now ?? (() => performance.now())
    this.#sweep = setInterval(() => { this.#expire() }, sweepEveryMilliseconds)
    this.#sweep.unref()
  }

  /** Uses this agent from now on; null while there is none. Calls in flight with the former one are sent again to the next. */
  setAgent(address: AgentAddress | null): void {
    if (address !== null && address.generation === this.#address?.generation) return
    this.#address = address
    for (const name of lanes) this.#lanes[name].use(address?.sockets[name] ?? [], address?.generation ?? 0)
  }

  get available(): boolean {
    return lanes.some(name => this.#lanes[name].isOpen)
  }

  async encrypt(material: SealedMaterial, context: Buffer, plaintext: Buffer): Promise<Buffer> {
    return payloadOf(await this.#withKey('encrypt', material, [context, plaintext]))
  }

  async decrypt(material: SealedMaterial, context: Buffer, blob: Buffer): Promise<Buffer> {
    const answer = await this.#withKey('decrypt', material, [context, blob])
    if (answer.status === 'invalid') throw invalidCiphertext()
    return payloadOf(answer)
  }

  async decryptRsa(material: SealedMaterial, algorithm: RsaEncryptionAlgorithm, ciphertext: Buffer): Promise<Buffer> {
    const answer = await this.#withKey('decrypt', material, [numberOf(algorithm), ciphertext])
    if (answer.status === 'invalid') throw invalidCiphertext()
    return payloadOf(answer)
  }

  async reencrypt(source: ReencryptSide, destination: ReencryptSide, blob: Buffer): Promise<Buffer> {
    const from = 'context' in source ? source.context : numberOf(source.algorithm)
    const to = 'context' in destination ? destination.context : Buffer.concat([numberOf(destination.algorithm), destination.spki])
    const answer = await this.#withKeys('reencrypt', [source.material, destination.material], [from, to, blob])
    if (answer.status === 'invalid') throw invalidCiphertext()
    if (answer.status === 'tooLong') throw new PlaintextTooLong('the plaintext does not fit the destination key')
    return payloadOf(answer)
  }

  async sign(material: SealedMaterial, algorithm: SigningAlgorithm, digest: Buffer): Promise<Buffer> {
    return payloadOf(await this.#withKey('sign', material, [Buffer.from([signingAlgorithms[algorithm].number]), digest]))
  }

  async deriveSecret(material: SealedMaterial, spki: Buffer): Promise<Buffer> {
    return payloadOf(await this.#withKey('derive', material, [spki]))
  }

  publicKey(material: SealedMaterial, spki: Buffer): Promise<PublicKey> {
    return this.#publicKeys.get(material, spki)
  }

  async mac(material: SealedMaterial, message: Buffer): Promise<Buffer> {
    return payloadOf(await this.#withKey('mac', material, [message]))
  }

  async random(length: number): Promise<Buffer> {
    const bytes = Buffer.alloc(4)
    bytes.writeUInt32LE(length)
    return payloadOf(await this.#call('random', () => [bytes]))
  }

  async create(plan: MaterialPlan, again: boolean): Promise<MadeMaterial> {
    const row = encodeMaterial({ ...plan, domainId: none, domainVersion: 0, spkiDigest: none, blob: none })
    const payload = payloadOf(await this.#call('create', (attempt, left) => [row, Buffer.from([again || attempt > 0 ? 1 : 0]), encodeExpiry(left)]))
    return decodeMade(payload)
  }

  async seal(material: SealedMaterial, aad: Buffer, secret: Buffer): Promise<Buffer> {
    return payloadOf(await this.#withKey('seal', material, [aad, secret]))
  }

  async unseal(material: SealedMaterial, aad: Buffer, sealed: Buffer): Promise<Buffer> {
    const answer = await this.#withKey('unseal', material, [aad, sealed])
    if (answer.status === 'invalid') throw new SealBroken('the sealed bytes do not open')
    return payloadOf(answer)
  }

  /** Whether the database's canary opens under this token's domain: false is another domain. @throws HsmUnavailable when the HSM fails */
  async canary(material: SealedMaterial, context: Buffer, ciphertext: Buffer): Promise<boolean> {
    const answer = await this.#withKey('canary', material, [context, ciphertext])
    return answer.status !== 'refused' && answer.status !== 'invalid' && payloadOf(answer)[0] === 1
  }

  close(): void {
    clearInterval(this.#sweep)
    this.setAgent(null)
    for (const pending of this.#pending) pending.reject(new HsmUnavailable('unavailable', 'the gateway is closing'))
    this.#pending.clear()
  }

  /** A hot frame carries the row's name alone; the row follows only when the worker asks for it. */
  async #withKeys(verb: Verb, materials: readonly SealedMaterial[], fields: readonly Buffer[]): Promise<AnswerFrame> {
    const named = materials.map(material => this.#nameOf(material))
    const names = named.map(({ name }) => name)
    const slow = named.some(one => one.slow)
    const lost: number[] = []
    let answer = await this.#call(verb, () => [...names.flatMap(name => [name, none]), ...fields], lost, slow)
    for (let sent = 0; answer.status === 'needRow' && sent < rowsLimit; sent++) {
      answer = await this.#call(verb, () => [...materials.flatMap(({ row }, i) => [names[i] ?? none, row]), ...fields], lost, slow)
    }
    return answer
  }

  #nameOf(material: SealedMaterial): Named {
    const known = this.#names.get(material)
    if (known !== undefined) return known
    const named = { name: rowName(material), slow: isSlow(decodeMaterial(material.row).spec) }
    this.#names.set(material, named)
    return named
  }

  #withKey(verb: Verb, material: SealedMaterial, fields: readonly Buffer[]): Promise<AnswerFrame> {
    return this.#withKeys(verb, [material], fields)
  }

  /** `fieldsOf` is given how often the call was sent before and the milliseconds it has left. `lost`: the generations of the agents with which the call was lost; the two steps of a verb that uses a key are one call. */
  #call(verb: Verb, fieldsOf: FieldsOf, lost: number[] = [], slow = false): Promise<AnswerFrame> {
    return new Promise<AnswerFrame>((resolve, reject) => {
      const pending: Pending = { verb, lane: laneOf(verb, slow), deadline: this.#now() + callLimit(verb), settled: false, sentElsewhere: false, resolve, reject }
      this.#pending.add(pending)
      this.#attempt(pending, fieldsOf, lost)
    })
  }

  #attempt(pending: Pending, fieldsOf: FieldsOf, lost: number[]): void {
    const sent = this.#lanes[pending.lane].send({
      verb: pending.verb,
      fields: fieldsOf(lost.length + (pending.sentElsewhere ? 1 : 0), pending.deadline - this.#now()),
      answered: (answer, generation) => {
        if (pending.settled) {
          // Too late for its caller; it may be a plaintext all the same.
          answer?.payload.fill(0)
          return
        }
        if (answer === undefined) {
          lost.push(generation)
          this.#repeat(pending, fieldsOf, lost)
          return
        }
        if (this.#address !== null) this.#observe(this.#address.token, answer)
        // The worker has tried three times on a device that is not lost: another worker tries once more.
        if (answer.status === 'again' && !pending.sentElsewhere) {
          pending.sentElsewhere = true
          this.#attempt(pending, fieldsOf, lost)
          return
        }
        this.#settle(pending)
        pending.resolve(answer)
      },
    }, pending)
    if (sent) return
    this.#settle(pending)
    pending.reject(new HsmUnavailable('busy', 'the queue before the HSM is full'))
  }

  /** The connections of an agent that dies end one after the other, so a call may be lost on several of them: that is one death. */
  #repeat(pending: Pending, fieldsOf: FieldsOf, lost: number[]): void {
    if (new Set(lost).size < attempts && lost.length < lossLimit) {
      setTimeout(() => { if (!pending.settled) this.#attempt(pending, fieldsOf, lost) }, repeatMilliseconds)
      return
    }
    this.#settle(pending)
    pending.reject(new HsmUnavailable('unavailable', 'the hsm-agent died twice under this call'))
  }

  #expire(): void {
    const now = this.#now()
    for (const pending of this.#pending) {
      if (pending.deadline > now) continue
      this.#settle(pending)
      pending.reject(this.available
        ? new HsmUnavailable('deadline', `no answer to ${pending.verb} in time`)
        : new HsmUnavailable('unavailable', 'no hsm-agent serves'))
    }
    for (const name of lanes) this.#lanes[name].sweep()
  }

  #settle(pending: Pending): void {
    pending.settled = true
    this.#pending.delete(pending)
  }
}

const numberOf = (algorithm: RsaEncryptionAlgorithm): Buffer => Buffer.from([rsaEncryptionAlgorithms[algorithm].number])

/** @throws MaterialRefused, HsmUnavailable */
function payloadOf(answer: AnswerFrame): Buffer {
  if (answer.status === 'ok') return answer.payload
  if (answer.status === 'refused') throw new MaterialRefused(answer.payload.toString() || 'the key may not be used so')
  throw new HsmUnavailable('unavailable', answer.payload.toString() || `the hsm-agent answered ${answer.status}`)
}
