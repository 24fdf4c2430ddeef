import { paginateListKeys } from '@aws-sdk/client-kms'
import { randomBytes, randomUUID } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest'
import { defaultKeyPolicy } from '../../src/authz/default-policy.ts'
import { insertKey } from '../../src/store/keys.ts'
import { findKeyPolicy } from '../../src/store/policies.ts'
import { kms } from '../support/aws.ts'
import { expectRefusal, keyArn, openScene, policyOf, statement, success, type Json, type Scene } from '../support/scene.ts'
import { commonSections } from '../support/sections.ts'

let scene: Scene
const { account, identities } = inject('installation')
const { plain, root, foreign } = identities

beforeAll(async () => {
  scene = await openScene()
})
afterAll(() => scene.close())

commonSections('CreateKey', () => scene, () => ({ Description: 'one', Tags: [{ TagKey: 'team', TagValue: 'blue' }] }))
commonSections('DescribeKey', () => scene, ({ key }) => ({ KeyId: key.id }))
commonSections('ListKeys', () => scene, () => ({}))

/** AWS KMS developer guide: the members that KeyMetadata always has. */
const always = ['AWSAccountId', 'Arn', 'CreationDate', 'CustomerMasterKeySpec', 'Description', 'Enabled', 'KeyId', 'KeyManager', 'KeySpec', 'KeyState', 'KeyUsage', 'MultiRegion', 'Origin']

const create = async (input: Json = {}): Promise<Json> => success(await scene.call('CreateKey', input)).KeyMetadata as Json
const describeKey = async (KeyId: unknown): Promise<Json> => success(await scene.call('DescribeKey', { KeyId })).KeyMetadata as Json
const keysOf = async (accountId: string): Promise<number> => (await scene.pool.query<{ n: number }>('SELECT count(*)::int AS n FROM keys WHERE account_id = $1', [accountId])).rows[0]?.n ?? 0
/** Keys listed to whoever asks, page by page. */
async function listed(input: Json = {}, as?: typeof plain): Promise<string[]> {
  const ids: string[] = []
  for (let marker: unknown; ;) {
    const { Keys, Truncated, NextMarker } = success(await scene.call('ListKeys', { ...input, ...(marker === undefined ? {} : { Marker: marker }) }, as)) as { Keys: { KeyId: string; KeyArn: string }[]; Truncated: boolean; NextMarker?: string }
    ids.push(...Keys.map(({ KeyId }) => KeyId))
    expect(Truncated).toBe(NextMarker !== undefined)
    if (!Truncated) return ids
    marker = NextMarker
  }
}

