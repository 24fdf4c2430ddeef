// What Postgres is still to be told, in its order: now, or when it is back.

export class Notes {
  readonly #notes: (() => Promise<void>)[] = []
  readonly #failed: (error: unknown) => void
  #telling: Promise<void> | undefined

  /** `failed` hears of each try that did not succeed. */
  constructor(failed: (error: unknown) => void) {
    this.#failed = failed
  }

  /** Resolves after the first try. */
  add(note: () => Promise<void>): Promise<void> {
    this.#notes.push(note)
    return this.flush()
  }

  /** Tries all that has not been told, up to the first that fails; one caller at a time does, for all. */
  flush(): Promise<void> {
    this.#telling ??= this.#tell().finally(() => { this.#telling = undefined })
    return this.#telling
  }

  async #tell(): Promise<void> {
    for (let [note] = this.#notes; note !== undefined; [note] = this.#notes) {
      try {
        await note()
        this.#notes.shift()
      } catch (error) {
        this.#failed(error)
        return
      }
    }
  }
}
