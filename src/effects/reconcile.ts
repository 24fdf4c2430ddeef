// Recovery: intents whose process died, or whose HSM was away, are rolled forward. Every gateway does it at start and now and
// then; claims in Postgres keep two from working on the same intent.
import { HsmUnavailable } from '../hsm/hsm.ts'
import type { Pool } from '../store/database.ts'
import { claimIntents, extendIntent, releaseIntent } from '../store/intents.ts'
import { leaseMilliseconds, type Effects } from './apply.ts'

const batch = 16
const everyMilliseconds = 15_000

export interface ReconcileOptions {
  readonly pool: Pool
  readonly effects: Effects
  readonly log: { info(details: object, message: string): void; warn(details: object, message: string): void }
}

/** Finishes every intent that nobody works on. Resolves to how many there were; what fails is left for the next round. */
export async function reconcile({ pool, effects, log }: ReconcileOptions): Promise<number> {
  let finished = 0
  for (;;) {
    const intents = await claimIntents(pool, batch, leaseMilliseconds)
    if (intents.length === 0) return finished
    let failed = false
    for (const claimed of intents) {
      // Those before it may have taken so long that its claim has run out, and another works on it by now.
      const intent = await extendIntent(pool, claimed, leaseMilliseconds)
      if (intent === undefined) continue
      try {
        await effects.apply(intent, true)
        finished++
        log.info({ intent: intent.id, keyId: intent.keyId }, 'an unfinished change was rolled forward')
      } catch (err) {
        failed = true
        log.warn({ intent: intent.id, keyId: intent.keyId, err }, 'an unfinished change could not be rolled forward yet')
        // A call that was not answered in time may still be on its way into the HSM: nobody else begins before the claim has run out.
        if (!(err instanceof HsmUnavailable && err.reason === 'deadline')) await releaseIntent(pool, intent)
      }
    }
    if (failed) return finished
  }
}

/** Reconciles now and then until closed. */
export class Reconciler {
  readonly #options: ReconcileOptions
  #timer: NodeJS.Timeout | undefined
  #running: Promise<unknown> = Promise.resolve()
  #closed = false

  constructor(options: ReconcileOptions) {
    this.#options = options
  }

  start(): void {
    this.#running = reconcile(this.#options)
      .catch((err: unknown) => { this.#options.log.warn({ err }, 'reconciliation failed') })
      .finally(() => {
        if (this.#closed) return
        this.#timer = setTimeout(() => { this.start() }, everyMilliseconds)
        this.#timer.unref()
      })
  }

  async close(): Promise<void> {
    this.#closed = true
    clearTimeout(this.#timer)
    await this.#running
  }
}
