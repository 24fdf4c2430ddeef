// What every request may use. gateway.ts builds it once; nothing here is global.
import type { Journal } from '../audit/journal.ts'
import type { TransactionWriter } from '../audit/transaction.ts'
import type { Cache } from '../cache/cache.ts'
import type { KmsError } from '../errors.ts'
import type { Effects } from '../effects/apply.ts'
import type { Hsm } from '../hsm/hsm.ts'
import type { Gate } from '../identity/gate.ts'
import type { SigningKeys } from '../identity/signing-keys.ts'
import type { KeyPairs } from '../operations/key-pairs.ts'
import type { Settings } from '../operations/operation.ts'
import type { SignedRequest } from '../sigv4/authorization.ts'
import type { Pool } from '../store/database.ts'
import type { Metrics } from '../telemetry/metrics.ts'

export interface Resources {
  readonly region: string
  readonly settings: Settings
  readonly pool: Pool
  readonly cache: Cache
  readonly hsm: Hsm
  readonly pairs: KeyPairs
  readonly effects: Effects
  readonly journal: Pick<Journal, 'append'>
  readonly transactions: TransactionWriter
  readonly signingKeys: SigningKeys
  readonly gate: Gate
  readonly metrics: Metrics
  readonly log: RequestLog
  readonly now: () => Date
}

/** A line with the request id and no secret. */
export interface RequestLog {
  error(details: object, message: string): void
  warn(details: object, message: string): void
}

/** A request as it came over the wire, whole, with what the listener knows of it. */
export interface IncomingRequest extends SignedRequest {
  /** UUID. */
  readonly id: string
  readonly address: string
  readonly contentType: string | undefined
  readonly target: string | undefined
  readonly userAgent: string
}

export type Answer<Output> =
  | { readonly output: Output; readonly error?: undefined }
  | { readonly output?: undefined; readonly error: KmsError }
