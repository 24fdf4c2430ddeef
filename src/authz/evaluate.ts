// What one policy says to one request.
import type { Policy, Statement } from './policy.ts'
import type { Caller, Standing } from './principal.ts'

export interface Question {
  readonly caller: Caller
  /** In lower case, `kms:decrypt`: actions ignore case. */
  readonly action: string
  /** A key or alias ARN, whose case counts, or `*`. */
  readonly resource: string
}

const speaksOf = (statement: Statement, { action, resource }: Question): boolean =>
  statement.actions(action) && statement.resources(resource)

/** Whether a policy denies explicitly. An account as the principal of a Deny is everyone in it. */
export function forbids(policy: Policy, question: Question): boolean {
  for (const statement of policy.denies) {
    // A Condition is not looked at here: that of a Deny always counts as met, so leaving it unread can only refuse.
    if (speaksOf(statement, question) && statement.standing(question.caller) !== 'none') return true
  }
  return false
}

/** The best standing that the Allow statements of a policy give; says nothing about its Deny statements. */
export function permits(policy: Policy, question: Question): Standing {
  let best: Standing = 'none'
  for (const statement of policy.allows) {
    // A Condition is not looked at here: that of an Allow never counts as met, so leaving it unread can only refuse.
    if (statement.conditional || !speaksOf(statement, question)) continue
    const given = statement.standing(question.caller)
    if (given === 'direct') return given
    if (given === 'delegated') best = given
  }
  return best
}
