// The entries of one kind: bounded, filled by one read at a time, and never with what an invalidation has overtaken.

/** What is kept under an id; `value` undefined: there is no such row. */
export interface Entry<V> {
  readonly value: V | undefined
}

interface Fill<V> {
  readonly id: string
  readonly result: Promise<V | undefined>
  /** An invalidation arrived after the read began: the rows it saw may be older than the change. */
  overtaken: boolean
}

export class Entries<V> {
  readonly #read: (id: string) => Promise<V | undefined>
  readonly #found: Recent<V>
  /** Apart from what was found: who asks for ids that do not exist must not be able to push out those that do. */
  readonly #missing: Recent<V>
  readonly #fills = new Set<Fill<V>>()
  readonly #joinable = new Map<string, Fill<V>>()

  /** Keeps up to `limit` entries that were found and as many that were not. */
  constructor(limit: number, read: (id: string) => Promise<V | undefined>) {
    this.#read = read
    this.#found = new Recent(limit)
    this.#missing = new Recent(limit)
  }

  get(id: string): Entry<V> | undefined {
    return this.#found.get(id) ?? this.#missing.get(id)
  }

  /**
   * Reads an entry and keeps it; all who ask meanwhile share the read, unless an invalidation came in between. `begin` is called
   * before a read of its own and prevents it by throwing.
   */
  fill(id: string, begin?: () => void): Promise<V | undefined> {
    const running = this.#joinable.get(id)
    if (running !== undefined) return running.result
    begin?.()
    const fill = this.#begin(id)
    this.#joinable.set(id, fill)
    return fill.result
  }

  /** Reads an entry for this caller alone: while LISTEN is dead nobody knows whether a read that began earlier is still true. */
  refill(id: string): Promise<V | undefined> {
    return this.#begin(id).result
  }

  drop(id: string): void {
    this.#found.delete(id)
    this.#missing.delete(id)
    this.#overtake(fill => fill.id === id)
  }

  /** Drops what fits; reads under way count as fitting, since nobody knows yet what they bring. */
  dropWhere(fits: (value: V) => boolean): void {
    this.#found.deleteWhere(fits)
    this.#overtake(() => true)
  }

  clear(): void {
    this.#found.clear()
    this.#missing.clear()
    this.#overtake(() => true)
  }

  #begin(id: string): Fill<V> {
    const fill: Fill<V> = { id, overtaken: false, result: this.#read(id).then(value => this.#keep(fill, value)).finally(() => this.#end(fill)) }
    this.#fills.add(fill)
    return fill
  }

  #keep(fill: Fill<V>, value: V | undefined): V | undefined {
    if (fill.overtaken) return value
    const [into, outOf] = value === undefined ? [this.#missing, this.#found] : [this.#found, this.#missing]
    outOf.delete(fill.id)
    into.set(fill.id, { value })
    return value
  }

  #end(fill: Fill<V>): void {
    this.#fills.delete(fill)
    if (this.#joinable.get(fill.id) === fill) this.#joinable.delete(fill.id)
  }

  #overtake(fits: (fill: Fill<V>) => boolean): void {
    for (const fill of this.#fills) {
      if (!fits(fill)) continue
      fill.overtaken = true
      if (this.#joinable.get(fill.id) === fill) this.#joinable.delete(fill.id)
    }
  }
}

/** The entries used last; a Map keeps them in that order. */
class Recent<V> {
  readonly #limit: number
  readonly #entries = new Map<string, Entry<V>>()

  constructor(limit: number) {
    this.#limit = limit
  }

  get(id: string): Entry<V> | undefined {
    const entry = this.#entries.get(id)
    if (entry === undefined) return undefined
    this.#entries.delete(id)
    this.#entries.set(id, entry)
    return entry
  }

  set(id: string, entry: Entry<V>): void {
    this.#entries.set(id, entry)
    if (this.#entries.size <= this.#limit) return
    const [oldest] = this.#entries.keys()
    if (oldest !== undefined) this.#entries.delete(oldest)
  }

  delete(id: string): void {
    this.#entries.delete(id)
  }

  deleteWhere(fits: (value: V) => boolean): void {
    for (const [id, { value }] of this.#entries) if (value !== undefined && fits(value)) this.#entries.delete(id)
  }

  clear(): void {
    this.#entries.clear()
  }
}
