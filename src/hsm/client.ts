// The gateway's side of one token: each verb as a call to its agent. Every verb may be repeated safely (create: see Hsm.create).
import { invalidCiphertext } from '../keys/ciphertext.ts'
import type { MakeableKeys } from '../keys/makeable.ts'
import { decodeMaterial, encodeMaterial, type SealedMaterial } from '../keys/material.ts'
import { encodeExpiry } from './agent/expiry.ts'
import type { AnswerFrame, Verb } from './agent/frames.ts'
import { rowName } from './agent/row-name.ts'
import { Calls, type AgentAddress, type ClientOptions, type Losses } from './calls.ts'
import { sharedSecretBytes } from '../keys/post-quantum.ts'
import type { PublicKey } from '../keys/public-key.ts'
import { rsaEncryptionAlgorithms, signingNumbers, type RsaEncryptionAlgorithm, type SigningAlgorithm } from '../keys/spec.ts'
import { decodeMade } from './made.ts'
import { HsmUnavailable, MaterialRefused, PlaintextTooLong, SealBroken, type Hsm, type MadeMaterial, type MaterialPlan, type ReencryptSide, type SharedSecret } from './hsm.ts'
import { PublicKeys } from './public-keys.ts'
import { laneOf } from './lane.ts'

/** How often a row is sent with one call: the key may go stale under it, at this worker or, a moment later, at another. */
const rowsLimit = 3
const none = Buffer.alloc(0)

/** What the client keeps of a material: how frames name it, and how slow its key is. */
interface Known {
  readonly name: Buffer
  readonly spec: string
}

export class HsmClient implements Hsm {
  readonly #calls: Calls
  #makes: MakeableKeys | null = null
  readonly #publicKeys = new PublicKeys(async material => payloadOf(await this.#withKey('authenticate', material, [])))
  /** A material stays the same object as long as it is cached. */
  readonly #known = new WeakMap<SealedMaterial, Known>()

  constructor(options: ClientOptions) {
    this.#calls = new Calls(options)
  }

  /**
   * Uses this agent from now on; null while there is none. Calls in flight with the former one are answered by it; should it end before
   * that, they are sent again to the next.
   */
  setAgent(address: AgentAddress | null): void {
    this.#makes = address?.makes ?? this.#makes
    this.#calls.setAgent(address)
  }

  /** The keys that can be made and used; null while no agent has said. What was said holds while none serves. */
  get makes(): MakeableKeys | null {
    return this.#makes
  }

  get available(): boolean {
    return this.#calls.available
  }

