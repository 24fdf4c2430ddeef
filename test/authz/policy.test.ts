import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { compilePolicy } from '../../src/authz/policy.ts'
import { defaultKeyPolicy } from '../../src/authz/default-policy.ts'
import { documentCases } from './cases.ts'
import { refusal } from './refusal.ts'

for (const kind of ['key', 'identity'] as const) {
  describe(`a document of kind ${kind}`, () => {
    for (const row of documentCases.filter((entry) => entry.kind === kind)) {
      const expected = row.error === null ? undefined : { code: row.error.code, text: row.error.text ?? undefined }
      test(`with ${row.name} is ${expected === undefined ? 'taken' : `refused with ${expected.code}`}`, () => {
        expect(refusal(() => compilePolicy(row.text ?? JSON.stringify(row.document), kind))).toEqual(expected)
      })
    }
  })
}

describe('the size of a document', () => {
  const padded = (bytes: number): string => {
    const document = defaultKeyPolicy('111122223333')
    return document + ' '.repeat(bytes - Buffer.byteLength(document))
  }

  test('may be 32,768 bytes in a key policy', () => {
    expect(compilePolicy(padded(32_768), 'key').allows).toHaveLength(1)
  })

  test('over 32,768 bytes in a key policy is refused before it is read', () => {
    expect(refusal(() => compilePolicy(padded(32_769), 'key'))).toEqual({ code: 'LimitExceededException', text: undefined })
    expect(refusal(() => compilePolicy('{'.repeat(32_769), 'key'))).toEqual({ code: 'LimitExceededException', text: undefined })
  })

  test('counts bytes, not characters', () => {
    expect(refusal(() => compilePolicy('é'.repeat(16_385), 'key'))).toEqual({ code: 'LimitExceededException', text: undefined })
  })

  test('over 131,072 bytes in an identity policy is refused', () => {
    expect(refusal(() => compilePolicy(' '.repeat(131_073), 'identity'))).toEqual({ code: 'LimitExceededException', text: undefined })
  })
})

describe('a hostile document', () => {
  const malformed = { code: 'MalformedPolicyDocumentException', text: undefined }

  test('of nested lists is refused', () => {
    expect(refusal(() => compilePolicy('['.repeat(16_000) + ']'.repeat(16_000), 'key'))).toEqual(malformed)
  })

  test('of nested objects in a Condition is refused', () => {
    const nested = '{"a":'.repeat(5_000) + '1' + '}'.repeat(5_000)
    const document = `{"Statement":{"Effect":"Deny","Principal":"*","Action":"kms:*","Resource":"*","Condition":${nested}}}`
    expect(refusal(() => compilePolicy(document, 'key'))).toEqual(malformed)
  })

  test.each([
    ['stars and a line break in a resource', `arn:${'*'.repeat(130_000)}\\n`],
    ['open variables in a resource', `arn:aws:kms:::${'${'.repeat(65_000)}`],
  ])('of %s compiles at once', (_, resource) => {
    const document = `{"Version":"2012-10-17","Statement":{"Effect":"Deny","Action":"kms:*","Resource":"${resource}"}}`
    const started = performance.now()
    expect(compilePolicy(document, 'identity').denies).toHaveLength(1)
    expect(performance.now() - started).toBeLessThan(1_000)
  })
})

test('the ARNs that a key policy names are listed, accounts and services are not', () => {
  const user = 'arn:aws:iam::111122223333:user/alice'
  const role = 'arn:aws:iam::111122223333:role/App'
  const policy = compilePolicy(JSON.stringify({
    Statement: [
      { Effect: 'Allow', Principal: { AWS: ['111122223333', user], Service: 's3.amazonaws.com' }, Action: 'kms:*' },
      { Effect: 'Deny', NotPrincipal: { AWS: ['arn:aws:iam::111122223333:root', role] }, Action: 'kms:*', Resource: '*' },
    ],
  }), 'key')
  expect([...policy.principalArns]).toEqual([user, role])
})

describe('any JSON', () => {
  const codes = ['MalformedPolicyDocumentException', 'InvalidArnException', undefined]
  const value = fc.jsonValue({ maxDepth: 3 })
  const patterns = fc.oneof(fc.string(), fc.constantFrom('*', 'kms:*', 'arn:aws:kms:*:key/*', 'arn:'), fc.array(fc.string()), value)
  const statement = fc.record({
    Sid: fc.oneof(fc.string(), value), Effect: fc.constantFrom<unknown>('Allow', 'Deny', null, 'allow'),
    Principal: fc.oneof(fc.constantFrom<unknown>('*', { AWS: '111122223333' }, { AWS: [] }, { AWS: 'arn:aws' }), value),
    NotPrincipal: fc.oneof(fc.constantFrom<unknown>({ AWS: '111122223333' }), value),
    Action: patterns, NotAction: patterns, Resource: patterns, NotResource: patterns, Condition: fc.oneof(fc.constant({}), value),
  }, { requiredKeys: ['Effect'] })
  const document = fc.record({
    Version: fc.constantFrom<unknown>('2012-10-17', '2008-10-17', 1),
    Statement: fc.oneof(statement, fc.array(statement, { maxLength: 3 }), value),
  }, { requiredKeys: [] })

  test.each(['key', 'identity'] as const)('compiles as a policy of kind %s or is refused with a code of AWS', (kind) => {
    fc.assert(fc.property(fc.oneof(value, document), (content) => {
      expect(codes).toContain(refusal(() => compilePolicy(JSON.stringify(content), kind))?.code)
    }), { numRuns: 2_000 })
  })

  test('text that is no JSON is refused as malformed', () => {
    fc.assert(fc.property(fc.string({ maxLength: 50 }).filter((text) => !/^\s*[\d"[{tfn-]/.test(text)), (text) => {
      expect(refusal(() => compilePolicy(text, 'key'))?.code).toBe('MalformedPolicyDocumentException')
    }))
  })
})
