// node:cluster hands each connection to a worker and keeps its own copy of the handle until the worker has acknowledged it. Of a worker
// that dies in between no acknowledgement comes, and Node (20 at least) keeps the copy open for ever: the client's connection neither
// ends nor is read, and an SDK without a time limit waits on it for ever. Measured: one client at every second kill -9 under load.
import type { Worker } from 'node:cluster'

interface Handed {
  readonly seq: number
  readonly handle: { close(): void }
}

/** Closes, when the worker ends, the connections that it was given and never took: their clients try again elsewhere. */
export function closeWhatWasHandedOver(worker: Worker): void {
  const child = worker.process
  const held = new Map<number, Handed['handle']>()
  const send = child.send.bind(child) as (...given: readonly unknown[]) => boolean
  const watched = (...given: readonly unknown[]): boolean => {
    const handed = connectionIn(given)
    if (handed !== undefined) held.set(handed.seq, handed.handle)
    return send(...given)
  }
  child.send = watched
  child.on('internalMessage', (message: unknown) => {
    const ack = numberIn(message, 'ack')
    if (ack !== undefined) held.delete(ack)
  })
  worker.on('exit', () => {
    for (const handle of held.values()) handle.close()
    held.clear()
  })
}

/** What is written is node's own protocol between primary and worker; where it is not as known, nothing is watched. */
function connectionIn([message, handle]: readonly unknown[]): Handed | undefined {
  const seq = numberIn(message, 'seq')
  const isConnection = typeof message === 'object' && message !== null && 'act' in message && message.act === 'newconn'
  if (seq === undefined || !isConnection || typeof handle !== 'object' || handle === null || !('close' in handle) || typeof handle.close !== 'function') return undefined
  return { seq, handle: handle as Handed['handle'] }
}

function numberIn(message: unknown, name: 'seq' | 'ack'): number | undefined {
  const value = typeof message === 'object' && message !== null && name in message ? (message as Record<string, unknown>)[name] : undefined
  return typeof value === 'number' ? value : undefined
}
