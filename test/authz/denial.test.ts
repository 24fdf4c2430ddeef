import { describe, expect, test } from 'vitest'
import type { DenialReason } from '../../src/authz/decide.ts'
import { accessDenied, type Subject } from '../../src/authz/denial.ts'
import { keyArn } from './cases.ts'

const user = 'arn:aws:iam::111122223333:user/alice'
const hidden =
  'because the resource does not exist in this Region, no resource-based policies allow access, ' +
  'or a resource-based policy explicitly denies access'
const own: Subject = { kind: 'named', arn: keyArn, own: true }
const foreign: Subject = { kind: 'named', arn: keyArn, own: false }

const rows: [string, DenialReason, string, Subject, string][] = [
  ['a named key without an identity allow', 'no-identity-allow', 'kms:Decrypt', own,
    `kms:Decrypt on resource: ${keyArn} because no identity-based policy allows the kms:Decrypt action`],
  ['a named key without a word of its policy', 'no-resource-allow', 'kms:Decrypt', own,
    `kms:Decrypt on resource: ${keyArn} because no resource-based policy allows the kms:Decrypt action`],
  ['a named key with an identity Deny', 'explicit-deny-identity', 'kms:Sign', own,
    `kms:Sign on resource: ${keyArn} with an explicit deny in an identity-based policy`],
  ['a named key with a Deny in its policy', 'explicit-deny-resource', 'kms:Sign', own,
    `kms:Sign on resource: ${keyArn} with an explicit deny in a resource-based policy`],
  ['an action of the account', 'no-identity-allow', 'kms:CreateKey', { kind: 'account' },
    'kms:CreateKey on resource: * because no identity-based policy allows the kms:CreateKey action'],
  ['an action of the account with an identity Deny', 'explicit-deny-identity', 'kms:ListKeys', { kind: 'account' },
    'kms:ListKeys on resource: * with an explicit deny in an identity-based policy'],
  ['tags at creation', 'no-identity-allow', 'kms:TagResource', { kind: 'creation' },
    'kms:TagResource because no identity-based policy allows the kms:TagResource action'],
  ['tags at creation with an identity Deny', 'explicit-deny-identity', 'kms:TagResource', { kind: 'creation' },
    'kms:TagResource with an explicit deny in an identity-based policy'],
  ['another account\'s key that does not let in', 'no-resource-allow', 'kms:DescribeKey', foreign,
    `kms:DescribeKey on this resource ${hidden}`],
  ['another account\'s key that denies', 'explicit-deny-resource', 'kms:DescribeKey', foreign,
    `kms:DescribeKey on this resource ${hidden}`],
  ['another account\'s key that lets in, without an identity allow', 'no-identity-allow', 'kms:Decrypt', foreign,
    `kms:Decrypt on resource: ${keyArn} because no identity-based policy allows the kms:Decrypt action`],
  ['another account\'s key with an identity Deny', 'explicit-deny-identity', 'kms:Decrypt', foreign,
    'kms:Decrypt on this resource with an explicit deny in an identity-based policy'],
  ['a ciphertext\'s key without an identity allow', 'no-identity-allow', 'kms:Decrypt', { kind: 'ciphertext', own: true },
    'kms:Decrypt on the resource associated with this ciphertext because no identity-based policy allows the kms:Decrypt action'],
  ['a ciphertext\'s key with an identity Deny', 'explicit-deny-identity', 'kms:Decrypt', { kind: 'ciphertext', own: true },
    'kms:Decrypt on the resource associated with this ciphertext with an explicit deny in an identity-based policy'],
  ['a ciphertext\'s key of another account', 'no-resource-allow', 'kms:ReEncryptFrom', { kind: 'ciphertext', own: false },
    `kms:ReEncryptFrom on the resource associated with this ciphertext ${hidden}`],
]

describe('the text of a denial', () => {
  test.each(rows)('for %s', (_, reason, action, subject, expected) => {
    expect(accessDenied(reason, { callerArn: user, action, subject })).toMatchObject({
      code: 'AccessDeniedException', status: 400, text: `User: ${user} is not authorized to perform: ${expected}`,
    })
  })
})

test('a key of another account that denies and one that does not exist get the same words', () => {
  const absent: Subject = { kind: 'named', arn: 'arn:aws:kms:eu-central-1:444455556666:alias/none', own: false }
  const request = { callerArn: user, action: 'kms:Encrypt' }
  const texts = new Set((['explicit-deny-resource', 'no-resource-allow'] as const).flatMap((reason) =>
    [foreign, absent].map((subject) => accessDenied(reason, { ...request, subject }).text)))
  expect(texts.size).toBe(1)
})
