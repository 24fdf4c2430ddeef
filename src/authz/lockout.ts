// The lockout safety check: a new key policy must leave the caller able to change it again.
import { KmsError } from '../errors.ts'
import { forbids, permits, type Question } from './evaluate.ts'
import type { Policy } from './policy.ts'
import type { Caller } from './principal.ts'

/**
 * Refuses a key policy under which the caller could not call kms:PutKeyPolicy on the key. The account statement is enough:
 * what identity policies say can be mended without the key. Source: AWS KMS API reference, PutKeyPolicy,
 * BypassPolicyLockoutSafetyCheck.
 * @throws MalformedPolicyDocumentException
 */
export function refuseLockout(keyPolicy: Policy, caller: Caller, keyArn: string): void {
  const question: Question = { caller, action: 'kms:putkeypolicy', resource: keyArn }
  if (forbids(keyPolicy, question) || permits(keyPolicy, question) === 'none') {
    throw new KmsError('MalformedPolicyDocumentException', 'The new key policy will not allow you to update the key policy in the future.')
  }
}