describe('CreateKey: behaviour', () => {
  it('answers exactly the members of a symmetric key of origin AWS_KMS', async () => {
    const before = Date.now() / 1000
    const metadata = await create()
    expect(Object.keys(metadata).sort()).toEqual([...always, 'CurrentKeyMaterialId', 'EncryptionAlgorithms'].sort())
    const { KeyId, CreationDate, CurrentKeyMaterialId, ...others } = metadata
    expect(KeyId).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
    expect(CurrentKeyMaterialId).toMatch(/^[0-9a-f]{64}$/)
    expect(CreationDate).toBeGreaterThanOrEqual(before - 1)
    expect(CreationDate).toBeLessThanOrEqual(Date.now() / 1000 + 1)
    expect(others).toEqual({
      AWSAccountId: account, Arn: keyArn(String(KeyId)), CustomerMasterKeySpec: 'SYMMETRIC_DEFAULT', KeySpec: 'SYMMETRIC_DEFAULT', Description: '', Enabled: true,
      KeyManager: 'CUSTOMER', KeyState: 'Enabled', KeyUsage: 'ENCRYPT_DECRYPT', MultiRegion: false, Origin: 'AWS_KMS', EncryptionAlgorithms: ['SYMMETRIC_DEFAULT'],
    })
  })

  it('makes each key anew, with a material of its own', async () => {
    const [first, second] = [await create({ Description: 'same' }), await create({ Description: 'same' })]
    expect(first.KeyId).not.toBe(second.KeyId)
    expect(first.CurrentKeyMaterialId).not.toBe(second.CurrentKeyMaterialId)
  })

  it('takes the deprecated CustomerMasterKeySpec alone, and refuses it beside KeySpec', async () => {
    expect(await create({ CustomerMasterKeySpec: 'SYMMETRIC_DEFAULT', KeyUsage: 'ENCRYPT_DECRYPT' })).toMatchObject({ KeySpec: 'SYMMETRIC_DEFAULT' })
    expectRefusal(await scene.call('CreateKey', { CustomerMasterKeySpec: 'SYMMETRIC_DEFAULT', KeySpec: 'SYMMETRIC_DEFAULT' }), 'ValidationException',
      'You cannot specify KeySpec and CustomerMasterKeySpec in the same request. CustomerMasterKeySpec is deprecated.')
  })

  it('keeps a description of any characters', async () => {
    const Description = 'Schlüssel 🔑 "quoted" \\ \n \u0001 '
    const { KeyId } = await create({ Description })
    expect(await describeKey(KeyId)).toMatchObject({ Description })
  })

  it('stores the default policy, or the one it is given, as it was sent', async () => {
    const { KeyId } = await create()
    expect(JSON.parse(await findKeyPolicy(scene.pool, String(KeyId)) ?? '')).toEqual({
      Version: '2012-10-17', Id: 'key-default-1',
      Statement: [{ Sid: 'Enable IAM User Permissions', Effect: 'Allow', Principal: { AWS: `arn:aws:iam::${account}:root` }, Action: 'kms:*', Resource: '*' }],
    })
    const Policy = ` ${JSON.stringify(policyOf(statement('Allow', 'kms:*', { AWS: account })))}\n`
    const { KeyId: own } = await create({ Policy })
    expect(await findKeyPolicy(scene.pool, String(own))).toBe(Policy)
  })

  it('puts the given policy in force from the first request on', async () => {
    const { KeyId } = await create({ Policy: JSON.stringify(policyOf(statement('Allow', 'kms:*', { AWS: account }), statement('Allow', 'kms:DescribeKey', { AWS: plain.arn }))) })
    success(await scene.call('DescribeKey', { KeyId }, plain))
    expect((await scene.call('Encrypt', { KeyId, Plaintext: 'aGVsbG8=' }, plain)).body).toMatchObject({ __type: 'AccessDeniedException' })
  })

  it('refuses a policy that locks its maker out, unless told to bypass the check', async () => {
    const locksOut = JSON.stringify(policyOf(statement('Allow', 'kms:*', { AWS: foreign.arn })))
    const before = await keysOf(account)
    expectRefusal(await scene.call('CreateKey', { Policy: locksOut }), 'MalformedPolicyDocumentException', 'The new key policy will not allow you to update the key policy in the future.')
    expectRefusal(await scene.call('CreateKey', { Policy: JSON.stringify(policyOf(statement('Allow', 'kms:*', { AWS: account }), statement('Deny', 'kms:PutKeyPolicy', '*'))) }),
      'MalformedPolicyDocumentException', 'The new key policy will not allow you to update the key policy in the future.')
    expect(await keysOf(account)).toBe(before)
    const { KeyId } = await create({ Policy: locksOut, BypassPolicyLockoutSafetyCheck: true })
    expect((await scene.call('DescribeKey', { KeyId })).body).toMatchObject({ __type: 'AccessDeniedException' })
  })

  it('keeps tags in their order', async () => {
    const Tags = [{ TagKey: 'zeta', TagValue: '' }, { TagKey: 'Alpha', TagValue: 'Ü' }, { TagKey: 'alpha', TagValue: '2' }]
    const { KeyId } = await create({ Tags })
    const { rows } = await scene.pool.query('SELECT tag_key AS "TagKey", tag_value AS "TagValue" FROM tags WHERE key_id = $1 ORDER BY position', [KeyId])
    expect(rows).toEqual(Tags)
  })

  it('takes 50 tags and refuses 51, doubles and reserved prefixes in any case', async () => {
    const tags = (count: number) => Array.from({ length: count }, (_, index) => ({ TagKey: `k${index}`, TagValue: 'v' }))
    await create({ Tags: tags(50) })
    const before = await keysOf(account)
    expectRefusal(await scene.call('CreateKey', { Tags: tags(51) }), 'TagException', 'Too many tags')
    expectRefusal(await scene.call('CreateKey', { Tags: [...tags(1), ...tags(1)] }), 'TagException', 'Duplicate tag keys')
    for (const TagKey of ['aws:x', 'AWS:x', 'aWs:']) expectRefusal(await scene.call('CreateKey', { Tags: [{ TagKey, TagValue: '' }] }), 'TagException', 'Tags beginning with aws: are reserved')
    expect(await keysOf(account)).toBe(before)
  })

  it('makes a key in the account of whoever asks', async () => {
    const { KeyMetadata } = success(await scene.call('CreateKey', {}, foreign)) as { KeyMetadata: Json }
    expect(KeyMetadata).toMatchObject({ AWSAccountId: foreign.accountId, Arn: keyArn(String(KeyMetadata.KeyId), foreign.accountId) })
    expect(await findKeyPolicy(scene.pool, String(KeyMetadata.KeyId))).toBe(defaultKeyPolicy(foreign.accountId))
  })

  it('leaves nothing behind when it is refused', async () => {
    const before = await keysOf(account)
    for (const input of [{ KeySpec: 'RSA_2048' }, { KeySpec: 'HMAC_256', KeyUsage: 'SIGN_VERIFY' }, { Origin: 'EXTERNAL_KEY_STORE', XksKeyId: 'x' }, { CustomKeyStoreId: 'cks-1' }, { Policy: '{}' }]) {
      expect((await scene.call('CreateKey', input)).status).toBe(400)
    }
    expect(await keysOf(account)).toBe(before)
    expect((await scene.pool.query('SELECT FROM intents')).rowCount).toBe(0)
  })

  it('names the key to nobody before its material is confirmed', async () => {
    // What a crash between the first transaction and the second leaves: the row, in Creating, without material.
    const id = randomUUID()
    await scene.change(tx => insertKey(tx, { id, accountId: account, region: 'onprem-1', spec: 'SYMMETRIC_DEFAULT', usage: 'ENCRYPT_DECRYPT', origin: 'AWS_KMS', state: 'Creating', description: '', multiRegion: false, manager: 'CUSTOMER' }))
    expectRefusal(await scene.call('DescribeKey', { KeyId: id }), 'NotFoundException', `Key '${keyArn(id)}' does not exist`)
    expectRefusal(await scene.call('Encrypt', { KeyId: id, Plaintext: 'aGVsbG8=' }), 'NotFoundException', `Key '${keyArn(id)}' does not exist`)
    expect(await listed({ Limit: 1000 })).not.toContain(id)
    await scene.pool.query('DELETE FROM keys WHERE id = $1', [id])
  })

  it('lists a key only once it can be used, whoever looks while it is made', async () => {
    let done = false
    const making = Promise.all(Array.from({ length: 20 }, () => create())).finally(() => { done = true })
    const seen = new Set<string>()
    while (!done) {
      for (const id of await listed({ Limit: 1000 })) {
        if (seen.has(id)) continue
        const reply = await scene.call('DescribeKey', { KeyId: id })
        // One test above made a key that locks its maker out.
        if (reply.body.__type === 'AccessDeniedException') continue
        seen.add(id)
        expect(success(reply).KeyMetadata).toMatchObject({ KeyState: expect.not.stringMatching('Creating') as string, CurrentKeyMaterialId: expect.stringMatching(/^[0-9a-f]{64}$/) as string })
      }
    }
    const all = await listed({ Limit: 1000 })
    for (const { KeyId } of await making) expect(all).toContain(KeyId)
  })
})

