import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest'
import { defaultKeyPolicy } from '../../src/authz/default-policy.ts'
import { admin, deniedByKey, deniedOn, deniedUnseen, noIdentityPolicy, noKeyPolicy } from '../support/denials.ts'
import { expectRefusal, openScene, policyOf, statement, success, type Json, type Reply, type Scene, type TestKey } from '../support/scene.ts'
import { commonSections } from '../support/sections.ts'

let scene: Scene
const { account, identities } = inject('installation')
const { plain, root, foreign } = identities

beforeAll(async () => {
  scene = await openScene()
})
afterAll(() => scene.close())

const everyone = statement('Allow', 'kms:*', { AWS: `arn:aws:iam::${account}:root` })
const open = JSON.stringify(policyOf(everyone))

commonSections('GetKeyPolicy', () => scene, ({ key }) => ({ KeyId: key.id }))
commonSections('PutKeyPolicy', () => scene, async ({ key }) => {
  await scene.setState(key.id, 'Enabled')
  return { KeyId: key.id, Policy: open }
})
commonSections('ListKeyPolicies', () => scene, ({ key }) => ({ KeyId: key.id }))

const put = (KeyId: string, policy: Json | string, input: Json = {}, as?: typeof plain): Promise<Reply> =>
  scene.call('PutKeyPolicy', { KeyId, Policy: typeof policy === 'string' ? policy : JSON.stringify(policy), ...input }, as)
const get = async (KeyId: string): Promise<Json> => success(await scene.call('GetKeyPolicy', { KeyId }))
const encrypt = (KeyId: string, as?: typeof plain): Promise<Reply> => scene.call('Encrypt', { KeyId, Plaintext: 'aGVsbG8=' }, as)

describe('GetKeyPolicy: behaviour', () => {
  it('prints the default policy as AWS does', async () => {
    const { id } = await scene.newKey()
    expect(await get(id)).toEqual({ Policy: defaultKeyPolicy(account), PolicyName: 'default' })
  })

  it('prints what was put, laid out anew, in the order in which it was put', async () => {
    const { id } = await scene.newKey()
    success(await put(id, '\t{"Statement":{"Resource":["*"],"Principal":{"AWS":["111122223333","arn:aws:iam::111122223333:user/admin"]},"Action":"kms:*","Effect":"Allow","Sid":"x: {y}"},\r\n"Version":"2012-10-17","Id":"b"}'))
    expect((await get(id)).Policy).toBe(`{
  "Statement" : {
    "Resource" : [ "*" ],
    "Principal" : {
      "AWS" : [ "111122223333", "arn:aws:iam::111122223333:user/admin" ]
    },
    "Action" : "kms:*",
    "Effect" : "Allow",
    "Sid" : "x: {y}"
  },
  "Version" : "2012-10-17",
  "Id" : "b"
}`)
  })

  it('what it prints can be put again, and then prints the same', async () => {
    const { id } = await scene.newKey()
    const { Policy } = await get(id)
    success(await put(id, String(Policy)))
    expect((await get(id)).Policy).toBe(Policy)
  })

  it.each(['default', undefined])('knows the policy %j and no other', async PolicyName => {
    const { id } = await scene.newKey()
    expect(success(await scene.call('GetKeyPolicy', { KeyId: id, PolicyName }))).toMatchObject({ PolicyName: 'default' })
    for (const other of ['AWS_RAM', 'Default', 'other']) expectRefusal(await scene.call('GetKeyPolicy', { KeyId: id, PolicyName: other }), 'NotFoundException', 'No such policy exists')
  })
})

describe('ListKeyPolicies: behaviour', () => {
  it('answers the one name, whatever the page', async () => {
    const { id, arn } = await scene.newKey()
    for (const input of [{ KeyId: id }, { KeyId: arn, Limit: 1 }, { KeyId: id, Limit: 1000 }]) expect(success(await scene.call('ListKeyPolicies', input))).toEqual({ PolicyNames: ['default'], Truncated: false })
  })
})

