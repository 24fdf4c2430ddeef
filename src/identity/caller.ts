// Who makes a request, once the signature has been verified.
import type { Policy } from '../authz/policy.ts'

export interface Caller {
  readonly type: 'Root' | 'IAMUser'
  readonly accountId: string
  readonly arn: string
  /** AIDA… of a user; the account id of a root user. */
  readonly principalId: string
  /** Only of a user. */
  readonly userName?: string
  readonly accessKeyId: string
  /** Compiled; empty for a root user, who needs none. */
  readonly identityPolicies: readonly Policy[]
}

/** An access key with the user it belongs to. */
export interface AccessKeyOwner {
  readonly id: string
  readonly accountId: string
  /** Null for the account's root user. */
  readonly userId: string | null
  readonly user: { readonly id: string, readonly name: string, readonly path: string } | null
  readonly policies: readonly Policy[]
}

export const rootArn = (accountId: string): string => `arn:aws:iam::${accountId}:root`

/** `path` begins and ends with a slash. */
export const userArn = (accountId: string, path: string, name: string): string => `arn:aws:iam::${accountId}:user${path}${name}`

/**
 * The caller behind an access key.
 * @throws Error when the user that the key names is not the one that came with it: a user who is gone must not turn into root.
 */
export function callerOf({ id, accountId, userId, user, policies }: AccessKeyOwner): Caller {
  if ((user?.id ?? null) !== userId) throw new Error(`access key ${id} came without its user`)
  if (user === null) {
    return { type: 'Root', accountId, arn: rootArn(accountId), principalId: accountId, accessKeyId: id, identityPolicies: [] }
  }
  return {
    type: 'IAMUser',
    accountId,
    arn: userArn(accountId, user.path, user.name),
    principalId: user.id,
    userName: user.name,
    accessKeyId: id,
    identityPolicies: policies,
  }
}

/** The userIdentity element of a CloudTrail record (record contents reference, "CloudTrail userIdentity element"). */
export function userIdentity({ type, principalId, arn, accountId, accessKeyId, userName }: Caller): Readonly<Record<string, string>> {
  const identity = { type, principalId, arn, accountId, accessKeyId }
  return userName === undefined ? identity : { ...identity, userName }
}
