// Gathers what there is to say about a request and asks authz/decide. A key that is missing and a key that is forbidden are told
// apart only to a caller who would be allowed to use the missing one.
import { decide, type Decision } from '../authz/decide.ts'
import { compilePolicy, denyAll } from '../authz/policy.ts'
import { defaultKeyPolicy } from '../authz/default-policy.ts'
import { accessDenied, type Subject } from '../authz/denial.ts'
import { KmsError } from '../errors.ts'
import { aliasArn } from '../keys/identifier.ts'
import type { Caller } from '../identity/caller.ts'
import type { Operation, ParsedInput } from '../operations/operation.ts'
import type { KeyEntry } from '../cache/key-entry.ts'
import type { ResolvedKey } from './resolve.ts'

const noContext: ReadonlyMap<string, string> = new Map()

/** The keys, by the names of the declaration. @throws AccessDeniedException, NotFoundException */
export function authorize(
  operation: Operation, input: ParsedInput, resolved: readonly ResolvedKey[], caller: Caller, region: string,
): Record<string, KeyEntry> {
  for (const { permission, when, subject = 'account' } of operation.account ?? []) {
    if (when !== undefined && !when(input)) continue
    const decision = ask(caller, permission, '*', caller.accountId, undefined)
    if (!decision.allowed) throw accessDenied(decision.reason, { callerArn: caller.arn, action: permission, subject: { kind: subject } })
  }
  if (operation.alias !== undefined) authorizeAlias(operation.alias, input, caller, region)
  return Object.fromEntries(resolved.map(one => [one.name, authorizeKey(one, caller)]))
}

/** The alias half of alias operations: no key policy has a say in it. */
function authorizeAlias({ member, permission }: NonNullable<Operation['alias']>, input: ParsedInput, caller: Caller, region: string): void {
  const name = input[member]
  if (typeof name !== 'string') return
  const arn = aliasArn(region, caller.accountId, name)
  const decision = ask(caller, permission, arn, caller.accountId, undefined)
  if (!decision.allowed) throw accessDenied(decision.reason, { callerArn: caller.arn, action: permission, subject: { kind: 'named', arn, own: true } })
}

function authorizeKey(resolved: ResolvedKey, caller: Caller): KeyEntry {
  const { need, entry, accountId } = resolved
  const own = accountId === caller.accountId
  if (entry === undefined) throw absent(resolved, caller, own)
  const reachable = own || need.otherAccounts
  const decision = ask(caller, need.permission, entry.key.arn, entry.key.accountId, reachable ? entry.policy : denyAll)
  if (decision.allowed) return entry
  throw accessDenied(decision.reason, { callerArn: caller.arn, action: need.permission, subject: subjectOf(resolved, own) })
}

/** What would be decided about a key of the account with the default policy: who may, learns that it does not exist. */
function absent(resolved: ResolvedKey, caller: Caller, own: boolean): KmsError {
  const { need, arn, accountId, missing } = resolved
  const policy = own && accountId !== undefined ? defaultPolicyOf(accountId) : denyAll
  const decision = ask(caller, need.permission, arn ?? '*', accountId ?? '', policy)
  if (!decision.allowed || arn === undefined) {
    const reason = decision.allowed ? 'no-resource-allow' : decision.reason
    return accessDenied(reason, { callerArn: caller.arn, action: need.permission, subject: subjectOf(resolved, own) })
  }
  return new KmsError('NotFoundException', missing === 'alias' ? `Alias ${arn} is not found.` : `Key '${arn}' does not exist`)
}

const subjectOf = ({ arn, entry }: ResolvedKey, own: boolean): Subject =>
  arn === undefined ? { kind: 'ciphertext', own } : { kind: 'named', arn: entry?.key.arn ?? arn, own }

function ask(caller: Caller, action: string, resource: string, ownerAccountId: string, keyPolicy: Parameters<typeof decide>[0]['keyPolicy']): Decision {
  return decide({ caller, action, resource, ownerAccountId, identityPolicies: caller.identityPolicies, keyPolicy, context: noContext })
}

const defaultPolicyOf = (accountId: string): ReturnType<typeof compilePolicy> => compilePolicy(defaultKeyPolicy(accountId), 'key')