describe('DescribeKey: behaviour', () => {
  it('answers what CreateKey answered', async () => {
    const made = await create({ Description: 'twice' })
    expect(await describeKey(made.KeyId)).toEqual(made)
  })

  it('is Enabled only in the state Enabled, and shows a DeletionDate only in PendingDeletion', async () => {
    const { id } = await scene.newKey()
    const deletionDate = new Date('2031-05-06T07:08:09.123Z')
    for (const state of ['Disabled', 'PendingDeletion', 'PendingImport', 'Unavailable', 'Updating', 'PendingReplicaDeletion', 'Enabled']) {
      await scene.change(tx => tx.query('UPDATE keys SET state = $2, deletion_date = $3 WHERE id = $1', [id, state, state === 'PendingDeletion' ? deletionDate : null]))
      const metadata = await describeKey(id)
      expect(metadata).toMatchObject({ KeyState: state, Enabled: state === 'Enabled' })
      expect(metadata.DeletionDate).toBe(state === 'PendingDeletion' ? 1_935_817_689.123 : undefined)
    }
  })

  it('writes dates as plain decimals of seconds', async () => {
    const { id } = await scene.newKey()
    expect((await scene.call('DescribeKey', { KeyId: id })).text).toMatch(/"CreationDate":\d{10}\.\d{3},/)
  })

  it('lets no key policy lock the root user out of nothing: who is named may, who is not may not', async () => {
    const { id } = await scene.newKey({ Policy: JSON.stringify(policyOf(statement('Allow', 'kms:*', { AWS: [`arn:aws:iam::${account}:user/admin`] }))) })
    await describeKey(id)
    expectRefusal(await scene.call('DescribeKey', { KeyId: id }, root), 'AccessDeniedException',
      `User: arn:aws:iam::${account}:root is not authorized to perform: kms:DescribeKey on resource: ${keyArn(id)} because no resource-based policy allows the kms:DescribeKey action`)
  })
})

