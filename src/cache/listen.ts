// Whether the cache may be believed. A connection to Postgres that is open proves nothing: it may be frozen. So each second a
// beat is sent over it, and the cache counts as live only until 2 s after the sending of the last beat that came back. Reads ask
// the clock, not a timer: a process that was stopped and goes on does not trust what it had.
import { openNotifications, type Notifications } from '../store/notifications.ts'

export interface ListenHandlers {
  /** An entry changed: `kind key`, or `everything`. */
  readonly changed: (entry: string) => void
  /** A new connection listens: what changed before it was not heard, so all that was kept must go. */
  readonly connected: () => void
  /** live() has become true, or false. */
  readonly turned: (live: boolean) => void
  /** Why there is no connection. */
  readonly failed: (error: unknown) => void
}

/** Milliseconds. */
const beatEvery = 1_000
const beatLasts = 2_000
const retryFirst = 100
const retryMost = 5_000

export class Listen {
  readonly #url: string
  readonly #handlers: ListenHandlers
  #connection: Notifications | undefined
  /** A beat came back over this connection. */
  #proven = false
  /** performance.now() at the sending of the last beat that came back: what was heard is complete up to then. */
  #heardUntil = -Infinity
  /** When each beat that is under way was sent; at most beatLasts / beatEvery of them. */
  readonly #sent = new Map<string, number>()
  #beats = 0
  #turned = false
  #retry = retryFirst
  #closed = false
  #beatTimer: NodeJS.Timeout | undefined
  #deadline: NodeJS.Timeout | undefined
  #retryTimer: NodeJS.Timeout | undefined

  constructor(url: string, handlers: ListenHandlers) {
    this.#url = url
    this.#handlers = handlers
    void this.#connect()
  }

  /** Whether each change that was committed more than 2 s ago has been heard. Whoever asks first after a turn makes it known. */
  live(): boolean {
    const live = this.#proven && performance.now() - this.#heardUntil < beatLasts
    if (live !== this.#turned) {
      this.#turned = live
      this.#handlers.turned(live)
    }
    return live
  }

  /** Milliseconds since the last moment up to which every change has been heard; Infinity before the first. */
  silence(): number {
    return performance.now() - this.#heardUntil
  }

  close(): void {
    this.#closed = true
    clearTimeout(this.#retryTimer)
    this.#drop()
  }

  async #connect(): Promise<void> {
    let connection: Notifications
    try {
      connection = await openNotifications(this.#url, {
        changed: this.#handlers.changed,
        beat: text => this.#beatBack(text),
        lost: () => this.#lost(),
      })
    } catch (error) {
      if (!this.#closed) this.#handlers.failed(error)
      this.#retryLater()
      return
    }
    if (this.#closed) return connection.close()
    this.#connection = connection
    // Before the first beat comes back: whatever is read from here on is covered by notifications.
    this.#handlers.connected()
    this.#deadline = setTimeout(() => this.#overdue(), beatLasts)
    this.#beatTimer = setInterval(() => this.#beat(), beatEvery)
    this.#beat()
  }

  #beat(): void {
    const text = String(++this.#beats)
    this.#sent.set(text, performance.now())
    this.#connection?.beat(text)
  }

  #beatBack(text: string): void {
    const sent = this.#sent.get(text)
    if (sent === undefined) return
    this.#sent.delete(text)
    this.#proven = true
    this.#heardUntil = sent
    this.#retry = retryFirst
    clearTimeout(this.#deadline)
    this.#deadline = setTimeout(() => this.#overdue(), Math.max(0, sent + beatLasts - performance.now()))
    this.live()
  }

  /**
   * Not live any more. Whether the connection is given up is another question: a process that was busy or stopped has sent no
   * beat, and runs its timers before it reads what came meanwhile. It keeps the connection, and with it the entries, if a beat
   * sent half a beat ago or later is still to come.
   */
  #overdue(): void {
    this.live()
    setImmediate(() => {
      if (this.#connection === undefined || this.live()) return
      const [oldest] = this.#sent.values()
      if (oldest !== undefined && performance.now() - oldest > beatEvery / 2) this.#lost()
      else this.#deadline = setTimeout(() => this.#overdue(), beatEvery)
    })
  }

  #lost(): void {
    this.#drop()
    this.#retryLater()
  }

  #drop(): void {
    clearInterval(this.#beatTimer)
    clearTimeout(this.#deadline)
    this.#sent.clear()
    this.#connection?.close()
    this.#connection = undefined
    this.#proven = false
    this.live()
  }

  #retryLater(): void {
    if (this.#closed) return
    // Between half and all of it, so that the gateways do not come back to a restarted Postgres in one moment.
    this.#retryTimer = setTimeout(() => void this.#connect(), this.#retry * (0.5 + Math.random() / 2))
    this.#retry = Math.min(this.#retry * 2, retryMost)
  }
}
