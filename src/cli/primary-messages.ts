// What the primary and its gateway processes say to each other over node's IPC.
import type { CacheState } from '../cache/cache.ts'
import type { TokenStanding } from '../hsm/pool.ts'
import type { MetricSnapshot } from '../telemetry/snapshot.ts'

export type ToGateway =
  | { readonly type: 'tokens'; readonly tokens: readonly TokenStanding[] }
  | { readonly type: 'report'; readonly number: number }
  | { readonly type: 'drain' }

export type FromGateway =
  | { readonly type: 'hello' }
  | { readonly type: 'serving'; readonly port: number }
  | { readonly type: 'failed'; readonly message: string }
  | { readonly type: 'report'; readonly number: number; readonly snapshot: MetricSnapshot; readonly state: CacheState }
