// What the agent's main thread and its workers tell each other. Buffers come out of a structured clone as Uint8Array.
import type { SessionCanary } from './canary.ts'
import type { Domain } from './domain.ts'
import type { Status, Timing } from './frames.ts'
import type { OpenKey } from './keys-in-use.ts'

export interface WorkerStart {
  readonly library: string
  readonly profile: string
  readonly slot: Uint8Array
  readonly domain: { readonly [K in keyof Domain]: Domain[K] extends Buffer ? Uint8Array : Domain[K] }
  readonly canary: { readonly [K in keyof SessionCanary]: Uint8Array }
  /** Its first session, which the main thread has opened. */
  readonly session: Uint8Array
  readonly socket: string
  readonly worker: number
  readonly watch: SharedArrayBuffer
}

export type ToWorker =
  | { readonly type: 'opened'; readonly ticket: number; readonly name: string; readonly outcome: OpenOutcome; readonly timings: readonly Timing[] }
  /** Of one key, or of all where the name is null. */
  | { readonly type: 'drop'; readonly ticket: number; readonly name: string | null }
  /** Another worker, or the main thread, has found the token lost. */
  | { readonly type: 'lost' }
  | { readonly type: 'drain' }
  | { readonly type: 'cutOff' }

export type OpenOutcome =
  | { readonly ok: true; readonly key: OpenKey }
  | { readonly ok: false; readonly status: Status; readonly ckr: number; readonly text: string }

export type FromWorker =
  | { readonly type: 'listening' }
  | { readonly type: 'open'; readonly ticket: number; readonly name: Uint8Array; readonly row: Uint8Array }
  | { readonly type: 'dropped'; readonly ticket: number }
  /** Keys that were used since this was last said. */
  | { readonly type: 'used'; readonly names: readonly string[] }
  /** Told to drain, and nobody is connected any more. */
  | { readonly type: 'drained' }
  /** The token does not know the handle of this key any more. */
  | { readonly type: 'stale'; readonly name: string }
  /** Login, sessions or the device are lost for this process. */
  | { readonly type: 'lost'; readonly reason: string }
