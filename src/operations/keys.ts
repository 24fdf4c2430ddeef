// CreateKey, DescribeKey, ListKeys.
import { randomBytes } from 'node:crypto'
import { defaultKeyPolicy } from '../authz/default-policy.ts'
import { refuseLockout } from '../authz/lockout.ts'
import { compilePolicy } from '../authz/policy.ts'
import { newCkaId } from '../effects/cka-id.ts'
import { KmsError } from '../errors.ts'
import { keyArn, newKeyId } from '../keys/identifier.ts'
import type { Key } from '../keys/key.ts'
import { keySpecNames, keyUsages, namesMaterial } from '../keys/spec.ts'
import { boolean, enumeration, list, required, text } from '../shape/shape.ts'
import { lockAccount } from '../store/identities.ts'
import { countKeys, insertKey, listKeys } from '../store/keys.ts'
import { putKeyPolicy } from '../store/policies.ts'
import { putTags } from '../store/tags.ts'
import { checkDescription } from './description.ts'
import { customKeyStoreId, description, grantTokens, keyId, limit, listedKeySpecs, listedKeyUsages, marker, policy } from './members.ts'
import { keyMetadata } from './metadata.ts'
import { residencyOf } from './makeable-key.ts'
import { from, operation } from './operation.ts'
import { cutPage, readPage } from './paging.ts'
import { refuseUnbuilt, specOf, usageOf } from './new-key.ts'
import { requirePrincipals } from './policy-principals.ts'
import { readTags, tag } from './tag-rules.ts'

const deprecatedSpecs = keySpecNames.filter(name => !/^(ML_|ECC_NIST_EDWARDS)/.test(name))

export const CreateKey = operation({
  kind: 'provision',
  input: {
    Policy: policy,
    Description: description,
    KeyUsage: enumeration(keyUsages, { listed: listedKeyUsages }),
    CustomerMasterKeySpec: enumeration(deprecatedSpecs, { listed: listedKeySpecs.slice(0, 13) }),
    KeySpec: enumeration(keySpecNames, { listed: listedKeySpecs }),
    Origin: enumeration(['AWS_KMS', 'EXTERNAL', 'AWS_CLOUDHSM', 'EXTERNAL_KEY_STORE']),
    CustomKeyStoreId: customKeyStoreId,
    BypassPolicyLockoutSafetyCheck: boolean(),
    Tags: list(tag),
    MultiRegion: boolean(),
    XksKeyId: text({ min: 1, max: 128, pattern: '^[a-zA-Z0-9-_.]+$' }),
  },
  needs: {},
  account: [
    { permission: 'kms:CreateKey' },
    { permission: 'kms:TagResource', when: ({ Tags = [] }) => Tags.length > 0, subject: 'creation' },
  ],
  readOnly: false,
  defaults: { Description: '', Origin: 'AWS_KMS', MultiRegion: false, BypassPolicyLockoutSafetyCheck: false },
  audit: ['Policy', 'Description', 'KeyUsage', 'CustomerMasterKeySpec', 'KeySpec', 'Origin', 'CustomKeyStoreId', 'BypassPolicyLockoutSafetyCheck', 'Tags', 'MultiRegion', 'XksKeyId'],
  check(input) {
    usageOf(input)
    checkDescription(input.Description)
    readTags(input.Tags)
    refuseUnbuilt(input)
  },
  async handle({ input, caller, locale, tx, plan, notes, settings }) {
    const residency = residencyOf(settings, specOf(input), usageOf(input))
    const id = newKeyId()
    const arn = keyArn(locale.region, locale.accountId, id)
    const document = input.Policy ?? defaultKeyPolicy(locale.accountId)
    const compiled = compilePolicy(document, 'key')
    await requirePrincipals(tx, compiled.principalArns)
    if (input.BypassPolicyLockoutSafetyCheck !== true) refuseLockout(compiled, caller, arn)
    await lockAccount(tx, locale.accountId)
    if (await countKeys(tx, locale.accountId) >= settings.keyQuota) throw new KmsError('LimitExceededException')

    const spec = specOf(input)
    const usage = usageOf(input)
    const key = await insertKey(tx, {
      id, accountId: locale.accountId, region: locale.region, spec, usage, origin: 'AWS_KMS', state: 'Creating', description: input.Description ?? '', multiRegion: false, manager: 'CUSTOMER',
    })
    await putKeyPolicy(tx, id, document)
    await putTags(tx, id, readTags(input.Tags))
    const materialId = randomBytes(32)
    await plan({
      accountId: key.accountId, region: key.region, keyId: id, materialId, backing: 1, origin: key.origin, spec, usage,
      cipherMode: spec === 'SYMMETRIC_DEFAULT' ? settings.cipherMode : 'none', residency, ckaId: newCkaId(residency),
    })
    // What the key will be once its material is confirmed: the answer leaves only then.
    const made: Key = { ...key, state: 'Enabled', currentMaterialId: namesMaterial(spec) ? materialId : null }
    const metadata = keyMetadata(made)
    notes.resources = [{ accountId: key.accountId, arn }]
    notes.responseElements = { keyMetadata: metadata }
    return { KeyMetadata: metadata }
  },
})

export const DescribeKey = operation({
  kind: 'read',
  input: { KeyId: required(keyId), GrantTokens: grantTokens },
  needs: {
    key: { key: from('KeyId'), permission: 'kms:DescribeKey', states: 'any', aliases: true, otherAccounts: true, grantable: true },
  },
  readOnly: true,
  audit: [],
  // The row comes with the key: no look-up is left to do.
  handle: ({ keys }) => Promise.resolve({ KeyMetadata: keyMetadata(keys.key.key) }),
})

const defaultPage = 100

export const ListKeys = operation({
  kind: 'read',
  input: { Limit: limit, Marker: marker, ResourceOwners: list(enumeration(['SELF', 'OTHER_ACCOUNTS_VIA_RAM']), { min: 1, max: 2 }) },
  needs: {},
  account: [{ permission: 'kms:ListKeys' }],
  readOnly: true,
  audit: ['Limit', 'Marker', 'ResourceOwners'],
  async handle({ input, locale, db }) {
    const owners = [...new Set(input.ResourceOwners ?? ['SELF'])].sort()
    const listing = ['ListKeys', locale.accountId, ...owners]
    const page = readPage(listing, input.Marker, input.Limit, defaultPage)
    // No resource shares exist, so no key of another account is ever shared this way: that set is empty, not ignored.
    const found = owners.includes('SELF') ? await listKeys(db, locale.accountId, page.after, page.limit + 1) : []
    const { entries, more } = cutPage(listing, found, page.limit, key => key.id)
    return { Keys: entries.map(key => ({ KeyId: key.id, KeyArn: key.arn })), ...more }
  },
})
