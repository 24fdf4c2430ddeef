import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type AuthorizationRequest, decide, type Permission } from '../../src/authz/decide.ts'
import { denyAll } from '../../src/authz/policy.ts'
import type { Caller } from '../../src/authz/principal.ts'
import { callerNamed, decideCase, decisionTables, identityPolicy, keyArn, keyPolicy, owner } from './cases.ts'

const permissions: readonly string[] = ['key-policy', 'identity-policy', 'key-and-identity-policy', 'root-user'] satisfies Permission[]

for (const table of decisionTables) {
  describe(table.title, () => {
    for (const row of table.cases) {
      test(row.name, () => {
        const expected = permissions.includes(row.expect) ? { allowed: true, by: row.expect } : { allowed: false, reason: row.expect }
        expect(decideCase(table, row)).toEqual(expected)
      })
    }
  })
}

const request = (part: Partial<AuthorizationRequest>): AuthorizationRequest => ({
  caller: callerNamed('alice'), action: 'kms:Decrypt', resource: keyArn, ownerAccountId: owner,
  identityPolicies: [], keyPolicy: undefined, context: new Map(), ...part,
})
const all = identityPolicy({ Effect: 'Allow', Action: '*', Resource: '*' })

describe('denyAll', () => {
  test('as a key policy denies the root user', () => {
    const decision = decide(request({ caller: callerNamed('root'), keyPolicy: denyAll }))
    expect(decision).toEqual({ allowed: false, reason: 'explicit-deny-resource' })
  })

  test('as an identity policy denies beside a policy that allows everything', () => {
    const decision = decide(request({ action: 'kms:CreateKey', resource: '*', identityPolicies: [all, denyAll] }))
    expect(decision).toEqual({ allowed: false, reason: 'explicit-deny-identity' })
  })
})

test('a policy is found among many identity policies', () => {
  const one = identityPolicy({ Effect: 'Allow', Action: 'kms:ListKeys', Resource: '*' })
  const other = identityPolicy({ Effect: 'Allow', Action: 'kms:CreateKey', Resource: '*' })
  const decision = decide(request({ action: 'kms:CreateKey', resource: '*', identityPolicies: [one, other] }))
  expect(decision).toEqual({ allowed: true, by: 'identity-policy' })
})

// Statements over few actions, resources and principals, so that they often meet the request.
const actions = fc.constantFrom('*', 'kms:*', 'kms:Decrypt', 'KMS:de*', 'kms:Encrypt', 'kms:?ecrypt', 's3:*')
const resources = fc.constantFrom('*', keyArn, 'arn:aws:kms:*:key/*', 'arn:aws:kms:eu-central-1:111122223333:alias/*')
const principals = fc.constantFrom<unknown>(
  '*', { AWS: '111122223333' }, { AWS: 'arn:aws:iam::444455556666:root' }, { AWS: 'arn:aws:iam::111122223333:user/alice' },
  { AWS: ['arn:aws:iam::111122223333:role/App', 'arn:aws:iam::111122223333:user/team/bob'] }, { Service: 's3.amazonaws.com' },
)
const effects = fc.constantFrom('Allow', 'Deny')
const body = fc.oneof(
  fc.record({ Action: actions, Resource: resources }),
  fc.record({ NotAction: actions, Resource: resources }),
  fc.record({ Action: actions, NotResource: resources }),
)
const identityStatement = fc.tuple(effects, body).map(([Effect, rest]): object => ({ Effect, ...rest }))
const keyStatement = fc.tuple(effects, body, principals).map(([Effect, rest, Principal]): object => ({ Effect, ...rest, Principal }))
const caller = fc.constantFrom('root', 'alice', 'bob', 'app', 'mallory', 'mallory-root').map(callerNamed)
const situation = fc.record({
  caller,
  action: fc.constantFrom('kms:Decrypt', 'kms:Encrypt'),
  identity: fc.array(identityStatement, { minLength: 1, maxLength: 3 }),
  key: fc.array(keyStatement, { minLength: 1, maxLength: 4 }),
})

interface Situation {
  caller: Caller
  action: string
  identity: readonly object[]
  key: readonly object[]
}

const decideSituation = ({ caller, action, identity, key }: Situation) =>
  decide(request({ caller, action, identityPolicies: identity.map(identityPolicy), keyPolicy: keyPolicy({ Statement: key }) }))

describe('for any policies', () => {
  test('a Deny that speaks of the request wins wherever it stands', () => {
    fc.assert(fc.property(situation, fc.nat(), fc.boolean(), (policies, at, inKey) => {
      const denial = { Effect: 'Deny', Action: policies.action, Resource: '*' }
      const changed = inKey
        ? { ...policies, key: policies.key.toSpliced(at % (policies.key.length + 1), 0, { ...denial, Principal: '*' }) }
        : { ...policies, identity: policies.identity.toSpliced(at % (policies.identity.length + 1), 0, denial) }
      expect(decideSituation(changed)).toMatchObject({ allowed: false, reason: expect.stringMatching(/^explicit-deny-/) as string })
    }))
  })

  test('adding an Allow never turns an allow into a denial', () => {
    fc.assert(fc.property(situation, body, principals, fc.boolean(), (policies, rest, Principal, inKey) => {
      fc.pre(decideSituation(policies).allowed)
      const added = { Effect: 'Allow', ...rest }
      const changed = inKey
        ? { ...policies, key: [...policies.key, { ...added, Principal }] }
        : { ...policies, identity: [...policies.identity, added] }
      expect(decideSituation(changed).allowed).toBe(true)
    }))
  })

  test('the order of statements and of policies does not matter', () => {
    fc.assert(fc.property(situation, (policies) => {
      const turned = { ...policies, key: policies.key.toReversed(), identity: policies.identity.toReversed() }
      expect(decideSituation(turned)).toEqual(decideSituation(policies))
    }))
  })

  test('nothing is allowed without an Allow that speaks of the request in the key policy', () => {
    fc.assert(fc.property(situation, (policies) => {
      const silent = { ...policies, key: policies.key.map((statement) => ({ ...statement, Effect: 'Deny' })) }
      expect(decideSituation(silent).allowed).toBe(false)
    }))
  })

  test('a caller of another account gets nothing from identity policies or key policy alone', () => {
    fc.assert(fc.property(situation, (policies) => {
      const foreign = { ...policies, caller: callerNamed('mallory') }
      fc.pre(decideSituation(foreign).allowed)
      expect(decideSituation({ ...foreign, identity: [{ Effect: 'Allow', Action: 's3:*', Resource: '*' }] }).allowed).toBe(false)
      expect(decideSituation({ ...foreign, key: [{ Effect: 'Allow', Action: 's3:*', Resource: '*', Principal: '*' }] }).allowed).toBe(false)
    }))
  })
})
