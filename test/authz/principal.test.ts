import { describe, expect, test } from 'vitest'
import { readPrincipals, spared, standing } from '../../src/authz/principal.ts'
import { callerNamed } from './cases.ts'

const named = (...arns: string[]) => readPrincipals({ AWS: arns })

describe('the standing of a caller', () => {
  test.each([
    ['arn:aws:iam::111122223333:user/alice', 'alice', 'direct'],
    ['arn:aws:iam::111122223333:user/Alice', 'alice', 'none'],
    ['arn:aws:iam::111122223333:user/bob', 'bob', 'none'],
    ['arn:aws:iam::111122223333:root', 'alice', 'delegated'],
    ['arn:aws:iam::111122223333:root', 'app', 'delegated'],
    ['arn:aws:iam::111122223333:root', 'root', 'direct'],
    ['111122223333', 'root', 'direct'],
    ['111122223333', 'mallory', 'none'],
    ['444455556666', 'root', 'none'],
    ['arn:aws:iam::111122223333:role/App', 'app', 'direct'],
    ['arn:aws:sts::111122223333:assumed-role/App/i-0123', 'app', 'direct'],
    ['arn:aws:sts::111122223333:assumed-role/App/i-9999', 'app', 'none'],
    ['arn:aws:iam::111122223333:user/alice', 'root', 'none'],
    ['*', 'mallory', 'direct'],
  ])('with %s as principal, for %s, is %s', (principal, caller, expected) => {
    expect(standing(named(principal), callerNamed(caller))).toBe(expected)
  })

  test('is direct where both the account and the caller are named', () => {
    expect(standing(named('111122223333', 'arn:aws:iam::111122223333:user/alice'), callerNamed('alice'))).toBe('direct')
  })

  test('is none with services and identity providers as principals', () => {
    expect(standing(readPrincipals({ Service: 's3.amazonaws.com', Federated: 'accounts.google.com' }), callerNamed('root'))).toBe('none')
  })
})

describe('a caller under NotPrincipal', () => {
  const user = 'arn:aws:iam::111122223333:user/alice'
  const session = 'arn:aws:sts::111122223333:assumed-role/App/i-0123'
  const role = 'arn:aws:iam::111122223333:role/App'
  test.each([
    ['alice', [user, '111122223333'], true],
    ['alice', [user], false],
    ['alice', ['111122223333'], false],
    ['root', ['111122223333'], true],
    ['root', [user], false],
    ['app', [role, '111122223333'], true],
    ['app', [session, '111122223333'], false],
    ['app', [session, role, '111122223333'], true],
    ['app', [session, role], false],
    ['mallory', ['*'], true],
  ])('%s with %j listed is spared: %j', (caller, listed, expected) => {
    expect(spared(named(...listed), callerNamed(caller))).toBe(expected)
  })
})
