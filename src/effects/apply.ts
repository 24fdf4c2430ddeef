// HSM changes that survive a crash. The database knows of an HSM object before it exists: tx1 stores row and intent, the HSM acts
// on ids chosen beforehand, tx2 confirms. No transaction is open during HSM work; intents only roll forward; a request and
// recovery call the same apply.
import { randomUUID } from 'node:crypto'
import type { AuditEntry } from '../audit/record.ts'
import { insertRecord, type TransactionWriter } from '../audit/transaction.ts'
import type { MadeMaterial, MaterialPlan } from '../hsm/hsm.ts'
import { namesMaterial } from '../keys/spec.ts'
import { transaction, type Db, type Pool } from '../store/database.ts'
import { deleteIntent, insertIntent, type Intent } from '../store/intents.ts'
import type { BackingName } from '../store/invocations.ts'
import { lockKey, updateCurrentMaterial } from '../store/keys.ts'
import { confirmMaterial, findMaterial, insertMaterial, newestBacking } from '../store/materials.ts'
import { newCkaId } from './cka-id.ts'
import { decodePayload, encodePayload } from './payload.ts'

/** Longer than the longest call into the HSM: two processes must never make the same resident object at once. */
export const leaseMilliseconds = 60_000

export interface EffectsOptions {
  readonly pool: Pool
  readonly hsm: { create(plan: MaterialPlan, again: boolean): Promise<MadeMaterial> }
  readonly transactions: TransactionWriter
  /** Told of audit records once their transaction is through. */
  readonly recorded: (count: number) => void
  /** Where a crash would hurt: tests stop the process there. */
  readonly step?: (name: EffectStep) => void
}

export type EffectStep = 'before tx1' | 'after tx1' | 'after hsm' | 'in tx2' | 'after tx2'

/** What tx1 leaves behind: the answer, and the records that tx2 writes with the confirmation. */
export interface Provisioned<Output> {
  readonly output: Output
  readonly entries: readonly AuditEntry[]
}

export class Effects {
  readonly #options: EffectsOptions

  constructor(options: EffectsOptions) {
    this.#options = options
  }

  /**
   * Runs `work` in tx1, has the HSM make what it planned, confirms in tx2. When this rejects after tx1, recovery will finish what
   * was planned: a key that its client was not told of, complete and recorded.
   */
  async provision<Output>(work: (tx: Db, plan: (material: MaterialPlan) => Promise<void>) => Promise<Provisioned<Output>>): Promise<Output> {
    this.#options.step?.('before tx1')
    const { output, intent } = await transaction(this.#options.pool, async tx => {
      let planned: MaterialPlan | undefined
      const { output, entries } = await work(tx, async material => {
        if (planned !== undefined) throw new RangeError('one material a request')
        planned = material
        await insertMaterial(tx, material)
      })
      if (planned === undefined) throw new RangeError('a provision without a plan')
      const payload = encodePayload({ plan: planned, entries })
      return { output, intent: await insertIntent(tx, { id: randomUUID(), kind: 'create-material', keyId: planned.keyId, payload }, leaseMilliseconds) }
    })
    this.#options.step?.('after tx1')
    await this.apply(intent, false)
    return output
  }

  /** Gives a material its next backing key, a new key under the same material id. Resolves to false when it has one already. */
  async addBacking({ keyId, materialId, backing }: BackingName): Promise<boolean> {
    const intent = await transaction(this.#options.pool, async tx => {
      // The key's row is the lock: of two gateways that reach the bound at once, the second finds what the first has planned.
      await lockKey(tx, keyId)
      const former = await findMaterial(tx, keyId, materialId, backing)
      if (former === undefined || (await newestBacking(tx, keyId, materialId) ?? 0) > backing) return undefined
      const plan: MaterialPlan = { ...former.plan, backing: backing + 1, ckaId: newCkaId(former.plan.residency) }
      await insertMaterial(tx, plan)
      return await insertIntent(tx, { id: randomUUID(), kind: 'add-backing', keyId, payload: encodePayload({ plan, entries: [] }) }, leaseMilliseconds)
    })
    if (intent === undefined) return false
    await this.apply(intent, false)
    return true
  }

  /** Carries out one claimed intent. `again`: an earlier attempt may have got as far as the HSM. Safe to repeat. */
  async apply(intent: Intent, again: boolean): Promise<void> {
    const { plan, entries } = decodePayload(intent.payload)
    const material = await this.#options.hsm.create(plan, again)
    // A crash from here on leaves a resident object that its intent names by CKA_ID, or a wrapped key that nobody holds.
    this.#options.step?.('after hsm')
    const recorded = await transaction(this.#options.pool, async tx => {
      const confirmed = await confirmMaterial(tx, material, material.spki)
      if (confirmed && intent.kind === 'create-material') await updateCurrentMaterial(tx, plan.keyId, namesMaterial(plan.spec) ? plan.materialId : null, 'Creating', 'Enabled')
      // Whoever confirms first is right; for the others there is nothing left to do.
      const first = await deleteIntent(tx, intent.id) && confirmed
      if (first && entries.length > 0) await insertRecord(tx, this.#options.transactions, entries)
      this.#options.step?.('in tx2')
      return first ? entries.length : 0
    })
    this.#options.recorded(recorded)
    this.#options.step?.('after tx2')
  }
}
