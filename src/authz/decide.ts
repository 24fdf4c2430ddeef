// May this caller do this? Pure: whoever calls has gathered the policies. Whatever no policy allows is denied, and any
// explicit Deny wins. Sources: AWS KMS developer guide, "Determining access to AWS KMS keys" and "Allowing users in other
// accounts to use a KMS key"; IAM user guide, "Policy evaluation logic".
import { forbids, permits, type Question } from './evaluate.ts'
import { denyAll, type Policy } from './policy.ts'
import type { Caller, Standing } from './principal.ts'

export interface AuthorizationRequest {
  readonly caller: Caller
  /** As AWS writes it: `kms:Decrypt`. */
  readonly action: string
  /** A key ARN; an alias ARN for the alias half of alias operations; `*` for actions of the account. */
  readonly resource: string
  /** The account that owns the resource; for `*` the caller's own. */
  readonly ownerAccountId: string
  /** Every policy that hangs on the caller. */
  readonly identityPolicies: readonly Policy[]
  /** undefined for actions that no key policy has a say in. */
  readonly keyPolicy: Policy | undefined
  /** Condition keys of the request, as AWS spells them, with their values. */
  readonly context: ReadonlyMap<string, string | readonly string[]>
}

export type DenialReason = 'explicit-deny-identity' | 'explicit-deny-resource' | 'no-identity-allow' | 'no-resource-allow'
/** Whose word it was. root-user: the account's root user, who needs no identity policy. */
export type Permission = 'key-policy' | 'identity-policy' | 'key-and-identity-policy' | 'root-user'

export type Decision =
  | { readonly allowed: true; readonly by: Permission }
  | { readonly allowed: false; readonly reason: DenialReason }

const denied = (reason: DenialReason): Decision => ({ allowed: false, reason })
const allowed = (by: Permission): Decision => ({ allowed: true, by })

/**
 * Decides. In the key's own account the key policy allows the caller by name, or names the account and an identity policy
 * allows. From another account both must allow.
 */
export function decide(request: AuthorizationRequest): Decision {
  const { caller, identityPolicies, resource } = request
  const question: Question = { caller, action: request.action.toLowerCase(), resource }
  // A key without its policy is a fault of the caller of this function: it must not pass for an action of the account.
  const keyPolicy = request.keyPolicy ?? (resource.includes(':key/') ? denyAll : undefined)

  if (identityPolicies.some((policy) => forbids(policy, question))) return denied('explicit-deny-identity')
  if (keyPolicy !== undefined && forbids(keyPolicy, question)) return denied('explicit-deny-resource')

  const sameAccount = caller.accountId === request.ownerAccountId
  const atResource = keyPolicy === undefined ? accountStanding(sameAccount) : permits(keyPolicy, question)
  if (atResource === 'none') return denied('no-resource-allow')
  if (atResource === 'direct' && sameAccount) return allowed('key-policy')

  if (caller.type === 'Root') return allowed('root-user')
  if (!identityPolicies.some((policy) => permits(policy, question) !== 'none')) return denied('no-identity-allow')
  return allowed(keyPolicy === undefined || sameAccount ? 'identity-policy' : 'key-and-identity-policy')
}

/** Without a key policy an account leaves everything to its own identity policies and nothing to other accounts. */
const accountStanding = (sameAccount: boolean): Standing => (sameAccount ? 'delegated' : 'none')