  async encrypt(material: SealedMaterial, context: Buffer, plaintext: Buffer, lost?: Losses): Promise<Buffer> {
    return payloadOf(await this.#withKey('encrypt', material, [context, plaintext], lost))
  }

  async decrypt(material: SealedMaterial, context: Buffer, blob: Buffer, lost?: Losses): Promise<Buffer> {
    const answer = await this.#withKey('decrypt', material, [context, blob], lost)
    if (answer.status === 'invalid') throw invalidCiphertext()
    return payloadOf(answer)
  }

  async decryptRsa(material: SealedMaterial, algorithm: RsaEncryptionAlgorithm, ciphertext: Buffer, lost?: Losses): Promise<Buffer> {
    const answer = await this.#withKey('decrypt', material, [numberOf(algorithm), ciphertext], lost)
    if (answer.status === 'invalid') throw invalidCiphertext()
    return payloadOf(answer)
  }

  async reencrypt(source: ReencryptSide, destination: ReencryptSide, blob: Buffer, lost?: Losses): Promise<Buffer> {
    const from = 'context' in source ? source.context : numberOf(source.algorithm)
    const to = 'context' in destination ? destination.context : Buffer.concat([numberOf(destination.algorithm), destination.spki])
    const answer = await this.#withKeys('reencrypt', [source.material, destination.material], [from, to, blob], lost)
    if (answer.status === 'invalid') throw invalidCiphertext()
    if (answer.status === 'tooLong') throw new PlaintextTooLong('the plaintext does not fit the destination key')
    return payloadOf(answer)
  }

  async sign(material: SealedMaterial, algorithm: SigningAlgorithm, signed: Buffer, lost?: Losses): Promise<Buffer> {
    return payloadOf(await this.#withKey('sign', material, [Buffer.from([signingNumbers[algorithm]]), signed], lost))
  }

  async verify(material: SealedMaterial, spki: Buffer, message: Buffer, signature: Buffer, lost?: Losses): Promise<boolean> {
    const answer = await this.#withKey('verify', material, [spki, message, signature], lost)
    return answer.status !== 'invalid' && payloadOf(answer)[0] === 1
  }

  async encapsulate(material: SealedMaterial, spki: Buffer, lost?: Losses): Promise<SharedSecret> {
    const payload = payloadOf(await this.#withKey('encapsulate', material, [spki], lost))
    return { secret: payload.subarray(0, sharedSecretBytes), ciphertext: payload.subarray(sharedSecretBytes) }
  }

  async decapsulate(material: SealedMaterial, ciphertext: Buffer, lost?: Losses): Promise<Buffer> {
    const answer = await this.#withKey('decapsulate', material, [ciphertext], lost)
    if (answer.status === 'invalid') throw invalidCiphertext()
    return payloadOf(answer)
  }

  async deriveSecret(material: SealedMaterial, spki: Buffer, lost?: Losses): Promise<Buffer> {
    return payloadOf(await this.#withKey('derive', material, [spki], lost))
  }

  publicKey(material: SealedMaterial, spki: Buffer): Promise<PublicKey> {
    return this.#publicKeys.get(material, spki)
  }

  async mac(material: SealedMaterial, message: Buffer, lost?: Losses): Promise<Buffer> {
    return payloadOf(await this.#withKey('mac', material, [message], lost))
  }

  async random(length: number, lost: Losses = []): Promise<Buffer> {
    const bytes = Buffer.alloc(4)
    bytes.writeUInt32LE(length)
    return payloadOf(await this.#calls.call({ verb: 'random', lane: laneOf('random', []), materials: [], fields: () => [bytes], lost }))
  }

  async create(plan: MaterialPlan, again: boolean, lost: Losses = []): Promise<MadeMaterial> {
    const row = encodeMaterial({ ...plan, domainId: none, domainVersion: 0, spkiDigest: none, blob: none })
    const payload = payloadOf(await this.#calls.call({
      verb: 'create', lane: laneOf('create', [plan.spec]), materials: [row], lost,
      fields: (attempt, left) => [row, Buffer.from([again || attempt > 0 ? 1 : 0]), encodeExpiry(left)],
    }))
    return decodeMade(payload)
  }

  async seal(material: SealedMaterial, aad: Buffer, secret: Buffer, lost?: Losses): Promise<Buffer> {
    return payloadOf(await this.#withKey('seal', material, [aad, secret], lost))
  }

  async unseal(material: SealedMaterial, aad: Buffer, sealed: Buffer, lost?: Losses): Promise<Buffer> {
    const answer = await this.#withKey('unseal', material, [aad, sealed], lost)
    if (answer.status === 'invalid') throw new SealBroken('the sealed bytes do not open')
    return payloadOf(answer)
  }

  /** Whether the database's canary opens under this token's domain: false is another domain. @throws HsmUnavailable when the HSM fails */
  async canary(material: SealedMaterial, context: Buffer, ciphertext: Buffer): Promise<boolean> {
    const answer = await this.#withKey('canary', material, [context, ciphertext])
    return answer.status !== 'refused' && answer.status !== 'invalid' && payloadOf(answer)[0] === 1
  }

  close(): void {
    this.#calls.close()
  }

  /** A hot frame carries the row's name alone; the row follows only when the worker asks for it. */
  async #withKeys(verb: Verb, materials: readonly SealedMaterial[], fields: readonly Buffer[], lost: Losses = []): Promise<AnswerFrame> {
    const known = materials.map(material => this.#knownOf(material))
    const names = known.map(({ name }) => name)
    const ask = { verb, lane: laneOf(verb, known.map(({ spec }) => spec)), materials: names, lost }
    let answer = await this.#calls.call({ ...ask, fields: () => [...names.flatMap(name => [name, none]), ...fields] })
    for (let sent = 0; answer.status === 'needRow' && sent < rowsLimit; sent++) {
      answer = await this.#calls.call({ ...ask, fields: () => [...materials.flatMap(({ row }, i) => [names[i] ?? none, row]), ...fields] })
    }
    return answer
  }

  #knownOf(material: SealedMaterial): Known {
    const before = this.#known.get(material)
    if (before !== undefined) return before
    const known = { name: rowName(material), spec: specOf(material) }
    this.#known.set(material, known)
    return known
  }

  #withKey(verb: Verb, material: SealedMaterial, fields: readonly Buffer[], lost?: Losses): Promise<AnswerFrame> {
    return this.#withKeys(verb, [material], fields, lost)
  }
}

/** What the row says: only the lane hangs on it, so it counts before the agent has checked it. */
function specOf({ row }: SealedMaterial): string {
  try {
    return decodeMaterial(row).spec
  } catch {
    // No row at all: the agent says so.
    return ''
  }
}

const numberOf = (algorithm: RsaEncryptionAlgorithm): Buffer => Buffer.from([rsaEncryptionAlgorithms[algorithm].number])

/** @throws MaterialRefused, HsmUnavailable */
function payloadOf(answer: AnswerFrame): Buffer {
  if (answer.status === 'ok') return answer.payload
  if (answer.status === 'late') throw new HsmUnavailable('deadline', 'the call came to the HSM too late')
  if (answer.status === 'refused') throw new MaterialRefused(answer.payload.toString() || 'the key may not be used so')
  throw new HsmUnavailable('unavailable', answer.payload.toString() || `the hsm-agent answered ${answer.status}`)
}
