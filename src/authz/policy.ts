// A policy as it is decided by: compiled once when it is stored or read, so that a decision is a few look-ups.
import { type PolicyKind, type PolicyText, readDocument, type StatementText } from './document.ts'
import { compileMatcher, type Matcher } from './pattern.ts'
import { type Caller, type Principals, readPrincipals, spared, type Standing, standing } from './principal.ts'

/** One statement. NotAction, NotResource and NotPrincipal are already turned round. */
export interface Statement {
  /** Takes the action in lower case. */
  readonly actions: Matcher
  /** Takes an ARN, or `*` for actions of the account. */
  readonly resources: Matcher
  /** In an identity policy always direct: it hangs on the caller. */
  readonly standing: (caller: Caller) => Standing
  readonly conditional: boolean
}

export interface Policy {
  readonly allows: readonly Statement[]
  readonly denies: readonly Statement[]
  /** ARNs of the users, roles and role sessions that the document names: AWS takes it only if they exist. */
  readonly principalArns: ReadonlySet<string>
}

/** Stands for a document that does not compile when it is read back: nobody gets past a policy that cannot be understood. */
export const denyAll: Policy = {
  allows: [],
  denies: [{ actions: () => true, resources: () => true, standing: () => 'direct', conditional: false }],
  principalArns: new Set(),
}

/**
 * Compiles a policy document: a key policy, whose statements have principals, or an identity policy, whose have none.
 * A key-policy statement without Action or Resource is taken and does nothing, as at AWS.
 * @throws LimitExceededException over 32,768 bytes (key) or 131,072 bytes (identity); MalformedPolicyDocumentException;
 *   InvalidArnException for malformed ARNs of a key policy
 */
export function compilePolicy(document: string, kind: PolicyKind): Policy {
  const text = readDocument(document, kind)
  const allows: Statement[] = []
  const denies: Statement[] = []
  const principalArns = new Set<string>()
  for (const source of text.statements) {
    const principals = kind === 'key' ? readPrincipals(source.principal ?? source.notPrincipal) : undefined
    for (const arn of principals?.arns ?? []) principalArns.add(arn)
    const statement = compileStatement(source, principals, text.version)
    if (statement !== undefined) (source.effect === 'Allow' ? allows : denies).push(statement)
  }
  return { allows, denies, principalArns }
}

type Version = PolicyText['version']

function compileStatement(source: StatementText, principals: Principals | undefined, version: Version): Statement | undefined {
  const actions = source.action ?? source.notAction
  const resources = source.resource ?? source.notResource
  if (actions === undefined || resources === undefined) return undefined
  const actionMatcher = compileMatcher(actions.map((pattern) => pattern.toLowerCase()))
  const resourceMatcher = compileMatcher(version === '2012-10-17' ? widened(resources, source) : resources)
  return {
    actions: source.notAction === undefined ? actionMatcher : not(actionMatcher),
    resources: source.notResource === undefined ? resourceMatcher : not(resourceMatcher),
    standing: standingOf(principals, source),
    conditional: source.conditional,
  }
}

/**
 * Policy variables are not resolved, so a resource that has one is read against the caller: in the Resource of a Deny and the
 * NotResource of an Allow it matches whatever begins like it; elsewhere it stays as written, and no ARN of ours has `${` in it.
 */
function widened(resources: readonly string[], source: StatementText): readonly string[] {
  const restricts = (source.effect === 'Deny') === (source.notResource === undefined)
  return restricts ? resources.map((pattern) => pattern.replace(/\$\{.*$/s, '*')) : resources
}

function standingOf(principals: Principals | undefined, source: StatementText): Statement['standing'] {
  if (principals === undefined) return () => 'direct'
  if (source.principal !== undefined) return (caller) => standing(principals, caller)
  return (caller) => (spared(principals, caller) ? 'none' : 'direct')
}

const not = (matches: Matcher): Matcher => (text) => !matches(text)
