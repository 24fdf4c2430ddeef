import { describe, expect, it } from 'vitest'
import { KmsError } from '../../src/errors.ts'
import { checkAliasName } from '../../src/operations/alias-name.ts'

function refusal(name: string): readonly [code: string, text: string | undefined] | undefined {
  try {
    checkAliasName(name)
    return undefined
  } catch (thrown) {
    if (!(thrown instanceof KmsError)) throw thrown
    return [thrown.code, thrown.text]
  }
}

describe('checkAliasName', () => {
  it.each(['alias/a', 'alias/A-Z_0/9', 'alias/a/b/c', 'alias//', 'alias/alias/x', 'alias/awsome', 'alias/AWS/x', 'alias/aws', 'alias/x/aws/y'])('takes %s', name => {
    expect(refusal(name)).toBeUndefined()
  })

  it.each(['a', 'alias', 'Alias/x', 'ALIAS/x', '/alias/x', 'alia/s', 'aws/x', 'alias-x'])('refuses %s, which lacks the prefix', name => {
    expect(refusal(name)).toEqual(['ValidationException', 'Alias must start with the prefix "alias/". Please see https://docs.aws.amazon.com/kms/latest/developerguide/kms-alias.html'])
  })

  it.each(['alias/aws/', 'alias/aws/s3', 'alias/aws/a:b'])('refuses %s, which is reserved for AWS services, without a word', name => {
    expect(refusal(name)).toEqual(['NotAuthorizedException', undefined])
  })

  it.each(['alias/', 'alias/a:b', 'alias/:', 'alias/a\n', 'alias/ä', 'alias/a b'])('refuses %j, which the model lets pass or a looser reading would', name => {
    expect(refusal(name)).toEqual(['InvalidAliasNameException', 'The request was rejected because the specified alias name is not valid.'])
  })
})
