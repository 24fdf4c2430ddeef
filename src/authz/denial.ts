// A denial in AWS's words: clients match on them. Source: AWS KMS developer guide, "Troubleshooting key access";
// IAM user guide, "Troubleshoot access denied error messages".
import { KmsError } from '../errors.ts'
import type { DenialReason } from './decide.ts'

/**
 * What was denied. named: a key or alias by its ARN. ciphertext: the key that a ciphertext names when the request names none.
 * account: an action on `*`. creation: the tags of a key being made, where no resource is spoken of.
 */
export type Subject =
  | { readonly kind: 'named'; readonly arn: string; readonly own: boolean }
  | { readonly kind: 'ciphertext'; readonly own: boolean }
  | { readonly kind: 'account' }
  | { readonly kind: 'creation' }

export interface DeniedRequest {
  readonly callerArn: string
  /** As AWS writes it: `kms:Decrypt`. */
  readonly action: string
  /** `own`: of the caller's account. A key that does not exist is not, unless it was named under the caller's account. */
  readonly subject: Subject
}

const hidden =
  'because the resource does not exist in this Region, no resource-based policies allow access, ' +
  'or a resource-based policy explicitly denies access'

const causes: Readonly<Record<DenialReason, (action: string) => string>> = {
  'explicit-deny-identity': () => 'with an explicit deny in an identity-based policy',
  'explicit-deny-resource': () => 'with an explicit deny in a resource-based policy',
  'no-identity-allow': (action) => `because no identity-based policy allows the ${action} action`,
  'no-resource-allow': (action) => `because no resource-based policy allows the ${action} action`,
}

/**
 * The AccessDeniedException for a decision. A key of another account that does not let the caller in gets the same words as a
 * key that does not exist, and its ARN is not printed: an alias of that account would tell the key behind it. So that the two
 * cannot be told apart, ask `decide` about an absent key with `denyAll` as its policy.
 */
export function accessDenied(reason: DenialReason, request: DeniedRequest): KmsError {
  const { subject } = request
  const own = subject.kind === 'account' || subject.kind === 'creation' || subject.own
  // decide() speaks of missing identity policies only once the key policy has let the caller in.
  const inSight = own || reason === 'no-identity-allow'
  const cause = inSight || reason === 'explicit-deny-identity' ? causes[reason](request.action) : hidden
  return new KmsError(
    'AccessDeniedException',
    `User: ${request.callerArn} is not authorized to perform: ${request.action}${place(subject, inSight)} ${cause}`,
  )
}

function place(subject: Subject, inSight: boolean): string {
  switch (subject.kind) {
    case 'named': return inSight ? ` on resource: ${subject.arn}` : ' on this resource'
    case 'account': return ' on resource: *'
    case 'creation': return ''
    case 'ciphertext': return ' on the resource associated with this ciphertext'
  }
}
