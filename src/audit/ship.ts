// Journals to Postgres, one row a lot of records. The row's key is (writer, first number): a row that was stored although its
// answer was lost is not stored again. Rows of a writer are stored in order and hold whole frames, so the highest number in
// Postgres says exactly what of a journal is still to be shipped, to its own process and to the one that finds it after a crash.
import { setTimeout as pause } from 'node:timers/promises'
import { insertAuditBatch, lastShipped } from '../store/audit-batches.ts'
import type { Db } from '../store/database.ts'
import type { Log } from '../telemetry/log.ts'
import type { AuditMetrics } from '../telemetry/metrics.ts'
import type { Lag } from './backlog.ts'
import { batchOf } from './batch.ts'
import type { Journal } from './journal.ts'
import type { RecoveredJournal } from './recover.ts'

export interface ShipperOptions {
  readonly db: Db
  readonly journal: Journal
  readonly metrics: AuditMetrics
  readonly log: Log
  /** Milliseconds between looks at the journal. 250 keeps the tail that a lost host takes with it under a second. */
  readonly everyMs?: number
  /** Bytes of journal in one row at most, unless one frame alone has more. */
  readonly lotBytes?: number
}

const longestBackOffMs = 10_000

type Source = Pick<Journal, 'writer' | 'peek' | 'release'>

/** Begins to ship; stops with close(). */
export const startShipper = (options: ShipperOptions): Shipper => new Shipper(options)

export class Shipper {
  readonly #options: Required<ShipperOptions>
  readonly #closing = new AbortController()
  readonly #loop: Promise<void>
  #recovered: RecoveredJournal[] = []
  #failures = 0

  constructor(options: ShipperOptions) {
    this.#options = { everyMs: 250, lotBytes: 1024 * 1024, ...options }
    this.#loop = this.#run()
  }

  /** Takes over the journals of dead processes, see recover(); they are closed here. */
  adopt(journals: readonly RecoveredJournal[]): void {
    this.#recovered.push(...journals)
  }

  /** What is on disk but not yet in Postgres, the journals of dead processes included. */
  lag(): Lag {
    const lags = [this.#options.journal, ...this.#recovered].map(source => source.lag())
    return {
      bytes: lags.reduce((sum, lag) => sum + lag.bytes, 0),
      batches: lags.reduce((sum, lag) => sum + lag.batches, 0),
      seconds: Math.max(...lags.map(lag => lag.seconds)),
    }
  }

  /**
   * Ships what is left, for at most `deadlineMs`, then closes all journals; what could not be shipped stays on disk for the next
   * start. Call it when nothing is appended any more. Resolves to the number of batches left.
   */
  async close(deadlineMs: number): Promise<number> {
    const deadline = new AbortController()
    const timer = setTimeout(() => {
      deadline.abort()
    }, deadlineMs)
    this.#closing.abort()
    const drained = this.#loop.then(() => this.#drain(deadline.signal))
    await Promise.race([drained, new Promise(resolve => {
      deadline.signal.addEventListener('abort', resolve, { once: true })
    })])
    clearTimeout(timer)
    deadline.abort()
    const { batches } = this.lag()
    this.#report()
    for (const journal of [...this.#recovered.splice(0), this.#options.journal]) await journal.close()
    return batches
  }

  async #run(): Promise<void> {
    const { signal } = this.#closing
    while (!signal.aborted) {
      await this.#round(signal)
      await rest(this.#pauseMs(), signal)
    }
  }

  async #drain(signal: AbortSignal): Promise<void> {
    while (!signal.aborted && this.lag().batches > 0) {
      if (!(await this.#round(signal))) await rest(this.#pauseMs(), signal)
    }
  }

  /** Doubles with each failure, from everyMs up to ten seconds. */
  #pauseMs(): number {
    return Math.min(longestBackOffMs, this.#options.everyMs * 2 ** Math.min(this.#failures, 16))
  }

  /** Ships all there is. Resolves to false when Postgres or the disk refused. */
  async #round(signal: AbortSignal): Promise<boolean> {
    const { journal, metrics, log } = this.#options
    try {
      await this.#shipAll(journal, signal)
      for (const recovered of [...this.#recovered]) await this.#shipRecovered(recovered, signal)
      this.#failures = 0
      return true
    } catch (error) {
      metrics.shipFailed()
      if (this.#failures++ === 0) log.warn({ err: error }, 'audit records could not be shipped; trying again')
      return false
    } finally {
      this.#report()
    }
  }

  async #shipAll(source: Source, signal: AbortSignal): Promise<void> {
    const { db, lotBytes } = this.#options
    while (!signal.aborted) {
      const lot = await source.peek(lotBytes)
      if (lot === undefined) return
      const isNew = await insertAuditBatch(db, await batchOf(lot))
      // It was there already: perhaps with fewer records, if the journal had grown by the time the answer was found lost.
      const last = isNew ? lot.last : (await lastShipped(db, source.writer)) ?? 0
      if ((await source.release(last)) === 0) throw new Error(`audit rows of writer ${source.writer} do not fit its journal`)
    }
  }

  async #shipRecovered(journal: RecoveredJournal, signal: AbortSignal): Promise<void> {
    const shipped = (await lastShipped(this.#options.db, journal.writer)) ?? 0
    const missing = journal.missingAfter(shipped)
    if (missing > 0) this.#options.log.error({ writer: journal.writer, missing }, 'a recovered audit journal lacks acknowledged records')
    await journal.release(shipped)
    await this.#shipAll(journal, signal)
    if (journal.lag().batches > 0) return
    this.#recovered = this.#recovered.filter(other => other !== journal)
    await journal.close()
    this.#options.log.info({ writer: journal.writer }, 'the audit journal of a dead process is shipped')
  }

  #report(): void {
    this.#options.metrics.unshipped(this.lag())
  }
}

/** Ends early, without an error, when the signal comes. */
async function rest(milliseconds: number, signal: AbortSignal): Promise<void> {
  await pause(milliseconds, undefined, { signal, ref: false }).catch(() => undefined)
}
