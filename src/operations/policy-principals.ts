// The principals that a key policy names must exist. Users are checked; roles cannot exist yet, and the identities of accounts that
// another deployment holds are not ours to know: both pass, and match nobody (docs/decisions/0003).
import { KmsError } from '../errors.ts'
import { userArn } from '../identity/caller.ts'
import type { Db } from '../store/database.ts'
import { findAccounts, findUsers } from '../store/identities.ts'

const userPattern = /^arn:aws:iam::([0-9]{12}):user\/(?:.*\/)?([^/]+)$/s
/** IAM's pattern; no user has another name, and Postgres takes no NUL. */
const userName = /^[\w+=,.@-]{1,64}$/

/** @throws MalformedPolicyDocumentException with AWS's text */
export async function requirePrincipals(db: Db, arns: ReadonlySet<string>): Promise<void> {
  const named = [...arns].flatMap(arn => {
    const [, accountId, name] = userPattern.exec(arn) ?? []
    return accountId === undefined || name === undefined ? [] : [{ arn, accountId, name }]
  })
  if (named.length === 0) return
  const held = new Set(await findAccounts(db, [...new Set(named.map(user => user.accountId))]))
  const existing = new Set((await findUsers(db, named.filter(({ name }) => userName.test(name)))).map(user => userArn(user.accountId, user.path, user.name)))
  if (named.some(({ arn, accountId }) => held.has(accountId) && !existing.has(arn))) {
    throw new KmsError('MalformedPolicyDocumentException', 'Policy contains a statement with one or more invalid principals.')
  }
}