const invalidPrincipals = 'Policy contains a statement with one or more invalid principals.'
const noPrincipal = 'Policy contains a statement with no principal.'
const invalidArn = 'An ARN in the specified key policy is invalid.'
const lockout = 'The new key policy will not allow you to update the key policy in the future.'
const naming = (AWS: unknown): Json => policyOf(everyone, statement('Allow', 'kms:Encrypt', { AWS }))
const ofBytes = (length: number): string => open + ' '.repeat(length - open.length)

describe('PutKeyPolicy: what is no policy', () => {
  let key: TestKey
  beforeAll(async () => {
    key = await scene.newKey()
  })

  it.each<readonly [what: string, policy: Json | string, type: string, text: string | undefined]>([
    ['no JSON', 'allow everybody', 'MalformedPolicyDocumentException', undefined],
    ['cut short', open.slice(0, -1), 'MalformedPolicyDocumentException', undefined],
    ['a JSON list', '[]', 'MalformedPolicyDocumentException', undefined],
    ['a JSON string', '"x"', 'MalformedPolicyDocumentException', undefined],
    ['null', 'null', 'MalformedPolicyDocumentException', undefined],
    ['an empty object', '{}', 'MalformedPolicyDocumentException', undefined],
    ['no statement in it', policyOf(), 'MalformedPolicyDocumentException', undefined],
    ['an unknown member', { ...policyOf(everyone), Extra: 1 }, 'MalformedPolicyDocumentException', undefined],
    ['a member twice', open.replace('"Effect":"Allow"', '"Effect":"Allow","Effect":"Deny"'), 'MalformedPolicyDocumentException', undefined],
    ['an unknown effect', policyOf({ ...everyone, Effect: 'allow' }), 'MalformedPolicyDocumentException', undefined],
    ['an unknown version', { ...policyOf(everyone), Version: '2012-10-18' }, 'MalformedPolicyDocumentException', undefined],
    ['a statement without a principal', policyOf(everyone, { Effect: 'Allow', Action: 'kms:*', Resource: '*' }), 'MalformedPolicyDocumentException', noPrincipal],
    ['a user that does not exist', naming(`arn:aws:iam::${account}:user/nobody`), 'MalformedPolicyDocumentException', invalidPrincipals],
    ['a user of another account here that does not exist', naming(`arn:aws:iam::${foreign.accountId}:user/nobody`), 'MalformedPolicyDocumentException', invalidPrincipals],
    ['one of several users that does not exist', naming([admin.arn, `arn:aws:iam::${account}:user/nobody`]), 'MalformedPolicyDocumentException', invalidPrincipals],
    ['a user under another path', naming(`arn:aws:iam::${account}:user/team/admin`), 'MalformedPolicyDocumentException', invalidPrincipals],
    ['a user in another case', naming(`arn:aws:iam::${account}:user/ADMIN`), 'MalformedPolicyDocumentException', invalidPrincipals],
    ['a pattern as a principal', naming(`arn:aws:iam::${account}:user/ad*`), 'MalformedPolicyDocumentException', invalidPrincipals],
    ['a group', naming(`arn:aws:iam::${account}:group/admins`), 'MalformedPolicyDocumentException', invalidPrincipals],
    ['a principal that is no name', naming('admin'), 'MalformedPolicyDocumentException', invalidPrincipals],
    ['a malformed ARN as a principal', naming('arn:aws:iam:'), 'InvalidArnException', invalidArn],
    ['a malformed ARN as a resource', policyOf(everyone, { ...everyone, Resource: 'arn:aws:kms' }), 'InvalidArnException', invalidArn],
    ['32,769 bytes', ofBytes(32_769), 'LimitExceededException', undefined],
    ['a policy that allows nobody anything', policyOf(statement('Deny', 'kms:*', '*')), 'MalformedPolicyDocumentException', lockout],
    ['one that leaves the caller out', policyOf(statement('Allow', 'kms:*', { AWS: plain.arn })), 'MalformedPolicyDocumentException', lockout],
    ['one that allows the caller all but PutKeyPolicy', policyOf(statement('Allow', ['kms:Get*', 'kms:Encrypt'], { AWS: admin.arn })), 'MalformedPolicyDocumentException', lockout],
    ['one that denies the caller PutKeyPolicy', policyOf(everyone, statement('Deny', 'kms:Put*', { AWS: admin.arn })), 'MalformedPolicyDocumentException', lockout],
    ['one that trusts another account alone', policyOf(statement('Allow', 'kms:*', { AWS: foreign.accountId })), 'MalformedPolicyDocumentException', lockout],
    ['one whose only Allow has a condition', policyOf({ ...everyone, Condition: { Bool: { 'aws:SecureTransport': 'true' } } }), 'MalformedPolicyDocumentException', lockout],
  ])('%s: refused, and the old policy stays', async (_what, policy, type, text) => {
    const before = await get(key.id)
    expectRefusal(await put(key.id, policy), type, text)
    expect(await get(key.id)).toEqual(before)
  })

  it('takes 32,768 bytes', async () => {
    success(await put(key.id, ofBytes(32_768)))
    expect(JSON.parse(String((await get(key.id)).Policy))).toEqual(JSON.parse(open))
  })

  it('refuses characters beyond U+00FF with the words of the model', async () => {
    const odd = open.replace('"kms:*"', '"kms:☃"')
    expectRefusal(await put(key.id, odd), 'ValidationException',
      `1 validation error detected: Value '${odd}' at 'policy' failed to satisfy constraint: Member must satisfy regular expression pattern: [\\u0009\\u000A\\u000D\\u0020-\\u00FF]+`)
  })

  it.each(['other', 'Default'])('refuses the name %s', async PolicyName => {
    expectRefusal(await put(key.id, open, { PolicyName }), 'UnsupportedOperationException')
  })

  it('refuses AWS_RAM, which is not the caller\'s to write', async () => {
    expectRefusal(await put(key.id, open, { PolicyName: 'AWS_RAM' }), 'ValidationException', 'The AWS_RAM policy can only be managed by the RAM service')
  })
})

