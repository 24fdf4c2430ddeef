// CreateKey, stopped by SIGKILL wherever that would hurt: whatever was acknowledged is there, whatever was begun is finished or was
// never there, and nothing on the token is without a row that names it.
import { CreateKeyCommand, DecryptCommand, DescribeKeyCommand, EncryptCommand, type KMSClient } from '@aws-sdk/client-kms'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { afterEach, beforeEach, describe, expect, inject, it } from 'vitest'
import type { EffectStep } from '../../src/effects/apply.ts'
import { openPool, rows, type Pool } from '../../src/store/database.ts'
import { countIntents } from '../../src/store/intents.ts'
import { expectError, kms } from '../support/aws.ts'
import { startTrentOn, type Trent } from '../support/gateway.ts'
import { newFolder, writeConfig, writeTokenFiles, type ConfigChanges } from '../support/installation.ts'
import { cloneDatabase, type TestDatabase } from '../support/postgres.ts'
import { until } from '../support/until.ts'
import { expectWhole, listKeyIds, passClaims } from './invariants.ts'

let directory: string
let database: TestDatabase
let pool: Pool
let trent: Trent | undefined
beforeEach(async () => {
  directory = await newFolder('crash')
  await writeTokenFiles(directory, inject('installation').directory)
  database = await cloneDatabase(inject('installation').template)
  pool = openPool(database.url)
})
afterEach(async () => {
  await trent?.stop()
  trent = undefined
  await pool.end()
  await database.drop()
  await rm(directory, { recursive: true, force: true })
})

const createKey = async (client: KMSClient): Promise<string> => (await client.send(new CreateKeyCommand({}))).KeyMetadata?.KeyId ?? ''

/** Starts a gateway that dies at the n-th time of a step. */
async function startCrashing(step: EffectStep, times: number, changes: ConfigChanges): Promise<{ client: KMSClient; died: Promise<unknown[]> }> {
  const config = await writeConfig(directory, database.url, changes)
  const child = spawn(process.execPath, [join(import.meta.dirname, '../support/crashing-gateway.js'), config, step, String(times)], { stdio: ['ignore', 'pipe', 'inherit'] })
  const died = once(child, 'exit')
  const [port] = (await once(createInterface({ input: child.stdout }), 'line')) as [string]
  return { client: kms(`http://127.0.0.1:${port}`), died }
}

/** Acknowledges some keys, then dies while some more are being made. Resolves to the acknowledged ones, and a ciphertext under the first. */
async function crash(step: EffectStep, changes: ConfigChanges): Promise<{ acknowledged: string[]; blob: Uint8Array | undefined }> {
  const inPeace = 2
  const { client, died } = await startCrashing(step, inPeace + 1, changes)
  const acknowledged: string[] = []
  for (let i = 0; i < inPeace; i++) acknowledged.push(await createKey(client))
  const { CiphertextBlob: blob } = await client.send(new EncryptCommand({ KeyId: acknowledged[0], Plaintext: Buffer.from('before') }))
  const underWay = await Promise.allSettled(Array.from({ length: 3 }, () => createKey(client)))
  expect(await died).toEqual([null, 'SIGKILL'])
  client.destroy()
  for (const outcome of underWay) if (outcome.status === 'fulfilled') acknowledged.push(outcome.value)
  expect(underWay.some(({ status }) => status === 'rejected')).toBe(true)
  return { acknowledged, blob }
}

/** Intents that a crash at this step must leave behind at least, and keys that recovery must at least end with. */
const steps: readonly (readonly [EffectStep, { readonly intents: number; readonly keys: number }])[] = [
  ['before tx1', { intents: 0, keys: 2 }],
  ['after tx1', { intents: 1, keys: 3 }],
  ['after hsm', { intents: 1, keys: 3 }],
  ['in tx2', { intents: 1, keys: 3 }],
  ['after tx2', { intents: 0, keys: 3 }],
]

describe.each(['wrapped', 'resident'] as const)('keys.residency: %s', residency => {
  const changes = { keys: { residency } }

  it.each(steps)('a gateway killed %s leaves whole keys or none, and no orphan on the token', async (step, least) => {
    const { acknowledged, blob } = await crash(step, changes)
    expect(await countIntents(pool)).toBeGreaterThanOrEqual(least.intents)
    await passClaims(pool)

    trent = await startTrentOn(directory, database, changes)
    await until('recovery', async () => await countIntents(pool) === 0)
    const client = kms(trent.url)
    const keys = await expectWhole(pool, client, trent.config, acknowledged)
    expect(keys.length).toBeGreaterThanOrEqual(least.keys)
    if (step === 'before tx1') expect(keys).toEqual(acknowledged.toSorted())
    const { Plaintext } = await client.send(new DecryptCommand({ CiphertextBlob: blob }))
    expect(Buffer.from(Plaintext ?? []).toString()).toBe('before')
    client.destroy()
  })

  it('a key that is not finished is not there for anybody, until recovery has finished it', async () => {
    const { acknowledged } = await crash('after hsm', changes)
    trent = await startTrentOn(directory, database, changes)
    const client = kms(trent.url)
    // The claims of the dead process still hold.
    expect(await listKeyIds(client)).toEqual(acknowledged.toSorted())
    const unfinished = (await rows<{ id: string }>(pool, { name: 'test.unfinished', text: 'SELECT key_id AS id FROM intents' })).map(({ id }) => id)
    expect(unfinished.length).toBeGreaterThan(0)
    for (const KeyId of unfinished) {
      await expectError(client.send(new DescribeKeyCommand({ KeyId })), 'NotFoundException', `Key 'arn:aws:kms:onprem-1:${inject('installation').account}:key/${KeyId}' does not exist`)
      await expectError(client.send(new EncryptCommand({ KeyId, Plaintext: Buffer.from('early') })), 'NotFoundException', `Key 'arn:aws:kms:onprem-1:${inject('installation').account}:key/${KeyId}' does not exist`)
    }

    await passClaims(pool)
    trent = await trent.again()
    await until('recovery', async () => await countIntents(pool) === 0)
    const later = kms(trent.url)
    await expectWhole(pool, later, trent.config, [...acknowledged, ...unfinished])
    client.destroy()
    later.destroy()
  })
})
