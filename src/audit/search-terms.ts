// What the rows of audit_batches are found by, taken together for many records: who waits for Postgres is kept in memory until it
// comes back, so it must be little, however many records there are.
import type { Lookup } from './record.ts'

export interface SearchTerms {
  /** Milliseconds since the epoch, whole seconds. */
  readonly firstTime: number
  readonly lastTime: number
  readonly accounts: ReadonlySet<string>
  readonly eventNames: ReadonlySet<string>
  readonly keyIds: ReadonlySet<string>
  readonly principals: ReadonlySet<string>
  readonly requestIds: ReadonlySet<string>
}

/** The terms of at least one record. */
export function termsOf(lookups: readonly Lookup[]): SearchTerms {
  const terms = { firstTime: Infinity, lastTime: -Infinity, ...noTerms() }
  for (const { time, accounts, eventName, keyIds, principals, requestId } of lookups) {
    terms.firstTime = Math.min(terms.firstTime, time.getTime())
    terms.lastTime = Math.max(terms.lastTime, time.getTime())
    for (const account of accounts) terms.accounts.add(account)
    terms.eventNames.add(eventName)
    for (const keyId of keyIds) terms.keyIds.add(keyId)
    for (const principal of principals) terms.principals.add(principal)
    terms.requestIds.add(requestId)
  }
  return terms
}

/** The terms of all records of several lots. */
export function joinTerms(parts: readonly SearchTerms[]): SearchTerms {
  const terms = noTerms()
  for (const part of parts) {
    for (const name of Object.keys(terms) as (keyof typeof terms)[]) for (const term of part[name]) terms[name].add(term)
  }
  return {
    ...terms,
    firstTime: parts.reduce((first, part) => Math.min(first, part.firstTime), Infinity),
    lastTime: parts.reduce((last, part) => Math.max(last, part.lastTime), -Infinity),
  }
}

const noTerms = () => ({
  accounts: new Set<string>(), eventNames: new Set<string>(), keyIds: new Set<string>(), principals: new Set<string>(), requestIds: new Set<string>(),
})
