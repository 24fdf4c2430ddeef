// The worker threads of an agent, as its main thread holds them.
import { Worker } from 'node:worker_threads'
import type { FromWorker, ToWorker, WorkerStart } from './worker.ts'

export type Reply = (message: ToWorker) => void

export class Workers {
  readonly #workers: Worker[] = []
  /** Names that workers are told to forget, with how many have not yet said that they have. */
  readonly #forgetting = new Map<string, { left: number; resolve: () => void }>()

  /** Starts them and resolves when all listen. A worker that ends, ends the agent: the supervisor starts another. */
  async start(starts: readonly WorkerStart[], hear: (message: FromWorker, reply: Reply) => void): Promise<void> {
    await Promise.all(starts.map(workerData => new Promise<void>((resolve, reject) => {
      const worker = new Worker(new URL('./worker.js', import.meta.url), { workerData })
      this.#workers.push(worker)
      worker.on('message', (message: FromWorker) => {
        if (message.type === 'listening') resolve()
        else if (message.type === 'dropped') this.#forgotten(message.name)
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
    return new Promise(resolve => {
      this.#forgetting.set(name, { left: this.#workers.length, resolve })
      for (const worker of this.#workers) worker.postMessage({ type: 'drop', name } satisfies ToWorker)
    })
  }

  #forgotten(name: string): void {
    const waiting = this.#forgetting.get(name)
    if (waiting === undefined || --waiting.left > 0) return
    this.#forgetting.delete(name)
    waiting.resolve()
  }
}
