import { describe, expect, test } from 'vitest'
import { compilePolicy } from '../../src/authz/policy.ts'
import { defaultKeyPolicy } from '../../src/authz/default-policy.ts'
import { refuseLockout } from '../../src/authz/lockout.ts'
import { callerNamed, keyArn, keyPolicy, owner } from './cases.ts'
import { refusal } from './refusal.ts'

const lockedOut = {
  code: 'MalformedPolicyDocumentException',
  text: 'The new key policy will not allow you to update the key policy in the future.',
}
const root = { AWS: `arn:aws:iam::${owner}:root` }
const alice = { AWS: `arn:aws:iam::${owner}:user/alice` }
const check = (caller: string, ...statements: unknown[]) =>
  refusal(() => refuseLockout(keyPolicy({ Version: '2012-10-17', Statement: statements }), callerNamed(caller), keyArn))
const allow = (Principal: unknown, Action: unknown, Resource = '*') => ({ Effect: 'Allow', Principal, Action, Resource })
const deny = (Principal: unknown, Action: unknown) => ({ Effect: 'Deny', Principal, Action, Resource: '*' })

describe('the lockout check', () => {
  test.each(['root', 'alice', 'app'])('passes %s with the default policy', (caller) => {
    expect(refusal(() => refuseLockout(compilePolicy(defaultKeyPolicy(owner), 'key'), callerNamed(caller), keyArn))).toBeUndefined()
  })

  test('passes a caller who may put the policy', () => {
    expect(check('alice', allow(alice, ['kms:Encrypt', 'kms:Put*']))).toBeUndefined()
  })

  test('passes a caller through the account statement', () => {
    expect(check('bob', allow(alice, 'kms:Encrypt'), allow(root, 'kms:PutKeyPolicy'))).toBeUndefined()
  })

  test('refuses a policy that names only others', () => {
    expect(check('bob', allow(alice, 'kms:*'))).toEqual(lockedOut)
  })

  test('refuses a policy that shuts the root user out', () => {
    expect(check('root', allow(alice, 'kms:*'))).toEqual(lockedOut)
  })

  test('refuses a policy that allows everything but putting it', () => {
    expect(check('alice', allow(alice, ['kms:Get*', 'kms:Encrypt', 'kms:PutKeyPolic']))).toEqual(lockedOut)
  })

  test('refuses a policy that allows it on another key', () => {
    expect(check('alice', allow(alice, 'kms:*', keyArn.replace('1234abcd', '00000000')))).toEqual(lockedOut)
  })

  test('refuses a policy that denies it', () => {
    expect(check('alice', allow(root, 'kms:*'), deny(alice, 'kms:Put*'))).toEqual(lockedOut)
    expect(check('alice', allow(root, 'kms:*'), deny(root, 'kms:Put*'))).toEqual(lockedOut)
  })

  test('passes a policy that denies it to others', () => {
    expect(check('bob', allow(root, 'kms:*'), deny(alice, 'kms:*'))).toBeUndefined()
  })

  test('refuses a policy that allows it under a condition', () => {
    expect(check('alice', { ...allow(alice, 'kms:*'), Condition: { Bool: { 'aws:SecureTransport': true } } })).toEqual(lockedOut)
  })

  test('refuses a policy whose statement is idle', () => {
    expect(check('alice', { Effect: 'Allow', Principal: alice, Action: 'kms:*' })).toEqual(lockedOut)
  })
})
