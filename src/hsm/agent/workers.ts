// The worker threads of an agent, as its main thread holds them.
import { Worker } from 'node:worker_threads'
import type { FromWorker, ToWorker, WorkerStart } from './worker-messages.ts'

export type Reply = (message: ToWorker) => void

/** What a worker thread is to its parent. */
export interface WorkerPort {
  postMessage(message: ToWorker): void
  on(event: 'message', hear: (message: FromWorker) => void): unknown
  on(event: 'error', hear: (error: Error) => void): unknown
}

const startThread = (workerData: WorkerStart): WorkerPort => new Worker(new URL('./worker.js', import.meta.url), { workerData })

export class Workers {
  readonly #start: (start: WorkerStart) => WorkerPort
  readonly #workers: WorkerPort[] = []
  /**
   * Drops that workers were told of, by ticket, with how many have not yet said that they have done it. Not by name: two drops of one
   * name may be under way, and a worker that has answered the first may still use the handle that the second is about.
   */
  readonly #forgetting = new Map<number, { left: number; resolve: () => void }>()
  #lastTicket = 0
  /** How many have not yet said that nobody is connected to them. */
  #undrained = 0
  #drained: () => void = () => undefined

  constructor(start = startThread) {
    this.#start = start
  }

  /** Starts them and resolves when all listen. A worker that ends, ends the agent: the supervisor starts another. */
  async start(starts: readonly WorkerStart[], hear: (message: FromWorker, reply: Reply) => void): Promise<void> {
    await Promise.all(starts.map(start => new Promise<void>((resolve, reject) => {
      const worker = this.#start(start)
      this.#workers.push(worker)
      worker.on('message', message => {
        if (message.type === 'listening') resolve()
        else if (message.type === 'dropped') this.#forgotten(message.ticket)
        else if (message.type === 'drained') this.#oneDrained()
        else hear(message, reply => { worker.postMessage(reply) })
      })
      worker.on('error', error => {
        reject(error)
        throw error
      })
    })))
  }

  /** Makes every worker forget a key; resolves when none can use its handle any more. One that hangs never answers. */
  forget(name: string): Promise<void> {
    return this.#drop({ name })
  }

  /** The same for all keys that it was told of before. */
  forgetAll(): Promise<void> {
    return this.#drop({ name: null })
  }

  /** The token is lost for this process: nothing is begun any more, calls are told to go to the successor. */
  lose(): void {
    this.#tell({ type: 'lost' })
  }

  /**
   * No new connections; resolves when those that there are have been ended by their clients. Who stays longer than `milliseconds` gets
   * what has been answered, and is cut off. A worker that hangs in a call is not waited for by this: the supervisor ends the process.
   */
  drain(milliseconds: number): Promise<void> {
    return new Promise(resolve => {
      this.#undrained = this.#workers.length
      const cutOff = setTimeout(() => { this.#tell({ type: 'cutOff' }) }, milliseconds)
      this.#drained = () => {
        clearTimeout(cutOff)
        resolve()
      }
      this.#tell({ type: 'drain' })
    })
  }

  #drop({ name }: { readonly name: string | null }): Promise<void> {
    return new Promise(resolve => {
      const ticket = ++this.#lastTicket
      this.#forgetting.set(ticket, { left: this.#workers.length, resolve })
      this.#tell({ type: 'drop', ticket, name })
    })
  }

  #tell(message: ToWorker): void {
    for (const worker of this.#workers) worker.postMessage(message)
  }

  #oneDrained(): void {
    if (--this.#undrained === 0) this.#drained()
  }

  #forgotten(ticket: number): void {
    const waiting = this.#forgetting.get(ticket)
    if (waiting === undefined || --waiting.left > 0) return
    this.#forgetting.delete(ticket)
    waiting.resolve()
  }
}
