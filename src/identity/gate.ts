// Holds back work for people who have not shown who they are: unsealing a secret, looking up an access key nobody knows. Each
// source address has a token bucket. (That an access key id does not exist is remembered by the cache, until it does.)
// Adversary: whoever reaches the port, with as many access key ids, and as many IPv6 addresses, as they care to make up.
import { isIPv6 } from 'node:net'

/** Tokens a second and at most, for each source address. */
export const defaultRate = 50
export const defaultBurst = 100
export const defaultAddresses = 10_000

export interface GateOptions {
  /** Tokens a second. */
  readonly rate?: number
  /** Tokens of a full bucket. */
  readonly burst?: number
  /** Buckets kept. */
  readonly addresses?: number
  /** Milliseconds, never going back. */
  readonly now?: () => number
}

interface Bucket {
  tokens: number
  filled: number
}

export class Gate {
  readonly #options: Required<GateOptions>
  /** In order of use, the longest unused first. */
  readonly #buckets = new Map<string, Bucket>()
  /** What new addresses share while no bucket can be given up. */
  readonly #overflow: Bucket

  constructor(options: GateOptions = {}) {
    this.#options = {
      rate: options.rate ?? defaultRate,
      burst: options.burst ?? defaultBurst,
      addresses: options.addresses ?? defaultAddresses,
      now: options.now ?? (() => performance.now()),
    }
    this.#overflow = { tokens: this.#options.burst, filled: this.#options.now() }
  }

  /** Whether this address may cause one more piece of work; false is ThrottlingException. */
  admit(address: string): boolean {
    const now = this.#options.now()
    const bucket = this.#bucketOf(sourceOf(address), now)
    bucket.tokens = Math.min(this.#options.burst, bucket.tokens + (now - bucket.filled) * this.#options.rate / 1000)
    bucket.filled = now
    if (bucket.tokens < 1) return false
    bucket.tokens--
    return true
  }

  #bucketOf(source: string, now: number): Bucket {
    const known = this.#buckets.get(source)
    if (known === undefined && this.#buckets.size >= this.#options.addresses) {
      // A bucket that has filled up again is as good as none. Were a half-empty one given up, an attacker with many addresses would
      // get a fresh burst for each by pushing them out in turn.
      const [oldest] = this.#buckets.values()
      if (oldest !== undefined && now - oldest.filled < this.#options.burst / this.#options.rate * 1000) return this.#overflow
      dropFirst(this.#buckets)
    }
    const bucket = known ?? { tokens: this.#options.burst, filled: now }
    this.#buckets.delete(source)
    this.#buckets.set(source, bucket)
    return bucket
  }
}

function dropFirst(map: Map<string, unknown>): void {
  const first = map.keys().next()
  if (first.done !== true) map.delete(first.value)
}

/** An IPv4 address itself, also when it is mapped into IPv6; of an IPv6 address its /64, which is what one customer is given. */
export function sourceOf(address: string): string {
  if (!isIPv6(address)) return address
  const [bare = ''] = address.split('%')
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(bare)?.[1]
  if (mapped !== undefined) return mapped
  const [head = '', tail] = bare.split('::')
  const groups = head === '' ? [] : head.split(':')
  if (tail !== undefined) {
    const after = tail === '' ? 0 : tail.split(':').length + (tail.includes('.') ? 1 : 0)
    while (groups.length + after < 8) groups.push('0')
    if (groups.length < 4) groups.push(...tail.split(':'))
  }
  return `${groups.slice(0, 4).map(group => group.replace(/^0+(?=.)/, '').toLowerCase()).join(':')}::/64`
}
