// GetKeyPolicy, PutKeyPolicy, ListKeyPolicies. A key has one policy, named default.
import { formatPolicy } from '../authz/format-policy.ts'
import { refuseLockout } from '../authz/lockout.ts'
import { compilePolicy } from '../authz/policy.ts'
import { KmsError } from '../errors.ts'
import { boolean, required, text } from '../shape/shape.ts'
import { findKeyPolicy, putKeyPolicy } from '../store/policies.ts'
import { keyId, limit, marker, policy } from './members.ts'
import { from, operation, type KeyNeed } from './operation.ts'
import { requirePrincipals } from './policy-principals.ts'

const policyName = text({ min: 1, max: 128, pattern: '[\\w]+' })
const theName = 'default'

const need = (permission: `kms:${string}`): KeyNeed => ({
  key: from('KeyId'), permission, states: 'any', aliases: false, otherAccounts: false, grantable: false,
})

export const GetKeyPolicy = operation({
  kind: 'read',
  input: { KeyId: required(keyId), PolicyName: policyName },
  needs: { key: need('kms:GetKeyPolicy') },
  readOnly: true,
  defaults: { PolicyName: theName },
  audit: ['PolicyName'],
  async handle({ input, keys, db }) {
    const document = input.PolicyName === theName ? await findKeyPolicy(db, keys.key.key.id) : undefined
    if (document === undefined) throw new KmsError('NotFoundException', 'No such policy exists')
    return { Policy: formatPolicy(document), PolicyName: theName }
  },
})

export const PutKeyPolicy = operation({
  kind: 'write',
  input: { KeyId: required(keyId), PolicyName: policyName, Policy: required(policy), BypassPolicyLockoutSafetyCheck: boolean() },
  needs: { key: need('kms:PutKeyPolicy') },
  readOnly: false,
  defaults: { PolicyName: theName, BypassPolicyLockoutSafetyCheck: false },
  audit: ['PolicyName', 'Policy', 'BypassPolicyLockoutSafetyCheck'],
  check({ PolicyName }) {
    if (PolicyName === 'AWS_RAM') throw new KmsError('ValidationException', 'The AWS_RAM policy can only be managed by the RAM service')
    if (PolicyName !== theName) throw new KmsError('UnsupportedOperationException')
  },
  async handle({ input, keys, caller, tx, notes }) {
    const { key } = keys.key
    const compiled = compilePolicy(input.Policy, 'key')
    await requirePrincipals(tx, compiled.principalArns)
    if (input.BypassPolicyLockoutSafetyCheck !== true) refuseLockout(compiled, caller, key.arn)
    await putKeyPolicy(tx, key.id, input.Policy)
    notes.responseElements = { keyId: key.arn }
    return undefined
  },
})

export const ListKeyPolicies = operation({
  kind: 'read',
  input: { KeyId: required(keyId), Limit: limit, Marker: marker },
  needs: { key: need('kms:ListKeyPolicies') },
  readOnly: true,
  audit: ['Limit', 'Marker'],
  handle: () => Promise.resolve({ PolicyNames: [theName], Truncated: false }),
})
