// The signing keys that verify callers. An access key's secret is unsealed by the HSM once for each day, Region and service; only
// what SigV4 derives from it is kept, and only while that day lasts.
import { randomFillSync } from 'node:crypto'
import { type Hsm, SealBroken } from '../hsm/hsm.ts'
import type { SealedMaterial } from '../keys/material.ts'
import { maxPresignedLife, maxSkew } from '../sigv4/scope.ts'
import { deriveSigningKey, type Scope } from '../sigv4/signing.ts'
import { accessKeyAad } from './access-key.ts'

/** What of an access key's row decides its signing key. */
export interface SealedAccessKey {
  readonly id: string
  readonly accountId: string
  /** Null for the account's root user. */
  readonly userId: string | null
  readonly sealedSecret: Buffer
  readonly serviceKeyVersion: number
}

export interface SigningKeysOptions {
  readonly hsm: Pick<Hsm, 'unseal'>
  /** The service key that seals access-key secrets, by version; undefined when there is none of that version. */
  readonly serviceKey: (version: number) => SealedMaterial | undefined | Promise<SealedMaterial | undefined>
  /** Signing keys kept, defaultLimit unless said. */
  readonly limit?: number
  readonly now?: () => Date
}

interface Entry {
  readonly accessKey: SealedAccessKey
  readonly signingKey: Buffer
  /** Milliseconds since the epoch: from then on no request can carry this day. */
  readonly expires: number
}

const dayMs = 86_400_000

export const defaultLimit = 10_000

export class SigningKeys {
  readonly #options: Required<SigningKeysOptions>
  /** In order of use, the longest unused first. */
  readonly #entries = new Map<string, Entry>()
  readonly #pending = new Map<string, Promise<Buffer>>()
  #nextExpiry = Infinity
  #generation = 0

  constructor(options: SigningKeysOptions) {
    this.#options = { ...options, limit: options.limit ?? defaultLimit, now: options.now ?? (() => new Date()) }
  }

  /**
   * The signing key, 32 bytes: a Buffer when it is known, otherwise a promise of one. Use it at once and never keep it: a dropped
   * key's bytes are overwritten. Comes after checkScope, which bounds date, Region and service. `begin` is called before an unseal
   * of its own, not when one under way is joined; by throwing, it prevents the unseal.
   * @throws SealBroken when the secret was not sealed for this access key, user and account; HsmUnavailable. Neither is remembered.
   */
  get(accessKey: SealedAccessKey, { date, region, service }: Scope, begin?: () => void): Buffer | Promise<Buffer> {
    const now = this.#options.now().getTime()
    if (now >= this.#nextExpiry) this.#dropExpired(now)
    const name = nameOf(accessKey.id, { date, region, service })
    const entry = this.#entries.get(name)
    if (entry === undefined || !sameRow(entry.accessKey, accessKey)) return this.#unsealed(name, accessKey, { date, region, service }, begin)
    this.#entries.delete(name)
    this.#entries.set(name, entry)
    return entry.signingKey
  }

  /**
   * The signing key last kept for an access key id, whatever its row says by now; starts no work. Only good for knowing that who signs
   * with it has been a caller this day, never for who that is.
   */
  peek(accessKeyId: string, scope: Scope): Buffer | undefined {
    return this.#entries.get(nameOf(accessKeyId, scope))?.signingKey
  }

  /** Drops all keys, also those that are being unsealed. */
  clear(): void {
    this.#generation++
    this.#pending.clear()
    for (const name of [...this.#entries.keys()]) this.#drop(name)
    this.#nextExpiry = Infinity
  }

  /** Requests that ask for the same key at once wait for one unseal. */
  #unsealed(name: string, accessKey: SealedAccessKey, scope: Scope, begin: (() => void) | undefined): Promise<Buffer> {
    const { userId, accountId, serviceKeyVersion, sealedSecret } = accessKey
    const flight = `${name}/${userId ?? 'root'}/${accountId}/${serviceKeyVersion}/${sealedSecret.toString('base64')}`
    const waiting = this.#pending.get(flight)
    if (waiting !== undefined) return waiting
    begin?.()
    const derived = this.#derive(name, accessKey, scope).finally(() => {
      if (this.#pending.get(flight) === derived) this.#pending.delete(flight)
    })
    this.#pending.set(flight, derived)
    return derived
  }

  async #derive(name: string, accessKey: SealedAccessKey, { date, region, service }: Scope): Promise<Buffer> {
    const generation = this.#generation
    const material = await this.#options.serviceKey(accessKey.serviceKeyVersion)
    if (material === undefined) throw new SealBroken(`access key ${accessKey.id}: no service key of version ${accessKey.serviceKeyVersion}`)
    const aad = accessKeyAad(accessKey.id, accessKey.userId ?? 'root', accessKey.accountId)
    const secret = await this.#options.hsm.unseal(material, aad, accessKey.sealedSecret)
    try {
      const signingKey = deriveSigningKey(secret, date, region, service)
      if (generation === this.#generation) this.#keep(name, accessKey, date, signingKey)
      return signingKey
    } finally {
      secret.fill(0)
    }
  }

  #keep(name: string, accessKey: SealedAccessKey, date: string, signingKey: Buffer): void {
    const start = startOfDay(date)
    const expires = start + dayMs + Math.max(maxPresignedLife, maxSkew) * 1000
    const now = this.#options.now().getTime()
    if (!(now >= start - maxSkew * 1000 && now < expires)) return
    this.#drop(name)
    const { id, accountId, userId, sealedSecret, serviceKeyVersion } = accessKey
    // Only these five: the row that was handed in may hold a user's whole policies.
    this.#entries.set(name, { accessKey: { id, accountId, userId, sealedSecret, serviceKeyVersion }, signingKey, expires })
    this.#nextExpiry = Math.min(this.#nextExpiry, expires)
    if (this.#entries.size > this.#options.limit) this.#drop(this.#entries.keys().next().value ?? name)
  }

  #dropExpired(now: number): void {
    let next = Infinity
    for (const [name, { expires }] of [...this.#entries]) {
      if (now >= expires) this.#drop(name)
      else next = Math.min(next, expires)
    }
    this.#nextExpiry = next
  }

  #drop(name: string): void {
    const entry = this.#entries.get(name)
    if (entry === undefined) return
    this.#entries.delete(name)
    // Random bytes, not zeroes: were a request still about to verify with this Buffer, a signature under the all-zero key, which
    // anyone can make, would pass.
    randomFillSync(entry.signingKey)
  }
}

/**
 * Whether a row is the one that a key was unsealed for. Owner and account count too: the unseal binds them to the secret, and a
 * row that was given to another user must meet that check, not the key of its old owner.
 */
function sameRow(known: SealedAccessKey, row: SealedAccessKey): boolean {
  return known.userId === row.userId && known.accountId === row.accountId
    && known.serviceKeyVersion === row.serviceKeyVersion && known.sealedSecret.equals(row.sealedSecret)
}

const nameOf = (id: string, { date, region, service }: Scope): string => `${id}/${date}/${region}/${service}`

/** Milliseconds since the epoch of a YYYYMMDD; NaN for anything else. */
const startOfDay = (date: string): number => Date.parse(`${date.slice(0, 4)}-${date.slice(4, 6)}-${date.slice(6)}T00:00:00Z`)
