// An access key as the hot path wants it: with its user and the user's policies compiled.
import type { Policy } from '../authz/policy.ts'
import type { StoredAccessKey } from '../store/access-keys.ts'
import { compiled } from './key-entry.ts'

export interface CallerEntry {
  /** The access key id. */
  readonly id: string
  readonly accountId: string
  readonly status: 'Active' | 'Inactive'
  /** Null for the account's root user. */
  readonly userId: string | null
  readonly sealedSecret: Buffer
  readonly serviceKeyVersion: number
  readonly user: { readonly id: string; readonly name: string; readonly path: string } | null
  /** A document that does not compile is denyAll. */
  readonly policies: readonly Policy[]
}

export const callerEntry = (stored: StoredAccessKey): CallerEntry => ({
  id: stored.id,
  accountId: stored.accountId,
  status: stored.status,
  userId: stored.userId,
  sealedSecret: stored.sealedSecret,
  serviceKeyVersion: stored.serviceKeyVersion,
  user: stored.user,
  policies: stored.policyDocuments.map(document => compiled(document, 'identity')),
})
