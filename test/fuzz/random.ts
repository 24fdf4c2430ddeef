// Random numbers of a case. Each case has a generator of its own, made from (seed, index) alone, so that any case can be run again
// without those before it. The generator is sfc32 (Chris Doty-Humphrey's Small Fast Counting generator, 32-bit; PractRand): 128 bits
// of state, quick in JavaScript, good enough for tests and for nothing else.

export class Random {
  #a: number
  #b: number
  #c: number
  #counter = 1

  constructor(seed: number, index: number) {
    this.#a = seed | 0
    this.#b = index | 0
    // Indices beyond 32 bits must differ too.
    this.#c = Math.floor(index / 0x1_0000_0000) | 0
    // The author's warm-up: close seeds differ in all bits after it.
    for (let round = 0; round < 12; round++) this.bits()
  }

  /** 32 bits, from 0 to 2^32 - 1. */
  bits(): number {
    const result = (this.#a + this.#b + this.#counter) | 0
    this.#counter = (this.#counter + 1) | 0
    this.#a = this.#b ^ (this.#b >>> 9)
    this.#b = (this.#c + (this.#c << 3)) | 0
    this.#c = (((this.#c << 21) | (this.#c >>> 11)) + result) | 0
    return result >>> 0
  }

  /** A whole number from 0 to limit - 1. */
  below(limit: number): number {
    return Math.floor(this.bits() / 0x1_0000_0000 * limit)
  }

  /** A whole number from least to most. */
  between(least: number, most: number): number {
    return least + this.below(most - least + 1)
  }

  /** Small ones mostly: each power of two below is as likely as the next. */
  length(most: number): number {
    return Math.min(most, this.below(2 ** this.between(0, Math.ceil(Math.log2(most + 1)))))
  }

  chance(probability: number): boolean {
    return this.bits() < probability * 0x1_0000_0000
  }

  pick<T>(list: readonly T[]): T {
    const picked = list[this.below(list.length)]
    if (picked === undefined) throw new RangeError('nothing to pick from')
    return picked
  }

  /** One of the values, each as likely as its weight says. */
  weighted<T>(choices: readonly (readonly [weight: number, value: T])[]): T {
    let rest = this.bits() / 0x1_0000_0000 * choices.reduce((sum, [weight]) => sum + weight, 0)
    for (const [weight, value] of choices) {
      rest -= weight
      if (rest < 0) return value
    }
    throw new RangeError('nothing to choose from')
  }

  bytes(length: number): Buffer {
    const bytes = Buffer.allocUnsafe(length)
    for (let at = 0; at < length; at++) bytes[at] = this.bits() & 0xff
    return bytes
  }

  shuffled<T>(list: readonly T[]): T[] {
    const copy = [...list]
    for (let last = copy.length - 1; last > 0; last--) {
      const other = this.below(last + 1)
      const [one, two] = [copy[last], copy[other]]
      if (one !== undefined && two !== undefined) [copy[last], copy[other]] = [two, one]
    }
    return copy
  }

  uuid(): string {
    const hex = this.bytes(16).toString('hex')
    return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-4${hex.slice(13, 16)}-a${hex.slice(17, 20)}-${hex.slice(20)}`
  }

  /** Well-formed Unicode, so many code points: plain letters mostly, and what has broken other programs. */
  text(points: number): string {
    const plain = this.chance(0.6)
    let text = ''
    for (let at = 0; at < points; at++) text += plain || this.chance(0.7) ? letters[this.below(letters.length)] ?? 'a' : this.pick(troublesome)
    return text
  }
}

const letters = 'abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_/. '
/** Each is one code point. */
const troublesome = [
  '\0', '\u0001', '\t', '\n', '\r', '\u001b', '"', '\\', '\'', '`', '<', '>', '&', '%', '$', '{', '}', '[', ']', ':', ';', '*', '?', '|', '\u007f', '\u0080',
  '\u00a0', '\u00e9', '\u00ff', '\u0100', '\u0301', '\u200b', '\u202e', '\u2028', '\u2603', '\ud7ff', '\ue000', '\ufeff', '\ufffd', '\uffff', '\u{1f600}', '\u{10ffff}',
]
