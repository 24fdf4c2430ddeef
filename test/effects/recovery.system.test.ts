// Recovery by several gateways at once, with the HSM away, with Postgres cut off: one confirmation, one record, one object.
import { CreateKeyCommand } from '@aws-sdk/client-kms'
import { spawn, type ChildProcess } from 'node:child_process'
import { randomBytes, randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { afterAll, afterEach, beforeAll, beforeEach, expect, inject, it, vi } from 'vitest'
import { auditEntry } from '../../src/audit/record.ts'
import { TransactionWriter } from '../../src/audit/transaction.ts'
import { defaultKeyPolicy } from '../../src/authz/default-policy.ts'
import { loadConfig } from '../../src/config.ts'
import { Effects, type EffectStep, type EffectsOptions } from '../../src/effects/apply.ts'
import { reconcile } from '../../src/effects/reconcile.ts'
import { openGateway } from '../../src/gateway.ts'
import type { AgentAddress } from '../../src/hsm/calls.ts'
import { HsmClient } from '../../src/hsm/client.ts'
import { HsmUnavailable } from '../../src/hsm/hsm.ts'
import { keyArn, newKeyId } from '../../src/keys/identifier.ts'
import { openPool, type Pool } from '../../src/store/database.ts'
import { claimIntents, countIntents } from '../../src/store/intents.ts'
import { insertKey } from '../../src/store/keys.ts'
import { putKeyPolicy } from '../../src/store/policies.ts'
import { createLog } from '../../src/telemetry/log.ts'
import { expectError, kms, region } from '../support/aws.ts'
import { newFolder, writeConfig, writeTokenFiles } from '../support/installation.ts'
import { cloneDatabase, type TestDatabase } from '../support/postgres.ts'
import { children } from '../support/processes.ts'
import { startProxy, type Proxy } from '../support/proxy.ts'
import { until } from '../support/until.ts'
import { expectWhole, listKeyIds, passClaims } from './invariants.ts'

let directory: string
let config: string
let database: TestDatabase
let pool: Pool
let proxy: Proxy
let cutPool: Pool
let supervisor: ChildProcess
let address: AgentAddress
const quiet = { info: () => undefined, warn: () => undefined }

// No gateway runs but those that a test opens: another one's recovery would get in between.
beforeAll(async () => {
  directory = await newFolder('recovery')
  await writeTokenFiles(directory, inject('installation').directory)
  database = await cloneDatabase(inject('installation').template)
  config = await writeConfig(directory, database.url, {})
  pool = openPool(database.url)
  proxy = await startProxy(database.url)
  cutPool = openPool(proxy.url)
  const child = spawn(process.execPath, [join(import.meta.dirname, '../support/agent.js'), config], { stdio: ['pipe', 'pipe', 'inherit'] })
  supervisor = child
  const lines = createInterface({ input: child.stdout }).on('line', line => { address = JSON.parse(line) as AgentAddress })
  await once(lines, 'line')
})
afterAll(async () => {
  supervisor.stdin?.end()
  await once(supervisor, 'exit')
  await cutPool.end()
  await proxy.close()
  await pool.end()
  await database.drop()
  await rm(directory, { recursive: true, force: true })
})

const clients: HsmClient[] = []
function newClient(): HsmClient {
  const hsm = new HsmClient({ observe: () => undefined })
  hsm.setAgent(address)
  clients.push(hsm)
  return hsm
}
afterEach(() => {
  vi.restoreAllMocks()
  for (const hsm of clients.splice(0)) hsm.close()
})

/** A gateway in this process. */
async function openFront(url: string, step: (name: EffectStep) => void = () => undefined) {
  const loaded = loadConfig({ file: config, env: {} })
  const gateway = await openGateway({
    config: { ...loaded, database: { ...loaded.database, url }, keys: { ...loaded.keys, residency: 'resident' } },
    log: createLog({ level: 'silent', name: 'front' }), version: '0', tokens: [{ token: address.token, address, draining: false }], step,
  })
  const client = kms(`http://127.0.0.1:${gateway.port}`)
  const close = async (): Promise<void> => {
    client.destroy()
    await gateway.close()
  }
  return { client, close }
}

/** Nothing is open, all keys are whole, these among them. Resolves to how many there are. */
async function expectAllWhole(known: readonly string[]): Promise<number> {
  expect(await countIntents(pool)).toBe(0)
  const { client, close } = await openFront(database.url)
  const keys = await expectWhole(pool, client, config, known)
  await close()
  return keys.length
}

const newEffects = (options: Partial<EffectsOptions> = {}): Effects =>
  new Effects({ pool, hsm: newClient(), transactions: new TransactionWriter(), recorded: () => undefined, ...options })

const stopAt = (stop: EffectStep) => (name: EffectStep): void => {
  if (name === stop) throw new Error(`stopped ${name}`)
}

type Residency = 'wrapped' | 'resident'

/** What CreateKey does in tx1. Resolves to the key's id once `effects` have confirmed it. */
function provision(effects: Effects, residency: Residency, id = newKeyId()): Promise<string> {
  const { account: accountId } = inject('installation')
  return effects.provision(async (tx, plan) => {
    const key = await insertKey(tx, {
      id, accountId, region, spec: 'SYMMETRIC_DEFAULT', usage: 'ENCRYPT_DECRYPT', origin: 'AWS_KMS', state: 'Creating', description: '', multiRegion: false, manager: 'CUSTOMER',
    })
    await putKeyPolicy(tx, id, defaultKeyPolicy(accountId))
    await plan({
      ...key, keyId: id, materialId: randomBytes(32), backing: 1, cipherMode: 'direct', residency, ckaId: residency === 'resident' ? randomBytes(16) : Buffer.alloc(16),
    })
    const entry = auditEntry({
      time: new Date(), eventSource: 'kms.amazonaws.com', eventName: 'CreateKey', region, sourceIPAddress: '192.0.2.7', userAgent: 'test', userIdentity: { type: 'IAMUser' },
      requestParameters: null, responseElements: null, requestId: randomUUID(), readOnly: false, recipientAccountId: accountId,
      resources: [{ accountId, type: 'AWS::KMS::Key', ARN: keyArn(region, accountId, id) }],
    })
    return { output: id, entries: [entry] }
  })
}

/** Keys as a gateway leaves them that was stopped at this step, their claims run out. */
async function leaveBehind(count: number, step: EffectStep, residency: Residency): Promise<string[]> {
  const effects = newEffects({ step: stopAt(step) })
  const ids = Array.from({ length: count }, newKeyId)
  for (const id of ids) await expect(provision(effects, residency, id)).rejects.toThrow(`stopped ${step}`)
  await passClaims(pool)
  return ids
}

it.each(['wrapped', 'resident'] as const)('two gateways that reconcile at once finish each intent once (%s)', async residency => {
  const ids = [...await leaveBehind(12, 'after tx1', residency), ...await leaveBehind(12, 'after hsm', residency)]
  const finished = await Promise.all([1, 2].map(() => reconcile({ pool, effects: newEffects(), log: quiet })))
  expect(finished.reduce((sum, count) => sum + count)).toBe(24)
  await expectAllWhole(ids)
})

it('two that work on the same intent confirm it once: the later one changes nothing', async () => {
  const [id = ''] = await leaveBehind(1, 'after tx1', 'wrapped')
  const [intent] = await claimIntents(pool, 1, 60_000)
  if (intent === undefined) throw new Error('nothing was left')
  const recorded: number[] = []
  const both = [1, 2].map(() => newEffects({ recorded: count => { recorded.push(count) } }).apply(intent, true))
  await Promise.all(both)
  expect(recorded.sort()).toEqual([0, 1])
  await expectAllWhole([id])
})

it('what is claimed but not yet begun goes to another once its claim has run out', async () => {
  const ids = await leaveBehind(3, 'after tx1', 'resident')
  const hsm = newClient()
  const made: string[] = []
  // The HSM takes so long over the first one that the claims of the other two run out meanwhile, and a second gateway takes them.
  const create: EffectsOptions['hsm']['create'] = async (plan, again) => {
    made.push(plan.keyId)
    const [held] = made.length > 1 ? [] : [plan.keyId]
    if (held !== undefined) {
      await pool.query("UPDATE intents SET claimed_until = clock_timestamp() - interval '1 second' WHERE key_id <> $1", [held])
      expect(await reconcile({ pool, effects: newEffects(), log: quiet })).toBe(2)
    }
    return await hsm.create(plan, again)
  }
  expect(await reconcile({ pool, effects: newEffects({ hsm: { create } }), log: quiet })).toBe(1)
  expect(made).toHaveLength(1)
  await expectAllWhole(ids)
})

it('an intent whose HSM call is still under way is not handed to another', async () => {
  const [id = ''] = await leaveBehind(1, 'after tx1', 'resident')
  const hsm = newClient()
  // What the gateway took for lost arrives at the HSM after all: were the claim given up, two gateways would make the object at once.
  const create: EffectsOptions['hsm']['create'] = () => Promise.reject(new HsmUnavailable('deadline', 'no answer to create in time'))
  expect(await reconcile({ pool, effects: newEffects({ hsm: { create } }), log: quiet })).toBe(0)
  expect(await claimIntents(pool, 1, 60_000)).toEqual([])
  await passClaims(pool)
  expect(await reconcile({ pool, effects: newEffects({ hsm }), log: quiet })).toBe(1)
  await expectAllWhole([id])
})

const internal = 'The request was rejected because an internal exception occurred. The request can be retried.'

/** A gateway that comes to grief at a step of CreateKey: the client is told of a fault of the server, and nobody sees the key. */
async function expectCutOff(url: string, step: (name: EffectStep) => void, mend: () => Promise<void> | void): Promise<void> {
  const { client, close } = await openFront(url, step)
  const error = await expectError(client.send(new CreateKeyCommand({})), 'KMSInternalException', internal)
  expect(error.$metadata.httpStatusCode).toBe(500)
  await mend()
  const { client: other, close: closeOther } = await openFront(database.url)
  expect(await countIntents(pool)).toBe(1)
  expect(await listKeyIds(other)).toEqual(listed)
  await closeOther()
  await close()
}

let listed: string[]
beforeEach(async () => {
  const { client, close } = await openFront(database.url)
  listed = await listKeyIds(client)
  await close()
})

it('with the HSM gone in the middle of CreateKey the client is told so, and the key is finished once the HSM is back', async () => {
  const { generation } = address
  await expectCutOff(database.url, name => {
    if (name !== 'after tx1') return
    // This gateway is not told where the next agent listens: for it there is none.
    for (const { pid } of children(supervisor.pid)) process.kill(pid, 'SIGKILL')
    // Nobody waits for the half minute that CreateKey waits for another agent: once it waits, the clock of this process is put forward.
    const now = performance.now.bind(performance)
    setImmediate(() => { vi.spyOn(performance, 'now').mockImplementation(() => now() + 60_000) })
  }, async () => {
    vi.restoreAllMocks()
    await until('another agent', () => address.generation > generation)
  })
  await passClaims(pool)
  expect(await reconcile({ pool, effects: newEffects(), log: quiet })).toBe(1)
  expect(await expectAllWhole(listed)).toBe(listed.length + 1)
})

it.each(['after tx1', 'after hsm', 'in tx2'] as const)('with Postgres cut off %s the client is told so, and the key is finished by whoever comes next', async stop => {
  await expectCutOff(proxy.url, name => { if (name === stop) proxy.cut() }, () => { proxy.mend() })
  await passClaims(pool)
  expect(await reconcile({ pool, effects: newEffects({ pool: cutPool }), log: quiet })).toBe(1)
  expect(await expectAllWhole(listed)).toBe(listed.length + 1)
})
