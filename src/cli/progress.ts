// A bar on the terminal for what takes long; where there is no terminal, a line now and then.
const width = 30
const lineEvery = 1_000

export class Progress {
  readonly #what: string
  readonly #total: number
  #done = 0

  constructor(what: string, total: number) {
    this.#what = what
    this.#total = total
  }

  advance(count: number): void {
    const before = this.#done
    this.#done += count
    const full = Math.floor(width * Math.min(1, this.#done / Math.max(this.#total, 1)))
    if (process.stderr.isTTY) process.stderr.write(`\r${this.#what} [${'#'.repeat(full)}${' '.repeat(width - full)}] ${this.#done} of ${this.#total}`)
    else if (Math.floor(before / lineEvery) < Math.floor(this.#done / lineEvery)) process.stderr.write(`${this.#what}: ${this.#done} of ${this.#total}\n`)
  }

  end(): void {
    if (process.stderr.isTTY) process.stderr.write('\n')
  }
}
