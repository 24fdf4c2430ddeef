import { expect, it } from 'vitest'
import { denyAll } from '../../src/authz/policy.ts'
import { callerOf, userIdentity } from '../../src/identity/caller.ts'

const key = { id: 'AKIAIOSFODNN7EXAMPLE', accountId: '111122223333', policies: [denyAll] }
const user = { id: 'AIDACKCEVSQ6C2EXAMPLE', name: 'alice', path: '/team/a/' }

it('a user is known by an ARN with its path, its id, its name and its policies', () => {
  expect(callerOf({ ...key, userId: user.id, user })).toEqual({
    type: 'IAMUser',
    accountId: '111122223333',
    arn: 'arn:aws:iam::111122223333:user/team/a/alice',
    principalId: 'AIDACKCEVSQ6C2EXAMPLE',
    userName: 'alice',
    accessKeyId: 'AKIAIOSFODNN7EXAMPLE',
    identityPolicies: [denyAll],
  })
})

it('a root user is known by its account alone', () => {
  expect(callerOf({ ...key, userId: null, user: null })).toEqual({
    type: 'Root',
    accountId: '111122223333',
    arn: 'arn:aws:iam::111122223333:root',
    principalId: '111122223333',
    accessKeyId: 'AKIAIOSFODNN7EXAMPLE',
    identityPolicies: [],
  })
})

it.each([
  ['is gone', { userId: user.id, user: null }], ['is another', { userId: 'AIDAOTHER', user }], ['came with a root key', { userId: null, user }],
])('a key whose user %s makes no caller, least of all root', (_, owner) => {
  expect(() => callerOf({ ...key, ...owner })).toThrow(new Error('access key AKIAIOSFODNN7EXAMPLE came without its user'))
})

it('CloudTrail is told of a user with its name', () => {
  expect(JSON.stringify(userIdentity(callerOf({ ...key, userId: user.id, user: { ...user, path: '/' } })))).toBe(JSON.stringify({
    type: 'IAMUser',
    principalId: 'AIDACKCEVSQ6C2EXAMPLE',
    arn: 'arn:aws:iam::111122223333:user/alice',
    accountId: '111122223333',
    accessKeyId: 'AKIAIOSFODNN7EXAMPLE',
    userName: 'alice',
  }))
})

it('CloudTrail is told of a root user without one', () => {
  expect(userIdentity(callerOf({ ...key, userId: null, user: null }))).toEqual({
    type: 'Root',
    principalId: '111122223333',
    arn: 'arn:aws:iam::111122223333:root',
    accountId: '111122223333',
    accessKeyId: 'AKIAIOSFODNN7EXAMPLE',
  })
})
