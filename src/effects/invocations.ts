// The bound of AES-GCM with random 96-bit IVs: at most 2^32 messages a key. Every encryption in direct mode is counted before it is
// made, by leases from Postgres: a process books a number of invocations for a backing key and uses them up without asking again. At
// 2^31 the key gets a new backing key under the same KeyMaterialId; what is encrypted until that one is there stays below 2^32.
import type { SealedMaterial } from '../keys/material.ts'
import { decodeMaterial } from '../keys/material.ts'
import { HsmUnavailable } from '../hsm/hsm.ts'
import { isConnectionLoss, type Pool } from '../store/database.ts'
import { bookInvocations, type BackingName } from '../store/invocations.ts'

export interface InvocationLimits {
  /** First lease of a process for a key; doubled while one is used up within the hour. */
  readonly first: number
  readonly most: number
  /** Booked invocations at which a backing key is succeeded by another. */
  readonly succession: number
  /** Booked invocations at which it encrypts no more. */
  readonly end: number
  /** Invocations without a lease while Postgres is away, for each process and key; booked on its return. */
  readonly unleased: number
}

export const usualLimits: InvocationLimits = { first: 2 ** 12, most: 2 ** 20, succession: 2 ** 31, end: 2 ** 32 - 2 ** 24, unleased: 2 ** 16 }

export interface InvocationsOptions {
  readonly pool: Pool
  /** Makes the next backing key; false when there is one, or one in the making. Called at most once at a time for a key. */
  readonly succeed: (backing: BackingName) => Promise<boolean>
  readonly on: {
    /** `share`: how much of the way to its succession the backing key has gone. */
    readonly leased: (count: number, share: number) => void
    readonly unleased: () => void
    readonly succeeded: () => void
    readonly fault: (error: unknown) => void
  }
  readonly limits?: Partial<InvocationLimits>
  /** Milliseconds, monotonic. */
  readonly now?: () => number
}

/** The key may not encrypt now: its bound is reached, or Postgres is away for longer than the unleased invocations last. */
export class InvocationsExhausted extends HsmUnavailable {
  constructor(message: string) {
    super('unavailable', message)
  }
}

interface Lease {
  readonly backing: BackingName
  left: number
  size: number
  since: number
  /** Used without a lease, not yet booked. */
  owed: number
  fetching: Promise<void> | undefined
  /** When a successor may be asked for, milliseconds. */
  successionAt: number
  /** The hard bound is reached: never again. */
  ended: boolean
}

const hour = 3_600_000
const tryEvery = 1_000
/** Leases kept, each some 200 bytes; the longest unused is handed back. */
const keptLeases = 10_000

export class Invocations {
  readonly #options: InvocationsOptions
  readonly #limits: InvocationLimits
  readonly #now: () => number
  /** When Postgres is asked again after it was away; undefined while it answers. */
  #awayUntil: number | undefined
  /** By MAC of the material row, in order of use. */
  readonly #leases = new Map<string, Lease>()

  constructor(options: InvocationsOptions) {
    this.#options = options
    this.#limits = { ...usualLimits, ...options.limits }
    this.#now = options.now ?? (() => performance.now())
  }

  /** Counts one encryption before it is made. Resolved at once while the lease lasts. @throws InvocationsExhausted */
  take(material: SealedMaterial): Promise<void> | undefined {
    const lease = this.#leaseOf(material)
    if (lease === undefined) return undefined
    if (lease.left > 0) {
      lease.left--
      if (lease.left < lease.size / 2) this.#fetch(lease).catch((error: unknown) => { this.#options.on.fault(error) })
      return undefined
    }
    return this.#wait(lease)
  }

