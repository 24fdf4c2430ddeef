// A running Trent with what tests do to it: calls as anybody, and changes of rows behind its back that are known to have reached
// its cache before the next call.
import { randomUUID } from 'node:crypto'
import { expect, inject } from 'vitest'
import { openPool, transaction, type Db, type Pool } from '../../src/store/database.ts'
import { putUserPolicy, deleteUserPolicy } from '../../src/store/identities.ts'
import { updateKeyDescription, updateKeyState } from '../../src/store/keys.ts'
import { keyStates, type KeyState } from '../../src/keys/state.ts'
import { raw, region, type Credentials } from './aws.ts'
import { startTrent, type Trent } from './gateway.ts'
import type { ConfigChanges } from './installation.ts'

export type Json = Readonly<Record<string, unknown>>

export interface Reply {
  readonly status: number
  readonly headers: Headers
  readonly text: string
  /** The body, {} where it is empty. */
  readonly body: Json
}

export interface TestKey {
  readonly id: string
  readonly arn: string
}

export interface Scene {
  readonly trent: Trent
  readonly pool: Pool
  /** A signed call; `input` is sent as it is when it is a text. As the administrator unless said otherwise. */
  call(operation: string, input: Json | string, as?: Credentials): Promise<Reply>
  newKey(input?: Json, as?: Credentials): Promise<TestKey>
  /** Changes rows in one transaction. Resolves when the gateway has dropped what it had cached of them. */
  change(work: (tx: Db) => Promise<unknown>): Promise<void>
  setState(keyId: string, state: KeyState): Promise<void>
  /** The one policy of the user `plain`; undefined: none. */
  setPolicy(document: Json | undefined): Promise<void>
  close(): Promise<void>
}

export const keyArn = (keyId: string, account = inject('installation').account): string => `arn:aws:kms:${region}:${account}:key/${keyId}`

export const statement = (Effect: 'Allow' | 'Deny', Action: string | readonly string[], Principal?: unknown): Json =>
  ({ Effect, Action, Resource: '*', ...(Principal === undefined ? {} : { Principal }) })
export const policyOf = (...Statement: readonly Json[]): Json => ({ Version: '2012-10-17', Statement })

export async function openScene(changes: ConfigChanges = {}): Promise<Scene> {
  const trent = await startTrent(changes)
  const pool = openPool(trent.databaseUrl)
  const call: Scene['call'] = async (operation, input, credentials) => {
    const body = typeof input === 'string' ? input : JSON.stringify(input)
    const { status, headers, text } = await raw(trent.url, { target: `TrentService.${operation}`, body, ...(credentials === undefined ? {} : { credentials }) })
    return { status, headers, text, body: text === '' ? {} : JSON.parse(text) as Json }
  }
  const newKey: Scene['newKey'] = async (input = {}, as) => {
    const { KeyMetadata: { KeyId: id, Arn: arn } } = success(await call('CreateKey', input, as)) as { KeyMetadata: { KeyId: string; Arn: string } }
    return { id, arn }
  }
  const beacon = await newKey()
  const shine = async (work: (tx: Db) => Promise<unknown>): Promise<void> => {
    // Postgres delivers the notifications of a transaction in their order: once the beacon's has arrived, all before it have.
    const sign = randomUUID()
    await transaction(pool, async tx => {
      await work(tx)
      await updateKeyDescription(tx, beacon.id, sign)
    })
    await until('the change to reach the gateway', async () => (await call('DescribeKey', { KeyId: beacon.id })).text.includes(sign))
  }
  const change: Scene['change'] = async work => {
    await shine(work)
    // A beacon that was not kept, or whose gateway did not trust its cache at that moment, came from Postgres ahead of the notifications.
    await shine(() => Promise.resolve())
  }
  return {
    trent, pool, call, newKey, change,
    setState: (keyId, state) => change(tx => updateKeyState(tx, keyId, keyStates, state, null)),
    setPolicy: document => change(async tx => {
      const userId = inject('installation').identities.plain.userId ?? ''
      if (document === undefined) await deleteUserPolicy(tx, userId, 'own')
      else await putUserPolicy(tx, userId, 'own', JSON.stringify(document))
    }),
    close: async () => {
      await pool.end()
      await trent.remove()
    },
  }
}

/** Asks again until it is so. @throws Error after the deadline, in milliseconds */
export async function until(what: string, isSo: () => Promise<boolean>, deadline = 10_000): Promise<void> {
  const end = performance.now() + deadline
  while (!(await isSo())) {
    if (performance.now() > end) throw new Error(`waited ${deadline} ms for ${what}`)
    await new Promise(resolve => setTimeout(resolve, 2))
  }
}

/** The output of a call that must succeed. */
export function success({ status, text, body }: Reply): Json {
  if (status !== 200) throw new Error(`a call that should succeed was answered ${status} ${text}`)
  return body
}

/** Expects exactly this error body; `text` undefined: without any message. AWS answers 400 for every fault of the client. */
export function expectRefusal({ status, body }: Reply, type: string, text?: string, what?: string): void {
  const member = type === 'AccessDeniedException' ? 'Message' : 'message'
  expect({ status, body }, what).toEqual({ status: 400, body: { __type: type, ...(text === undefined ? {} : { [member]: text }) } })
}
