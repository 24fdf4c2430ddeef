// GetCallerIdentity: who the credentials belong to. Needs no permission and no policy can deny it.
// Source: AWS STS API reference, GetCallerIdentity.
import type { Caller } from '../identity/caller.ts'
import type { StsOperation } from './operation.ts'

export const GetCallerIdentity: StsOperation = {
  readOnly: true,
  handle: (caller: Caller) => ({ Arn: caller.arn, UserId: caller.principalId, Account: caller.accountId }),
}