  /** Hands back what was not used, and books what is owed. What Postgres does not hear stays booked: too many, never too few. */
  async close(): Promise<void> {
    for (const lease of this.#leases.values()) await this.#return(lease).catch((error: unknown) => { this.#options.on.fault(error) })
    this.#leases.clear()
  }

  #leaseOf(material: SealedMaterial): Lease | undefined {
    const name = material.mac.toString('latin1')
    const known = this.#leases.get(name)
    if (known !== undefined) {
      this.#leases.delete(name)
      this.#leases.set(name, known)
      return known
    }
    const { keyId, materialId, backing, cipherMode } = decodeMaterial(material.row)
    // Derived mode has no counter to keep: 2^48 messages with random 128-bit nonces.
    if (cipherMode !== 'direct') return undefined
    const lease: Lease = {
      backing: { keyId, materialId: Buffer.from(materialId), backing }, left: 0, size: this.#limits.first / 2, since: this.#now(), owed: 0,
      fetching: undefined, successionAt: 0, ended: false,
    }
    this.#leases.set(name, lease)
    if (this.#leases.size > keptLeases) this.#dropOldest()
    return lease
  }

  #dropOldest(): void {
    const [oldest] = this.#leases
    if (oldest === undefined) return
    this.#leases.delete(oldest[0])
    this.#return(oldest[1]).catch((error: unknown) => { this.#options.on.fault(error) })
  }

  async #wait(lease: Lease): Promise<void> {
    if (!lease.ended) await this.#refill(lease)
    if (lease.ended) {
      // Its successor has been asked for; should that have failed, it is asked for again.
      this.#succeed(lease)
      throw new InvocationsExhausted(`key ${lease.backing.keyId}: its backing key ${lease.backing.backing} has reached the bound of AES-GCM`)
    }
    if (lease.left > 0) {
      lease.left--
      return
    }
    if (lease.owed >= this.#limits.unleased) throw new InvocationsExhausted(`key ${lease.backing.keyId}: no invocation can be booked for its backing key ${lease.backing.backing}`)
    lease.owed++
    this.#options.on.unleased()
  }

  async #refill(lease: Lease): Promise<void> {
    // While Postgres is away nobody waits for it: one attempt a second is made beside the requests.
    if (this.#awayUntil === undefined) await this.#fetch(lease)
    else if (this.#now() >= this.#awayUntil) {
      this.#awayUntil = this.#now() + tryEvery
      this.#fetch(lease).catch((error: unknown) => { this.#options.on.fault(error) })
    }
  }

  /** One request at a time for a key; never rejects for a Postgres that is away. */
  #fetch(lease: Lease): Promise<void> {
    lease.fetching ??= this.#book(lease).finally(() => { lease.fetching = undefined })
    return lease.fetching
  }

  async #book(lease: Lease): Promise<void> {
    const now = this.#now()
    const size = lease.since + hour > now ? Math.min(lease.size * 2, this.#limits.most) : this.#limits.first
    const { owed } = lease
    const booked = await this.#bookOrAway(lease.backing, size + owed)
    if (booked === undefined) return
    lease.owed -= owed
    if (booked > this.#limits.end) {
      // Nothing that follows may be taken for Postgres being away: a bound that is reached is reached.
      lease.ended = true
      this.#succeed(lease)
      await this.#bookOrAway(lease.backing, -size)
      return
    }
    lease.left += size
    lease.size = size
    lease.since = now
    this.#options.on.leased(size, booked / this.#limits.succession)
    if (booked >= this.#limits.succession) this.#succeed(lease)
  }

  /** How many are booked in all, or undefined while Postgres is away. */
  async #bookOrAway(backing: BackingName, count: number): Promise<number | undefined> {
    try {
      const booked = await bookInvocations(this.#options.pool, backing, count)
      this.#awayUntil = undefined
      return booked
    } catch (error) {
      if (!isConnectionLoss(error)) throw error
      this.#awayUntil = this.#now() + tryEvery
      this.#options.on.fault(error)
      return undefined
    }
  }

  /** Asks for the next backing key: once at a time, and again a while later as long as this one is still asked for. */
  #succeed(lease: Lease): void {
    if (this.#now() < lease.successionAt) return
    lease.successionAt = Infinity
    this.#options.succeed(lease.backing)
      .then(made => { if (made) this.#options.on.succeeded() }, (error: unknown) => { this.#options.on.fault(error) })
      .finally(() => { lease.successionAt = this.#now() + tryEvery })
  }

  async #return(lease: Lease): Promise<void> {
    await lease.fetching?.catch(() => undefined)
    const unused = lease.left - lease.owed
    lease.left = 0
    lease.owed = 0
    if (unused !== 0) await bookInvocations(this.#options.pool, lease.backing, -unused)
  }
}
