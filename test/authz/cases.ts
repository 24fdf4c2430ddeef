// The truth tables under cases/ as typed data, and the callers and the key that they speak of.
import { readFileSync } from 'node:fs'
import { decide, type Decision, type DenialReason, type Permission } from '../../src/authz/decide.ts'
import { compilePolicy, type Policy } from '../../src/authz/policy.ts'
import type { Caller } from '../../src/authz/principal.ts'

export const owner = '111122223333'
export const keyArn = `arn:aws:kms:eu-central-1:${owner}:key/1234abcd-12ab-34cd-56ef-1234567890ab`

export interface DecisionCase {
  name: string
  caller: string
  action: string
  resource?: string
  identity?: readonly unknown[]
  expect: Permission | DenialReason
}

export interface DecisionTable {
  title: string
  keyPolicy: unknown
  identity?: readonly unknown[]
  cases: readonly DecisionCase[]
}

export interface DocumentCase {
  name: string
  kind: 'key' | 'identity'
  document?: unknown
  text?: string
  error: { code: string; text: string | null } | null
}

const load = (name: string): unknown => JSON.parse(readFileSync(new URL(`cases/${name}.json`, import.meta.url), 'utf8'))

export const decisionTables = [...(load('decisions') as DecisionTable[]), ...(load('examples') as DecisionTable[])]
export const documentCases = load('documents') as DocumentCase[]
const callers = new Map(Object.entries(load('callers') as Record<string, Caller>))

export function callerNamed(name: string): Caller {
  const caller = callers.get(name)
  if (caller === undefined) throw new Error(`no caller ${name} in callers.json`)
  return caller
}

export const keyPolicy = (document: unknown): Policy => compilePolicy(JSON.stringify(document), 'key')
export const identityPolicy = (statement: unknown): Policy =>
  compilePolicy(JSON.stringify({ Version: '2012-10-17', Statement: statement }), 'identity')

export function decideCase(table: DecisionTable, row: DecisionCase): Decision {
  return decide({
    caller: callerNamed(row.caller),
    action: row.action,
    resource: row.resource ?? keyArn,
    ownerAccountId: row.resource === '*' ? callerNamed(row.caller).accountId : owner,
    identityPolicies: (row.identity ?? table.identity ?? []).map(identityPolicy),
    keyPolicy: table.keyPolicy === null ? undefined : keyPolicy(table.keyPolicy),
    context: new Map(),
  })
}
