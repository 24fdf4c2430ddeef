// What the hot path reads instead of Postgres: keys, aliases, callers. Three states:
//
//   live      changes are heard of (see listen.ts): what is kept is served at once.
//   bypassed  they are not: each look-up reads Postgres.
//   stale     they are not, and Postgres does not answer either: what is kept serves until `maxStaleMs` after the last moment
//             up to which every change had been heard, then look-ups fail.
//
// So a revocation is in force here at the latest after 2 s while Postgres answers, and after maxStaleMs when it does not.
import { loadAccessKey } from '../store/access-keys.ts'
import { findAlias } from '../store/aliases.ts'
import { isConnectionLoss, type Pool } from '../store/database.ts'
import { loadKeyEntry } from '../store/key-entries.ts'
import { callerEntry, type CallerEntry } from './caller-entry.ts'
import { Entries } from './entries.ts'
import { keyEntry, type KeyEntry } from './key-entry.ts'
import { Listen } from './listen.ts'

export type CacheKind = 'key' | 'alias' | 'access-key'
export type CacheState = 'live' | 'bypassed' | 'stale'

export interface CacheOptions {
  readonly pool: Pool
  /** For the connection that listens: no pooler in transaction mode may stand between. */
  readonly url: string
  /** Milliseconds; 0: never serve without Postgres. */
  readonly maxStaleMs: number
  /** Entries kept of each kind, and as many ids that were not found. */
  readonly limit: number
  readonly on: {
    readonly hit: (kind: CacheKind) => void
    readonly miss: (kind: CacheKind) => void
    /** Answered from what is kept while Postgres was away; told beside hit or miss. */
    readonly stale: (kind: CacheKind) => void
    readonly state: (state: CacheState) => void
    /** Why LISTEN has no connection; for the log. */
    readonly fault: (error: unknown) => void
  }
}

/** While Postgres is away, one look-up in this many milliseconds tries it; the others are answered from what is kept. */
const tryEvery = 1_000

export class Cache {
  readonly #options: CacheOptions
  readonly #listen: Listen
  readonly #keys: Entries<KeyEntry>
  readonly #aliases: Entries<string>
  readonly #callers: Entries<CallerEntry>
  /** performance.now() from which Postgres, which did not answer, is tried again; undefined while it answers. */
  #awayUntil: number | undefined
  #state: CacheState = 'bypassed'
  #staleServed = 0
  #waiting: (() => void)[] = []

  constructor(options: CacheOptions) {
    const { pool, url, limit } = options
    this.#options = options
    this.#keys = new Entries(limit, async id => {
      const stored = await loadKeyEntry(pool, id)
      return stored && keyEntry(stored)
    })
    this.#aliases = new Entries(limit, async id => (await findAlias(pool, id.slice(0, 12), id.slice(13)))?.keyId)
    this.#callers = new Entries(limit, async id => {
      const stored = await loadAccessKey(pool, id)
      return stored && callerEntry(stored)
    })
    this.#listen = new Listen(url, {
      changed: entry => this.#changed(entry),
      connected: () => this.#clear(),
      turned: live => this.#turned(live),
      failed: options.on.fault,
    })
  }

  /** A key by its id; at once when it is kept. @throws DatabaseError when Postgres is needed and does not answer. */
  key(keyId: string): KeyEntry | undefined | Promise<KeyEntry | undefined> {
    return this.#find('key', this.#keys, keyId)
  }

  /** The key id behind an alias (name with `alias/`) of an account (12 digits). */
  alias(accountId: string, name: string): string | undefined | Promise<string | undefined> {
    return this.#find('alias', this.#aliases, `${accountId} ${name}`)
  }

  /**
   * The caller behind an access key id. `begin` is called before a read of Postgres that this look-up would cause; by throwing, it
   * prevents the read.
   */
  accessKey(id: string, begin?: () => void): CallerEntry | undefined | Promise<CallerEntry | undefined> {
    return this.#find('access-key', this.#callers, id, begin)
  }

  state(): CacheState {
    if (this.#listen.live()) return 'live'
    return this.#awayUntil === undefined ? 'bypassed' : 'stale'
  }

  /**
   * How many look-ups were answered without knowing whether the answer still held. A request whose count is higher at its end
   * than at its start may have had one of them: its record says `stale: true`.
   */
  get staleServed(): number {
    return this.#staleServed
  }

  /** Resolves when changes are heard of for the first time, or at once when they are. */
  ready(): Promise<void> {
    return new Promise(resolve => {
      if (this.#listen.live()) resolve()
      else this.#waiting.push(resolve)
    })
  }

  /** Drops an entry as its notification will: for who has just written it and must not wait to read it. */
  forget(entry: string): void {
    this.#changed(entry)
  }

  close(): void {
    this.#listen.close()
    this.#clear()
  }

  #find<V>(kind: CacheKind, entries: Entries<V>, id: string, begin?: () => void): V | undefined | Promise<V | undefined> {
    const entry = entries.get(id)
    if (this.#listen.live()) {
      if (entry === undefined) {
        const filled = entries.fill(id, begin)
        this.#options.on.miss(kind)
        return filled
      }
      this.#options.on.hit(kind)
      return entry.value
    }
    if (entry !== undefined && this.#mayServeStale() && this.#awayUntil !== undefined && performance.now() < this.#awayUntil) {
      this.#servedStale(kind)
      this.#options.on.hit(kind)
      return entry.value
    }
    begin?.()
    this.#options.on.miss(kind)
    return this.#ask(kind, entries, id)
  }

  async #ask<V>(kind: CacheKind, entries: Entries<V>, id: string): Promise<V | undefined> {
    // The others do not wait for this attempt, which may take as long as the pool's time limits.
    if (this.#awayUntil !== undefined) this.#awayUntil = Infinity
    try {
      const value = await entries.refill(id)
      this.#away(undefined)
      return value
    } catch (error) {
      if (!isConnectionLoss(error)) {
        this.#away(undefined)
        throw error
      }
      if (!this.#listen.live()) this.#away(performance.now() + tryEvery)
      const entry = entries.get(id)
      if (entry === undefined || !this.#mayServeStale()) throw error
      this.#servedStale(kind)
      return entry.value
    }
  }

  #servedStale(kind: CacheKind): void {
    this.#staleServed++
    this.#options.on.stale(kind)
  }

  #mayServeStale(): boolean {
    return this.#listen.silence() < this.#options.maxStaleMs
  }

  #away(until: number | undefined): void {
    this.#awayUntil = until
    this.#tell()
  }

  #turned(live: boolean): void {
    if (live) {
      this.#awayUntil = undefined
      for (const resolve of this.#waiting.splice(0)) resolve()
    }
    this.#tell()
  }

  #tell(): void {
    const state = this.state()
    if (state === this.#state) return
    this.#state = state
    this.#options.on.state(state)
  }

  #changed(entry: string): void {
    const space = entry.indexOf(' ')
    const kind = space < 0 ? entry : entry.slice(0, space)
    const id = entry.slice(space + 1)
    switch (kind) {
      case 'key': return this.#keys.drop(id)
      case 'alias': return this.#aliases.drop(id)
      case 'access-key': return this.#callers.drop(id)
      case 'user': return this.#callers.dropWhere(caller => caller.userId === id)
      // 'everything', and whatever a newer schema may say that this version does not know.
      default: return this.#clear()
    }
  }

  #clear(): void {
    this.#keys.clear()
    this.#aliases.clear()
    this.#callers.clear()
  }
}
