import { expect, test } from 'vitest'
import { defaultKeyPolicy } from '../../src/authz/default-policy.ts'

test('the default key policy is the one that CreateKey attaches', () => {
  expect(JSON.parse(defaultKeyPolicy('111122223333'))).toEqual({
    Version: '2012-10-17',
    Id: 'key-default-1',
    Statement: [{
      Sid: 'Enable IAM User Permissions',
      Effect: 'Allow',
      Principal: { AWS: 'arn:aws:iam::111122223333:root' },
      Action: 'kms:*',
      Resource: '*',
    }],
  })
})

test('it is indented as GetKeyPolicy prints documents', () => {
  expect(defaultKeyPolicy('111122223333').split('\n').slice(0, 4)).toEqual([
    '{', '  "Version" : "2012-10-17",', '  "Id" : "key-default-1",', '  "Statement" : [ {',
  ])
})
