// Who a key policy speaks of. A principal is a whole name or `*`; parts of names are never matched by pattern.
import { KmsError } from '../errors.ts'

/** Who asks. The ARN is the session's for an assumed role; roleArn is then the role's own, with its path, which a session ARN lacks. */
export type Caller =
  | { readonly type: 'Root' | 'IAMUser'; readonly accountId: string; readonly arn: string }
  | { readonly type: 'AssumedRole'; readonly accountId: string; readonly arn: string; readonly roleArn: string }

/**
 * How a statement speaks of a caller. direct: names it, or everyone. delegated: names its account, which leaves the choice
 * to the identity policies of that account. none: does not.
 */
export type Standing = 'direct' | 'delegated' | 'none'

/** The principals of one Principal or NotPrincipal element. Services and identity providers are left out: no caller is one. */
export interface Principals {
  readonly everyone: boolean
  /** Account ids, from `123456789012` and `arn:aws:iam::123456789012:root` alike. */
  readonly accounts: ReadonlySet<string>
  /** ARNs of users, roles and role sessions. */
  readonly arns: ReadonlySet<string>
}

/** Where a caller stands with a Principal element. */
export function standing(principals: Principals, caller: Caller): Standing {
  if (principals.everyone || principals.arns.has(caller.arn)) return 'direct'
  if (caller.type === 'AssumedRole' && principals.arns.has(caller.roleArn)) return 'direct'
  if (!principals.accounts.has(caller.accountId)) return 'none'
  // The root user is the account: for it alone the account's name is its own.
  return caller.type === 'Root' ? 'direct' : 'delegated'
}

/**
 * Whether a NotPrincipal element leaves a caller out of its Deny. The account must be listed as well as the user or role in it;
 * a session is left out through its role. Listing the account alone spares the root user only.
 * Source: IAM user guide, "AWS JSON policy elements: NotPrincipal".
 */
export function spared(principals: Principals, caller: Caller): boolean {
  if (principals.everyone) return true
  if (!principals.accounts.has(caller.accountId)) return false
  return caller.type === 'Root' || principals.arns.has(caller.type === 'AssumedRole' ? caller.roleArn : caller.arn)
}

const name = '[\\w+=,.@-]'
const path = '(?:[\\x21-\\x7e]*/)?'
const accountId = /^[0-9]{12}$/
const accountRoot = /^arn:aws:iam::([0-9]{12}):root$/
const namedPrincipal = new RegExp(
  `^arn:aws:(?:iam::[0-9]{12}:(?:user|role)/${path}${name}{1,64}|sts::[0-9]{12}:assumed-role/${name}{1,64}/${name}{2,64})$`,
)
const wellFormedArn = /^arn:[a-z0-9-]+:[a-z0-9-]+:[a-z0-9-]*:(?:[0-9]{12})?:.+$/
/** iam and sts principals always carry an account. */
const identityArn = /^arn:[a-z0-9-]+:(?:iam|sts):/
const identityArnWithAccount = /^arn:[a-z0-9-]+:(?:iam|sts)::[0-9]{12}:.+$/
const servicePrincipal = /^[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+){2,}$/
const identityProvider = /^(?:[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+|arn:aws:iam::[0-9]{12}:(?:saml|oidc)-provider\/[\w.:/-]+)$/

/**
 * Reads the value of a Principal or NotPrincipal element.
 * @throws MalformedPolicyDocumentException or InvalidArnException with AWS's texts
 */
export function readPrincipals(element: unknown): Principals {
  if (element === '*') return { everyone: true, accounts: new Set(), arns: new Set() }
  if (typeof element !== 'object' || element === null || Array.isArray(element)) throw invalidPrincipals()
  const read = { everyone: false, accounts: new Set<string>(), arns: new Set<string>() }
  const members = Object.entries(element)
  if (members.length === 0) throw noPrincipal()
  for (const [kind, value] of members) {
    const values: readonly unknown[] = Array.isArray(value) ? value : [value]
    if (values.length === 0) throw noPrincipal()
    for (const entry of values) {
      if (typeof entry !== 'string') throw invalidPrincipals()
      if (kind === 'AWS') readIdentity(entry, read)
      else if (!providers.get(kind)?.test(entry)) throw invalidPrincipals()
    }
  }
  return read
}

const providers: ReadonlyMap<string, RegExp> = new Map([['Service', servicePrincipal], ['Federated', identityProvider]])

function readIdentity(text: string, into: { everyone: boolean; accounts: Set<string>; arns: Set<string> }): void {
  if (text === '*') {
    into.everyone = true
    return
  }
  // A pattern here would let whoever can choose a name in the account choose one that matches.
  if (/[*?]/.test(text)) throw invalidPrincipals()
  const account = accountId.test(text) ? text : accountRoot.exec(text)?.[1]
  if (account !== undefined) into.accounts.add(account)
  else if (namedPrincipal.test(text)) into.arns.add(text)
  else if (text.startsWith('arn:') && !isWellFormed(text)) throw new KmsError('InvalidArnException', invalidArnText)
  else throw invalidPrincipals()
}

const isWellFormed = (arn: string): boolean => wellFormedArn.test(arn) && (!identityArn.test(arn) || identityArnWithAccount.test(arn))

/** AWS's text for any ARN of a key policy that is none. */
export const invalidArnText = 'An ARN in the specified key policy is invalid.'

/** The error for a key-policy statement without a principal, or with an empty list of them. */
export const noPrincipal = (): KmsError =>
  new KmsError('MalformedPolicyDocumentException', 'Policy contains a statement with no principal.')

const invalidPrincipals = (): KmsError =>
  new KmsError('MalformedPolicyDocumentException', 'Policy contains a statement with one or more invalid principals.')
