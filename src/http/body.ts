// A request's body, whole and bounded, by itself and together with all others that the process holds. Beyond a limit nothing more is
// read. Adversary: whoever opens connections and sends long bodies slowly, before any signature can be looked at.
import type { IncomingMessage } from 'node:http'

/** Bytes that all bodies of one process may take, each from its first byte until its request is answered. */
export const bodyBudgetBytes = 268_435_456
/** Bytes up to which a body is short, as those of KMS are but for long policies. */
const shortBytes = 16_384
/** Bytes that a piece of a body costs beside its own: who sends byte by byte takes more memory than bytes. */
const pieceBytes = 256

/** Long bodies share its first quarter, so that who fills that with them leaves room for the short ones of everybody else. */
export class BodyBudget {
  readonly #bytes: number
  #held = 0

  constructor(bytes: number) {
    this.#bytes = bytes
  }

  /** Bytes that are taken. */
  get held(): number {
    return this.#held
  }

  /** Takes `more` bytes for a body that has taken `taken` so far; false: there is no room, and nothing is taken. */
  take(more: number, taken: number): boolean {
    const limit = taken + more > shortBytes ? this.#bytes / 4 : this.#bytes
    if (this.#held + more > limit) return false
    this.#held += more
    return true
  }

  give(bytes: number): void {
    this.#held -= bytes
  }
}

export interface Body {
  readonly bytes: Buffer
  /** Once the request is answered: overwrites the bytes and gives back what they took of the budget. */
  release(): void
}

/** The body; or, as soon as it is known: 'too-large' beyond its limit, 'no-room' beyond the budget, 'aborted' when the client went away. */
export function readBody(message: IncomingMessage, limitBytes: number, budget: BodyBudget): Promise<Body | 'too-large' | 'no-room' | 'aborted'> {
  return new Promise(resolve => {
    // A client that announces too much need not send it.
    if (Number(message.headers['content-length'] ?? 0) > limitBytes) {
      resolve('too-large')
      return
    }
    const chunks: Buffer[] = []
    let length = 0
    let taken = 0
    // The body of an Encrypt holds the plaintext: what is not handed on is wiped here, what is, after the answer.
    const forget = (): void => {
      for (const chunk of chunks.splice(0)) chunk.fill(0)
      budget.give(taken)
      taken = 0
    }
    const refuse = (why: 'too-large' | 'no-room', chunk: Buffer): void => {
      message.removeAllListeners('data')
      message.pause()
      forget()
      chunk.fill(0)
      resolve(why)
    }
    message.on('data', (chunk: Buffer) => {
      length += chunk.length
      const cost = chunk.length + pieceBytes
      if (length > limitBytes) return refuse('too-large', chunk)
      if (!budget.take(cost, taken)) return refuse('no-room', chunk)
      taken += cost
      chunks.push(chunk)
    })
    message.on('end', () => {
      // From here on the bytes are the caller's, also when the client goes away.
      const cost = taken
      taken = 0
      resolve(held(joined(chunks.splice(0)), budget, cost))
    })
    const aborted = (): void => {
      forget()
      resolve('aborted')
    }
    message.on('error', aborted)
    message.on('aborted', aborted)
  })
}

function joined(received: readonly Buffer[]): Buffer {
  const [only] = received
  if (received.length === 1 && only !== undefined) return only
  const whole = Buffer.concat(received)
  for (const chunk of received) chunk.fill(0)
  return whole
}

function held(bytes: Buffer, budget: BodyBudget, cost: number): Body {
  let kept = cost
  return {
    bytes,
    release() {
      bytes.fill(0)
      budget.give(kept)
      kept = 0
    },
  }
}