describe('PutKeyPolicy: behaviour', () => {
  it('answers nothing, and the next request is decided by the new policy', async () => {
    const { id, arn } = await scene.newKey()
    expectRefusal(await encrypt(id, plain), 'AccessDeniedException', deniedOn(plain, 'kms:Encrypt', arn, noIdentityPolicy('kms:Encrypt')))
    const { status, text } = await put(id, policyOf(everyone, statement('Allow', 'kms:Encrypt', { AWS: plain.arn })), { PolicyName: 'default' })
    expect({ status, text }).toEqual({ status: 200, text: '' })
    success(await encrypt(id, plain))
    expectRefusal(await scene.call('DescribeKey', { KeyId: id }, plain), 'AccessDeniedException', deniedOn(plain, 'kms:DescribeKey', arn, noIdentityPolicy('kms:DescribeKey')))
    success(await put(id, open))
    expectRefusal(await encrypt(id, plain), 'AccessDeniedException', deniedOn(plain, 'kms:Encrypt', arn, noIdentityPolicy('kms:Encrypt')))
  })

  it('a Deny beats every Allow, for the root user and the administrator too', async () => {
    const { id, arn } = await scene.newKey({ Policy: JSON.stringify(policyOf(everyone, statement('Allow', 'kms:*', { AWS: plain.arn }), statement('Deny', 'kms:Encrypt', '*'))) })
    for (const who of [plain, root]) expectRefusal(await encrypt(id, who), 'AccessDeniedException', deniedOn(who, 'kms:Encrypt', arn, deniedByKey))
    expectRefusal(await encrypt(id), 'AccessDeniedException', deniedOn(admin, 'kms:Encrypt', arn, deniedByKey))
  })

  it('without the account in it identity policies count for nothing', async () => {
    const { id, arn } = await scene.newKey({ Policy: JSON.stringify(policyOf(statement('Allow', 'kms:*', { AWS: admin.arn }))) })
    await scene.setPolicy(policyOf(statement('Allow', '*')))
    for (const who of [plain, root]) expectRefusal(await encrypt(id, who), 'AccessDeniedException', deniedOn(who, 'kms:Encrypt', arn, noKeyPolicy('kms:Encrypt')))
    await scene.setPolicy(undefined)
    success(await encrypt(id))
  })

  it('locks everybody out with the safety check passed by, and then nobody can mend it', async () => {
    const { id, arn } = await scene.newKey()
    success(await put(id, policyOf(statement('Allow', 'kms:Encrypt', { AWS: plain.arn })), { BypassPolicyLockoutSafetyCheck: true }))
    success(await encrypt(id, plain))
    expectRefusal(await put(id, open), 'AccessDeniedException', deniedOn(admin, 'kms:PutKeyPolicy', arn, noKeyPolicy('kms:PutKeyPolicy')))
    expectRefusal(await put(id, open, { BypassPolicyLockoutSafetyCheck: true }, root), 'AccessDeniedException', deniedOn(root, 'kms:PutKeyPolicy', arn, noKeyPolicy('kms:PutKeyPolicy')))
  })

  it('the check that is passed by is the one against lockout, no other', async () => {
    const { id } = await scene.newKey()
    const input = { BypassPolicyLockoutSafetyCheck: true }
    expectRefusal(await put(id, '{}', input), 'MalformedPolicyDocumentException')
    expectRefusal(await put(id, naming(`arn:aws:iam::${account}:user/nobody`), input), 'MalformedPolicyDocumentException', invalidPrincipals)
    expectRefusal(await put(id, open, { BypassPolicyLockoutSafetyCheck: false, PolicyName: 'x' }), 'UnsupportedOperationException')
  })

  it('another account needs both sides', async () => {
    const { id, arn } = await scene.newKey()
    expectRefusal(await encrypt(arn, foreign), 'AccessDeniedException', deniedUnseen(foreign, 'kms:Encrypt'))
    success(await put(id, policyOf(everyone, statement('Allow', 'kms:Encrypt', { AWS: foreign.accountId }))))
    success(await encrypt(arn, foreign))
    expectRefusal(await scene.call('DescribeKey', { KeyId: arn }, foreign), 'AccessDeniedException', deniedUnseen(foreign, 'kms:DescribeKey'))
    // The other way round: the key policy of the other account names the user, whose own account has given nothing.
    const theirs = await scene.newKey({ Policy: JSON.stringify(policyOf(statement('Allow', 'kms:*', { AWS: [foreign.accountId, plain.arn] }))) }, foreign)
    expectRefusal(await encrypt(theirs.arn, plain), 'AccessDeniedException', deniedOn(plain, 'kms:Encrypt', theirs.arn, noIdentityPolicy('kms:Encrypt')))
    await scene.setPolicy(policyOf({ Effect: 'Allow', Action: 'kms:Encrypt', Resource: theirs.arn }))
    success(await encrypt(theirs.arn, plain))
    await scene.setPolicy(undefined)
  })

  it('never lets another account read or write the policy, whatever the policy says', async () => {
    const { arn } = await scene.newKey({ Policy: JSON.stringify(policyOf(everyone, statement('Allow', 'kms:*', { AWS: foreign.accountId }))) })
    expectRefusal(await scene.call('GetKeyPolicy', { KeyId: arn }, foreign), 'AccessDeniedException', deniedUnseen(foreign, 'kms:GetKeyPolicy'))
    expectRefusal(await put(arn, open, {}, foreign), 'AccessDeniedException', deniedUnseen(foreign, 'kms:PutKeyPolicy'))
    expectRefusal(await scene.call('ListKeyPolicies', { KeyId: arn }, foreign), 'AccessDeniedException', deniedUnseen(foreign, 'kms:ListKeyPolicies'))
  })

  it('takes principals that this deployment cannot know: roles, and users of accounts that it does not hold', async () => {
    const { id } = await scene.newKey()
    success(await put(id, naming([`arn:aws:iam::${account}:role/ci`, 'arn:aws:iam::999900001111:user/elsewhere', 'arn:aws:iam::999900001111:root', admin.arn, foreign.arn])))
  })
})
