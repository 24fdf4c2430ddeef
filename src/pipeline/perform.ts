// Runs a handler as its kind demands. Here alone transactions are opened, and here alone it is decided where the audit record
// becomes durable: with the change that it records, or in the journal.
import type { KeyEntry } from '../cache/key-entry.ts'
import { KmsError } from '../errors.ts'
import type { Caller } from '../identity/caller.ts'
import { insertRecord } from '../audit/transaction.ts'
import type { Operation, Output, ParsedInput } from '../operations/operation.ts'
import type { Key } from '../keys/key.ts'
import { stateError } from '../keys/state.ts'
import { transaction, type Db } from '../store/database.ts'
import { lockKey } from '../store/keys.ts'
import { dryRunSucceeded, ignoresCiphertext } from './dry-run.ts'
import type { RequestEvent } from './event.ts'
import type { Resources } from './resources.ts'
import { wipe } from '../shape/wipe.ts'

export interface Task {
  readonly operation: Operation
  readonly input: ParsedInput
  readonly caller: Caller
  readonly keys: Readonly<Record<string, KeyEntry>>
}

/** The answer, recorded. @throws what the handler throws; JournalUnavailable, DatabaseError, HsmUnavailable */
export async function perform(resources: Resources, task: Task, event: RequestEvent): Promise<Output> {
  const { operation, input, caller, keys } = task
  const given = { input, caller, keys, locale: { region: resources.region, accountId: caller.accountId }, notes: event.notes, settings: resources.settings }
  switch (operation.kind) {
    case 'read': {
      const output = await operation.handle({ ...given, db: resources.pool })
      await event.record()
      return output
    }
    case 'use': {
      if (ignoresCiphertext(input)) throw dryRunSucceeded()
      const output = await operation.handle({ ...given, hsm: resources.hsm, pairs: resources.pairs })
      // A dry run does all of it and answers nothing: a wrong ciphertext must fail as it would without.
      if (input.DryRun === true) {
        wipe(output)
        throw dryRunSucceeded()
      }
      try {
        await event.record()
      } catch (unrecorded) {
        // No audit, no answer: what the HSM opened goes no further.
        wipe(output)
        throw unrecorded
      }
      return output
    }
    case 'write': {
      const done = await transaction(resources.pool, async tx => {
        await lockKeys(tx, operation, keys)
        const output = await operation.handle({ ...given, tx })
        const entries = event.entries()
        await insertRecord(tx, resources.transactions, entries)
        return { output, recorded: entries.length }
      })
      resources.metrics.audit.recorded(done.recorded)
      forget(resources, task)
      return done.output
    }
    case 'provision':
      // tx1: rows and intent, with the record that tx2 will write. Then the HSM. Then tx2: confirmed and recorded, or neither.
      return await resources.effects.provision(async (tx, plan) => {
        const output = await operation.handle({ ...given, tx, plan })
        return { output, entries: event.entries() }
      })
  }
}

/**
 * Locks the rows of the keys, in one order for all, and checks their states again: what the cache said may be 100 ms old.
 * @throws DisabledException, KMSInvalidStateException, NotFoundException
 */
async function lockKeys(tx: Db, operation: Operation, keys: Task['keys']): Promise<void> {
  const locked = new Map<string, Key | undefined>()
  for (const id of [...new Set(Object.values(keys).map(({ key }) => key.id))].sort()) locked.set(id, await lockKey(tx, id))
  for (const [name, need] of Object.entries(operation.needs)) {
    const entry = keys[name]
    const now = entry === undefined ? undefined : locked.get(entry.key.id)
    if (entry !== undefined && now === undefined) throw new KmsError('NotFoundException', `Key '${entry.key.arn}' does not exist`)
    if (now !== undefined && need.states !== 'any' && !need.states.includes(now.state)) throw stateError(now.arn, now.state)
  }
}

/** This process reads its own writes at once; the others hear of them through Postgres. */
function forget({ cache }: Resources, { operation, keys, input, caller }: Task): void {
  for (const { key } of Object.values(keys)) cache.forget(`key ${key.id}`)
  const alias = operation.alias === undefined ? undefined : input[operation.alias.member]
  if (typeof alias === 'string') cache.forget(`alias ${caller.accountId} ${alias}`)
}