describe('ListKeys: behaviour', () => {
  it('answers ids and ARNs of all keys of the account in any state, and of no other', async () => {
    const { id } = await scene.newKey()
    await scene.setState(id, 'PendingDeletion')
    const foreignKey = await scene.newKey({}, foreign)
    const { Keys } = success(await scene.call('ListKeys', { Limit: 1000 })) as { Keys: { KeyId: string; KeyArn: string }[] }
    expect(Keys).toContainEqual({ KeyId: id, KeyArn: keyArn(id) })
    expect(Keys.every(key => Object.keys(key).sort().join() === 'KeyArn,KeyId' && key.KeyArn === keyArn(key.KeyId))).toBe(true)
    expect(Keys.map(({ KeyId }) => KeyId)).not.toContain(foreignKey.id)
    expect(await listed({}, foreign)).toContain(foreignKey.id)
    expect(Keys).toHaveLength(await keysOf(account))
  })

  it('shows each key once whatever the size of the pages, the SDK\'s paginator included', async () => {
    const all = await listed({ Limit: 1000 })
    expect(new Set(all).size).toBe(all.length)
    for (const Limit of [1, 2, 7, all.length, all.length + 1]) expect(await listed({ Limit }), `pages of ${Limit}`).toEqual(all)
    const client = kms(scene.trent.url)
    const paged: string[] = []
    for await (const { Keys = [] } of paginateListKeys({ client, pageSize: 5 }, {})) paged.push(...Keys.map(({ KeyId = '' }) => KeyId))
    client.destroy()
    expect(paged).toEqual(all)
  })

  it('has 100 keys on a page unless told otherwise, and one full page says that there is no more', async () => {
    const missing = 101 - await keysOf(account)
    await scene.change(async tx => {
      for (let count = 0; count < missing; count++) {
        await insertKey(tx, { id: randomUUID(), accountId: account, region: 'onprem-1', spec: 'RSA_2048', usage: 'SIGN_VERIFY', origin: 'AWS_KMS', state: 'Enabled', description: 'row only', multiRegion: false, manager: 'CUSTOMER' })
      }
    })
    const total = await keysOf(account)
    const first = success(await scene.call('ListKeys', {})) as { Keys: unknown[]; Truncated: boolean }
    expect(first).toMatchObject({ Truncated: true, NextMarker: expect.any(String) as string })
    expect(first.Keys).toHaveLength(100)
    const whole = success(await scene.call('ListKeys', { Limit: total }))
    expect(whole).toMatchObject({ Truncated: false })
    expect(whole).not.toHaveProperty('NextMarker')
  })

  it('goes on where the page ended although keys come in between', async () => {
    const { Keys, NextMarker } = success(await scene.call('ListKeys', { Limit: 3 })) as { Keys: { KeyId: string }[]; NextMarker: string }
    const before = await listed({ Limit: 1000 })
    const { id } = await scene.newKey()
    const rest = await listed({ Limit: 1000, Marker: NextMarker })
    const last = Keys.at(-1)?.KeyId ?? ''
    expect(rest.filter(one => one !== id)).toEqual(before.filter(one => one > last))
  })

  it('refuses markers that are damaged, made up, or of another listing or account', async () => {
    const { NextMarker } = success(await scene.call('ListKeys', { Limit: 1 })) as { NextMarker: string }
    const flips = Array.from(Buffer.from(NextMarker, 'base64'), (_, at) => {
      const flipped = Buffer.from(NextMarker, 'base64')
      flipped[at] = (flipped[at] ?? 0) ^ 1
      return flipped.toString('base64')
    })
    const markers = ['x', '=', NextMarker.slice(0, -4), ` ${NextMarker}`, `${NextMarker} `, NextMarker.slice(1), randomBytes(40).toString('base64'), ...flips]
    for (const Marker of markers) expectRefusal(await scene.call('ListKeys', { Marker }), 'InvalidMarkerException', undefined, Marker)
    expectRefusal(await scene.call('ListKeys', { Marker: NextMarker }, foreign), 'InvalidMarkerException')
    expectRefusal(await scene.call('ListKeys', { Marker: NextMarker, ResourceOwners: ['OTHER_ACCOUNTS_VIA_RAM'] }), 'InvalidMarkerException')
    success(await scene.call('ListKeys', { Marker: NextMarker, ResourceOwners: ['SELF'] }))
    success(await scene.call('ListKeys', { Marker: NextMarker, Limit: 9 }))
  })

  it('knows no keys that other accounts share', async () => {
    expect(success(await scene.call('ListKeys', { ResourceOwners: ['OTHER_ACCOUNTS_VIA_RAM'] }))).toEqual({ Keys: [], Truncated: false })
    expect(await listed({ Limit: 1000, ResourceOwners: ['OTHER_ACCOUNTS_VIA_RAM', 'SELF'] })).toEqual(await listed({ Limit: 1000 }))
  })
})

describe('the quota of keys', () => {
  it('refuses the key that is one too many, in any state, and counts each account for itself', async () => {
    const small = await openScene({ keys: { quota: 2 } })
    try {
      // The scene itself has made one.
      const { id } = await small.newKey()
      await small.setState(id, 'PendingDeletion')
      expectRefusal(await small.call('CreateKey', {}), 'LimitExceededException')
      expect((await small.pool.query('SELECT FROM keys')).rowCount).toBe(2)
      await small.newKey({}, foreign)
    } finally {
      await small.close()
    }
  })
})
