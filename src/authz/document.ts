// A policy document as it is read: JSON text to checked statements. The text is the caller's and hostile: its size is bounded
// before it is parsed, a member may stand only once, and what is not in the policy grammar is refused rather than skipped, since
// a Deny that is read differently from how it was meant protects nothing.
// Source: IAM user guide, "Grammar of the IAM JSON policy language".
import { KmsError } from '../errors.ts'
import { invalidArnText, noPrincipal } from './principal.ts'

export type PolicyKind = 'key' | 'identity'

/** A statement whose members have the right form; a missing element is undefined. */
export interface StatementText {
  readonly effect: 'Allow' | 'Deny'
  readonly principal: unknown
  readonly notPrincipal: unknown
  readonly action: readonly string[] | undefined
  readonly notAction: readonly string[] | undefined
  readonly resource: readonly string[] | undefined
  readonly notResource: readonly string[] | undefined
  /** It has a Condition with at least one operator in it. */
  readonly conditional: boolean
}

export interface PolicyText {
  /** Without Version a document is of 2008-10-17, where policy variables are plain characters. */
  readonly version: '2008-10-17' | '2012-10-17'
  readonly statements: readonly StatementText[]
}

/** Bytes of UTF-8. Key policies: AWS KMS quotas. Identity policies: the length IAM's API takes, white space included. */
const maxDocumentBytes: Readonly<Record<PolicyKind, number>> = { key: 32_768, identity: 131_072 }

/** KMS sends no text with a document it cannot read; IAM does. */
const syntaxText: Readonly<Record<PolicyKind, string | undefined>> = { key: undefined, identity: 'Syntax errors in policy.' }

const documentMembers: ReadonlySet<string> = new Set(['Version', 'Id', 'Statement'])
const statementMembers: ReadonlySet<string> = new Set([
  'Sid', 'Effect', 'Principal', 'NotPrincipal', 'Action', 'NotAction', 'Resource', 'NotResource', 'Condition',
])

/** `*`, or a service and the pattern of an action: ASCII only, so that lower case means the same to every reader. */
const actionPattern = /^(?:\*+|(?:[A-Za-z0-9-]+|\*):[A-Za-z0-9*?]+)$/
/** `*`, or an ARN: six parts, or fewer where a star stands for several. */
const isResource = (pattern: string): boolean =>
  /^\*+$/.test(pattern) || (pattern.startsWith('arn:') && (pattern.includes('*') || pattern.split(':', 6).length === 6))

type Members = ReadonlyMap<string, unknown>

/**
 * Reads a document.
 * @throws LimitExceededException over 32,768 bytes (key) or 131,072 bytes (identity); MalformedPolicyDocumentException;
 *   InvalidArnException for a resource of a key policy that is no ARN
 */
export function readDocument(document: string, kind: PolicyKind): PolicyText {
  if (Buffer.byteLength(document) > maxDocumentBytes[kind]) throw new KmsError('LimitExceededException')
  const members = membersOf(parse(document, kind), documentMembers, kind)
  const version = members.get('Version') ?? '2008-10-17'
  if (version !== '2012-10-17' && version !== '2008-10-17') throw syntaxError(kind)
  requireString(members, 'Id', kind)
  const statement = members.get('Statement')
  const statements: readonly unknown[] = Array.isArray(statement) ? statement : [statement]
  if (statements.length === 0) throw syntaxError(kind)
  return { version, statements: statements.map((entry) => readStatement(membersOf(entry, statementMembers, kind), kind)) }
}

function readStatement(members: Members, kind: PolicyKind): StatementText {
  const effect = members.get('Effect')
  if (effect !== 'Allow' && effect !== 'Deny') throw syntaxError(kind)
  requireString(members, 'Sid', kind)
  for (const [one, other] of [['Principal', 'NotPrincipal'], ['Action', 'NotAction'], ['Resource', 'NotResource']] as const) {
    if (members.has(one) && members.has(other)) throw syntaxError(kind)
  }
  const statement: StatementText = {
    effect,
    principal: members.get('Principal'),
    notPrincipal: members.get('NotPrincipal'),
    action: readPatterns(members, 'Action', kind),
    notAction: readPatterns(members, 'NotAction', kind),
    resource: readPatterns(members, 'Resource', kind),
    notResource: readPatterns(members, 'NotResource', kind),
    conditional: readCondition(members, kind),
  }
  demand[kind](statement, members)
  for (const pattern of statement.action ?? statement.notAction ?? []) {
    if (!actionPattern.test(pattern)) throw badAction(kind)
  }
  for (const pattern of statement.resource ?? statement.notResource ?? []) {
    if (!isResource(pattern)) throw badResource(pattern, kind)
  }
  return statement
}

