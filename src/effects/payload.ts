// What an intent carries from tx1 to whoever confirms it: the plan of the material and the audit records of the request. JSON in
// Postgres; no secret is in it.
import type { AuditEntry } from '../audit/record.ts'
import type { MaterialPlan } from '../hsm/hsm.ts'

export interface Payload {
  readonly plan: MaterialPlan
  readonly entries: readonly AuditEntry[]
}

interface StoredPayload {
  readonly plan: Omit<MaterialPlan, 'materialId' | 'ckaId'> & { readonly materialId: string; readonly ckaId: string }
  readonly entries: readonly { readonly line: string; readonly lookup: Omit<AuditEntry['lookup'], 'time'> & { readonly time: string } }[]
}

export const encodePayload = ({ plan, entries }: Payload): StoredPayload => ({
  plan: { ...plan, materialId: plan.materialId.toString('hex'), ckaId: plan.ckaId.toString('hex') },
  entries: entries.map(({ line, lookup }) => ({ line, lookup: { ...lookup, time: lookup.time.toISOString() } })),
})

/** What encodePayload wrote. A plan that someone edited in between makes a key whose row says so: its MAC covers every field. */
export function decodePayload(stored: unknown): Payload {
  const { plan, entries } = stored as StoredPayload
  return {
    plan: { ...plan, materialId: Buffer.from(plan.materialId, 'hex'), ckaId: Buffer.from(plan.ckaId, 'hex') },
    entries: entries.map(({ line, lookup }) => ({ line, lookup: { ...lookup, time: new Date(lookup.time) } })),
  }
}