/** Which elements each kind of policy must and must not have. Key policies may lack Action or Resource, then the statement is idle. */
const demand: Readonly<Record<PolicyKind, (statement: StatementText, members: Members) => void>> = {
  key: (statement, members) => {
    if (!members.has('Principal') && !members.has('NotPrincipal')) throw noPrincipal()
    // AWS does not support it: it would admit everyone but a few, callers without an account included.
    if (members.has('NotPrincipal') && statement.effect === 'Allow') throw syntaxError('key')
  },
  identity: (statement, members) => {
    if (members.has('Principal') || members.has('NotPrincipal')) throw malformed('Policy document should not specify a principal.')
    if (statement.action === undefined && statement.notAction === undefined) throw malformed('Policy statement must contain actions.')
    if (statement.resource === undefined && statement.notResource === undefined) throw malformed('Policy statement must contain resources.')
  },
}

function readPatterns(members: Members, name: string, kind: PolicyKind): readonly string[] | undefined {
  if (!members.has(name)) return undefined
  const value = members.get(name)
  const values: readonly unknown[] = Array.isArray(value) ? value : [value]
  const patterns = values.filter((entry) => typeof entry === 'string')
  if (patterns.length === 0 || patterns.length !== values.length) throw syntaxError(kind)
  return patterns
}

function readCondition(members: Members, kind: PolicyKind): boolean {
  if (!members.has('Condition')) return false
  const operators = Object.values(objectOf(members.get('Condition'), kind))
  for (const keys of operators) {
    for (const value of Object.values(objectOf(keys, kind))) {
      const values: readonly unknown[] = Array.isArray(value) ? value : [value]
      if (!values.every((entry) => ['string', 'number', 'boolean'].includes(typeof entry))) throw syntaxError(kind)
    }
  }
  return operators.length > 0
}

function parse(document: string, kind: PolicyKind): unknown {
  let value: unknown
  try {
    value = JSON.parse(document)
  } catch (cause) {
    throw new KmsError('MalformedPolicyDocumentException', syntaxText[kind], { cause })
  }
  if (repeatsMember(document)) throw syntaxError(kind)
  return value
}

const jsonToken = /"[^"\\]*(?:\\.[^"\\]*)*"|[{}:]/g

/** Whether an object of valid JSON has a member twice. JSON.parse keeps the last one, a reader may believe the first. */
function repeatsMember(json: string): boolean {
  const open: Set<unknown>[] = []
  let lastString = ''
  for (const [token] of json.matchAll(jsonToken)) {
    if (token === '{') open.push(new Set())
    else if (token === '}') open.pop()
    else if (token !== ':') lastString = token
    else {
      const seen = open.at(-1)
      // Decoded, since "Effect" and "\u0045ffect" are one member.
      const member: unknown = JSON.parse(lastString)
      if (seen?.has(member)) return true
      seen?.add(member)
    }
  }
  return false
}

function objectOf(value: unknown, kind: PolicyKind): object {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw syntaxError(kind)
  return value
}

function membersOf(value: unknown, known: ReadonlySet<string>, kind: PolicyKind): Members {
  const members = new Map<string, unknown>(Object.entries(objectOf(value, kind)))
  for (const name of members.keys()) {
    if (!known.has(name)) throw syntaxError(kind)
  }
  return members
}

function requireString(members: Members, name: string, kind: PolicyKind): void {
  if (members.has(name) && typeof members.get(name) !== 'string') throw syntaxError(kind)
}

const malformed = (text: string | undefined): KmsError => new KmsError('MalformedPolicyDocumentException', text)
const syntaxError = (kind: PolicyKind): KmsError => malformed(syntaxText[kind])

const badAction = (kind: PolicyKind): KmsError =>
  malformed(kind === 'identity' ? 'Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc.' : syntaxText.key)

const badResource = (pattern: string, kind: PolicyKind): KmsError =>
  kind === 'identity'
    ? malformed(`Resource ${pattern} must be in ARN format or "*".`)
    : new KmsError('InvalidArnException', invalidArnText)
