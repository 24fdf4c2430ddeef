import { paginateListAliases } from '@aws-sdk/client-kms'
import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest'
import { insertAlias, updateAlias } from '../../src/store/aliases.ts'
import { transaction } from '../../src/store/database.ts'
import { putKeyPolicy } from '../../src/store/policies.ts'
import { kms } from '../support/aws.ts'
import { admin, deniedByIdentity, deniedByKey, deniedOn, deniedUnseen, noIdentityPolicy, noKeyPolicy } from '../support/denials.ts'
import { rowKey, untilSomebodyWaits } from '../support/rows.ts'
import { expectRefusal, keyArn, openScene, policyOf, statement, success, type Json, type Reply, type Scene, type TestKey } from '../support/scene.ts'
import { commonSections, type Fixture } from '../support/sections.ts'

let scene: Scene
let blue: TestKey
let red: TestKey
const { account, identities } = inject('installation')
const { plain, foreign } = identities

beforeAll(async () => {
  scene = await openScene()
  ;[blue, red] = [await scene.newKey(), await scene.newKey()]
})
afterAll(() => scene.close())

const nameOf = (end: string): string => `alias/${end}-${randomUUID()}`
const aliasArn = (name: string, of = account): string => keyArn('', of).replace('key/', name)

/** A name that points to the first key of the fixture; the keys' other aliases go, so that no quota is met. */
async function existing({ key, other }: Fixture): Promise<string> {
  const name = nameOf('made')
  await scene.change(async tx => {
    await tx.query('DELETE FROM aliases WHERE key_id IN ($1, $2)', [key.id, other.id])
    await insertAlias(tx, { accountId: account, name, keyId: key.id })
  })
  return name
}

commonSections('CreateAlias', () => scene, async fixture => {
  await existing(fixture)
  return { AliasName: nameOf('new'), TargetKeyId: fixture.key.id }
})
commonSections('UpdateAlias', () => scene, async fixture => ({ AliasName: await existing(fixture), TargetKeyId: fixture.other.id }))
commonSections('DeleteAlias', () => scene, async fixture => ({ AliasName: await existing(fixture) }))
commonSections('ListAliases', () => scene, ({ key }) => ({ KeyId: key.id }))

interface Listed {
  readonly AliasName: string
  readonly AliasArn: string
  readonly TargetKeyId: string
  readonly CreationDate: number
  readonly LastUpdatedDate: number
}

const create = (AliasName: string, TargetKeyId: string): Promise<Reply> => scene.call('CreateAlias', { AliasName, TargetKeyId })
async function made(TargetKeyId: string, end = 'made'): Promise<string> {
  const name = nameOf(end)
  success(await create(name, TargetKeyId))
  return name
}
async function aliasesOf(KeyId: string): Promise<readonly Listed[]> {
  return success(await scene.call('ListAliases', { KeyId, Limit: 100 })).Aliases as Listed[]
}
async function named(name: string): Promise<Listed | undefined> {
  const { rows } = await scene.pool.query<{ key_id: string }>('SELECT key_id FROM aliases WHERE account_id = $1 AND name = $2', [account, name])
  return rows[0] === undefined ? undefined : (await aliasesOf(rows[0].key_id)).find(({ AliasName }) => AliasName === name)
}
const encryptsWith = async (KeyId: string): Promise<unknown> => success(await scene.call('Encrypt', { KeyId, Plaintext: 'aGVsbG8=' })).KeyId
const aliasCount = async (): Promise<unknown> => (await scene.pool.query('SELECT count(*) FROM aliases')).rows[0] as unknown
/** `count` names for a key, behind the gateway's back. */
async function fill(keyId: string, count: number): Promise<void> {
  await scene.change(async tx => {
    for (let index = 0; index < count; index++) await insertAlias(tx, { accountId: account, name: nameOf('fill'), keyId })
  })
}

describe('CreateAlias: behaviour', () => {
  it('answers nothing, and the name works at once, as name and as ARN', async () => {
    const name = nameOf('new')
    const { status, text } = await create(name, blue.arn)
    expect({ status, text }).toEqual({ status: 200, text: '' })
    expect(await encryptsWith(name)).toBe(blue.arn)
    expect(await encryptsWith(aliasArn(name))).toBe(blue.arn)
  })

  it('tells names apart by case', async () => {
    const [lower, upper] = [nameOf('case'), nameOf('CASE')]
    success(await create(lower, blue.id))
    success(await create(lower.replace('case', 'Case'), red.id))
    success(await create(upper, blue.id))
    expect([await encryptsWith(lower), await encryptsWith(lower.replace('case', 'Case')), await encryptsWith(upper)]).toEqual([blue.arn, red.arn, blue.arn])
    const odd = lower.replace('case', 'cASE')
    expectRefusal(await scene.call('Encrypt', { KeyId: odd, Plaintext: 'aGVsbG8=' }), 'NotFoundException', `Alias ${aliasArn(odd)} is not found.`)
  })

  it('takes a name of 256 characters, and each account has names of its own', async () => {
    const name = nameOf('x'.repeat(256)).slice(0, 6) + 'x'.repeat(250)
    success(await create(name, blue.id))
    const theirs = await scene.newKey({}, foreign)
    success(await scene.call('CreateAlias', { AliasName: name, TargetKeyId: theirs.id }, foreign))
    expect(await encryptsWith(name)).toBe(blue.arn)
    expect(success(await scene.call('Encrypt', { KeyId: name, Plaintext: 'aGVsbG8=' }, foreign)).KeyId).toBe(theirs.arn)
  })

  it('refuses a name that is taken, by the same key or another, and leaves it as it was', async () => {
    const name = await made(blue.id)
    const before = await named(name)
    for (const key of [blue, red]) expectRefusal(await create(name, key.id), 'AlreadyExistsException', `An alias with the name ${aliasArn(name)} already exists`)
    expect(await named(name)).toEqual(before)
  })

  it('lets one of several at once have a name, and no more than 50 on a key', async () => {
    const { id } = await scene.newKey()
    const name = nameOf('race')
    const replies = await Promise.all(Array.from({ length: 8 }, () => create(name, id)))
    expect(replies.filter(({ status }) => status === 200)).toHaveLength(1)
    for (const reply of replies.filter(({ status }) => status !== 200)) expectRefusal(reply, 'AlreadyExistsException', `An alias with the name ${aliasArn(name)} already exists`)
    await fill(id, 45)
    const more = await Promise.all(Array.from({ length: 8 }, () => create(nameOf('race'), id)))
    expect(more.filter(({ status }) => status === 200)).toHaveLength(4)
    for (const reply of more.filter(({ status }) => status !== 200)) expectRefusal(reply, 'LimitExceededException')
    expect(await aliasesOf(id)).toHaveLength(50)
  })
})

const prefixText = 'Alias must start with the prefix "alias/". Please see https://docs.aws.amazon.com/kms/latest/developerguide/kms-alias.html'
const badName = 'The request was rejected because the specified alias name is not valid.'
const patternText = (value: string): string =>
  `1 validation error detected: Value '${value}' at 'aliasName' failed to satisfy constraint: Member must satisfy regular expression pattern: ^[a-zA-Z0-9:/_-]+$`

describe.each(['CreateAlias', 'UpdateAlias', 'DeleteAlias'])('%s: names that are none', operation => {
  it.each<readonly [what: string, name: string, type: string, text: string | undefined]>([
    ['without the prefix', 'blue', 'ValidationException', prefixText],
    ['with the prefix in another case', 'Alias/blue', 'ValidationException', prefixText],
    ['a key ARN', `arn:aws:kms:onprem-1:${account}:key/1`, 'ValidationException', prefixText],
    ['an alias ARN', `arn:aws:kms:onprem-1:${account}:alias/blue`, 'ValidationException', prefixText],
    ['reserved for AWS services', 'alias/aws/s3', 'NotAuthorizedException', undefined],
    ['nothing behind the prefix', 'alias/', 'InvalidAliasNameException', badName],
    ['with a colon', 'alias/blue:red', 'InvalidAliasNameException', badName],
    ['with a space', 'alias/blue red', 'ValidationException', patternText('alias/blue red')],
    ['with an umlaut', 'alias/blü', 'ValidationException', patternText('alias/blü')],
    ['with a line break at its end', 'alias/blue\n', 'ValidationException', patternText('alias/blue\n')],
  ])('refuses one %s, and stores nothing', async (_what, AliasName, type, text) => {
    const before = await aliasCount()
    expectRefusal(await scene.call(operation, { AliasName, ...(operation === 'DeleteAlias' ? {} : { TargetKeyId: blue.id }) }), type, text)
    expect(await aliasCount()).toEqual(before)
  })
})

describe.each(['CreateAlias', 'UpdateAlias'])('%s: targets that are none', operation => {
  let AliasName: string
  const call = (TargetKeyId: string): Promise<Reply> => scene.call(operation, { AliasName, TargetKeyId })

  beforeAll(async () => {
    AliasName = operation === 'CreateAlias' ? nameOf('never') : await made(blue.id)
  })

  it('refuses an alias as the target, in every form, there or not', async () => {
    const other = await made(red.id)
    for (const target of [other, aliasArn(other), 'alias/absent', aliasArn('alias/absent', foreign.accountId)]) {
      expectRefusal(await call(target), 'ValidationException', 'Aliases must refer to keys. Not aliases')
    }
  })

  it('refuses a target that is not there, and one of another account whether it is there or not', async () => {
    const absent = randomUUID()
    for (const form of [absent, keyArn(absent)]) expectRefusal(await call(form), 'NotFoundException', `Key '${keyArn(absent)}' does not exist`)
    const theirs = await scene.newKey({ Policy: JSON.stringify(policyOf(statement('Allow', 'kms:*', { AWS: [account, foreign.accountId] }))) }, foreign)
    for (const arn of [theirs.arn, keyArn(absent, foreign.accountId)]) expectRefusal(await call(arn), 'AccessDeniedException', deniedUnseen(admin, `kms:${operation}`))
    // A bare id means a key of one's own.
    expectRefusal(await call(theirs.id), 'NotFoundException', `Key '${keyArn(theirs.id)}' does not exist`)
  })

  it('refuses a target that is pending deletion', async () => {
    const { id, arn } = await scene.newKey()
    await scene.setState(id, 'PendingDeletion')
    expectRefusal(await call(id), 'KMSInvalidStateException', `${arn} is pending deletion.`)
  })

  it('refuses a target that has 50 aliases', async () => {
    const { id } = await scene.newKey()
    await fill(id, 50)
    expectRefusal(await call(id), 'LimitExceededException')
    expect(await aliasesOf(id)).toHaveLength(50)
  })

  it('has stored nothing by all of this', async () => {
    expect((await named(AliasName))?.TargetKeyId).toBe(operation === 'CreateAlias' ? undefined : blue.id)
  })
})

describe('UpdateAlias: behaviour', () => {
  it('answers nothing, and requests with the name use the other key at once; what the first key encrypted stays readable', async () => {
    const name = await made(blue.id)
    const { CiphertextBlob } = success(await scene.call('Encrypt', { KeyId: name, Plaintext: 'aGVsbG8=' }))
    const { status, text } = await scene.call('UpdateAlias', { AliasName: name, TargetKeyId: red.arn })
    expect({ status, text }).toEqual({ status: 200, text: '' })
    expect(await encryptsWith(name)).toBe(red.arn)
    expect(success(await scene.call('Decrypt', { CiphertextBlob }))).toMatchObject({ KeyId: blue.arn, Plaintext: 'aGVsbG8=' })
    expectRefusal(await scene.call('Decrypt', { CiphertextBlob, KeyId: name }), 'IncorrectKeyException', 'The key ID in the request does not identify a CMK that can perform this operation.')
  })

  it('moves LastUpdatedDate and not CreationDate, also when the key stays the same', async () => {
    const name = await made(blue.id)
    const [first] = [await named(name)]
    expect(first?.LastUpdatedDate).toBe(first?.CreationDate)
    for (const target of [red, red]) {
      const before = await named(name)
      success(await scene.call('UpdateAlias', { AliasName: name, TargetKeyId: target.id }))
      const after = await named(name)
      expect(after).toMatchObject({ CreationDate: first?.CreationDate, TargetKeyId: target.id })
      expect(after?.LastUpdatedDate).toBeGreaterThan(before?.LastUpdatedDate ?? Infinity)
    }
  })

  it('refuses a name that is not there', async () => {
    const name = nameOf('absent')
    expectRefusal(await scene.call('UpdateAlias', { AliasName: name, TargetKeyId: blue.id }), 'NotFoundException', `Alias ${aliasArn(name)} is not found.`)
    expect(await named(name)).toBeUndefined()
  })

  it('moves away from a key that is pending deletion', async () => {
    const { id } = await scene.newKey()
    const name = await made(id)
    await scene.setState(id, 'PendingDeletion')
    success(await scene.call('UpdateAlias', { AliasName: name, TargetKeyId: blue.id }))
    expect(await encryptsWith(name)).toBe(blue.arn)
  })

  it('takes the same target again when the key has 50 aliases', async () => {
    const { id } = await scene.newKey()
    const name = await made(id)
    await fill(id, 49)
    success(await scene.call('UpdateAlias', { AliasName: name, TargetKeyId: id }))
  })

  it('moves between keys of one kind and one usage only', async () => {
    const kinds = {
      symmetric: { spec: 'SYMMETRIC_DEFAULT', usage: 'ENCRYPT_DECRYPT' }, hmac: { spec: 'HMAC_256', usage: 'GENERATE_VERIFY_MAC' }, otherHmac: { spec: 'HMAC_512', usage: 'GENERATE_VERIFY_MAC' },
      rsaCipher: { spec: 'RSA_2048', usage: 'ENCRYPT_DECRYPT' }, rsaSigning: { spec: 'RSA_4096', usage: 'SIGN_VERIFY' }, ecSigning: { spec: 'ECC_NIST_P256', usage: 'SIGN_VERIFY' },
      agreement: { spec: 'ECC_NIST_P256', usage: 'KEY_AGREEMENT' },
    } as const
    const keys = {} as Record<keyof typeof kinds, TestKey>
    for (const kind of Object.keys(kinds) as (keyof typeof kinds)[]) keys[kind] = await rowKey(scene, kinds[kind])
    const exchangeable = ['hmac otherHmac', 'rsaSigning ecSigning']
    for (const [from, former] of Object.entries(keys)) {
      const name = await made(former.id)
      for (const [to, target] of Object.entries(keys).filter(([kind]) => kind !== from)) {
        if (exchangeable.some(pair => pair.split(' ').includes(from) && pair.split(' ').includes(to))) continue
        expectRefusal(await scene.call('UpdateAlias', { AliasName: name, TargetKeyId: target.id }), 'ValidationException',
          `Alias ${aliasArn(name)} cannot be moved to a key of another type or usage: ${target.arn}`)
      }
      expect((await named(name))?.TargetKeyId).toBe(former.id)
    }
    for (const pair of exchangeable) {
      const [from, to] = pair.split(' ') as [keyof typeof kinds, keyof typeof kinds]
      success(await scene.call('UpdateAlias', { AliasName: await made(keys[from].id), TargetKeyId: keys[to].id }))
    }
  })
})

describe('DeleteAlias: behaviour', () => {
  it('answers nothing, and the name is gone at once; the key is not', async () => {
    const name = await made(blue.id)
    await encryptsWith(name)
    const { status, text } = await scene.call('DeleteAlias', { AliasName: name })
    expect({ status, text }).toEqual({ status: 200, text: '' })
    expectRefusal(await scene.call('Encrypt', { KeyId: name, Plaintext: 'aGVsbG8=' }), 'NotFoundException', `Alias ${aliasArn(name)} is not found.`)
    await encryptsWith(blue.id)
  })

  it('refuses the second time, and lets one of several at once have done it', async () => {
    const name = await made(blue.id)
    const replies = await Promise.all(Array.from({ length: 8 }, () => scene.call('DeleteAlias', { AliasName: name })))
    expect(replies.filter(({ status }) => status === 200)).toHaveLength(1)
    for (const reply of replies.filter(({ status }) => status !== 200)) expectRefusal(reply, 'NotFoundException', `Alias ${aliasArn(name)} is not found.`)
    expectRefusal(await scene.call('DeleteAlias', { AliasName: name }), 'NotFoundException', `Alias ${aliasArn(name)} is not found.`)
  })

  it('makes room for another', async () => {
    const { id } = await scene.newKey()
    const name = await made(id)
    await fill(id, 49)
    expectRefusal(await create(nameOf('more'), id), 'LimitExceededException')
    success(await scene.call('DeleteAlias', { AliasName: name }))
    success(await create(name, id))
  })
})

describe('an alias that somebody else moves meanwhile', () => {
  /** Runs the call while the alias moves from blue to a key that the caller may not touch, after it was authorized for blue. */
  async function moved(operation: string, name: string, input: Json): Promise<Reply> {
    const walled = await scene.newKey()
    await scene.setPolicy(policyOf(statement('Allow', '*'), { Effect: 'Deny', Action: 'kms:*', Resource: walled.arn }))
    const reply = await transaction(scene.pool, async tx => {
      await tx.query('SELECT FROM keys WHERE id = $1 FOR UPDATE', [blue.id])
      const calling = scene.call(operation, { AliasName: name, ...input }, plain)
      await untilSomebodyWaits(scene)
      await updateAlias(tx, { accountId: account, name, keyId: walled.id }, blue.id)
      return { calling }
    })
    const answer = await reply.calling
    expect((await named(name))?.TargetKeyId).toBe(walled.id)
    await scene.setPolicy(undefined)
    return answer
  }

  it.each([['UpdateAlias', true], ['DeleteAlias', false]])('is not touched by %s, which may be tried again', async (operation, takesTarget) => {
    const name = await made(blue.id)
    const { status, body } = await moved(operation, name, takesTarget ? { TargetKeyId: red.id } : {})
    expect({ status, body }).toEqual({ status: 500, body: { __type: 'KMSInternalException', message: 'The request was rejected because an internal exception occurred. The request can be retried.' } })
    await scene.setPolicy(policyOf(statement('Allow', '*')))
    success(await scene.call(operation, { AliasName: name, ...(takesTarget ? { TargetKeyId: red.id } : {}) }, plain))
    await scene.setPolicy(undefined)
  })
})

describe('permission: both halves', () => {
  const onAlias = (Effect: 'Allow' | 'Deny', Action: string, name: string): Json => ({ Effect, Action, Resource: aliasArn(name) })
  const onKey = (Effect: 'Allow' | 'Deny', Action: string, ...keys: readonly TestKey[]): Json => ({ Effect, Action, Resource: keys.map(({ arn }) => arn) })

  it.each(['CreateAlias', 'DeleteAlias'])('%s needs the alias by its ARN and the key by its ARN', async operation => {
    const action = `kms:${operation}`
    const name = operation === 'CreateAlias' ? nameOf('half') : await made(blue.id)
    const call = (): Promise<Reply> => scene.call(operation, { AliasName: name, ...(operation === 'CreateAlias' ? { TargetKeyId: blue.id } : {}) }, plain)
    await scene.setPolicy(policyOf(onKey('Allow', action, blue)))
    expectRefusal(await call(), 'AccessDeniedException', deniedOn(plain, action, aliasArn(name), noIdentityPolicy(action)))
    await scene.setPolicy(policyOf(onAlias('Allow', action, name)))
    expectRefusal(await call(), 'AccessDeniedException', deniedOn(plain, action, blue.arn, noIdentityPolicy(action)))
    await scene.setPolicy(policyOf(onAlias('Allow', action, `${name}x`), onKey('Allow', action, blue)))
    expectRefusal(await call(), 'AccessDeniedException', deniedOn(plain, action, aliasArn(name), noIdentityPolicy(action)))
    await scene.setPolicy(policyOf(statement('Allow', '*'), onAlias('Deny', action, name)))
    expectRefusal(await call(), 'AccessDeniedException', deniedOn(plain, action, aliasArn(name), deniedByIdentity))
    await scene.setPolicy(policyOf(onAlias('Allow', action, name), onKey('Allow', action, blue)))
    success(await call())
    await scene.setPolicy(undefined)
  })

  it('the key half may come from the key policy, the alias half may not', async () => {
    const { id, arn } = await scene.newKey({ Policy: JSON.stringify(policyOf(statement('Allow', 'kms:*', { AWS: [account, plain.arn] }))) })
    const name = nameOf('half')
    const call = (): Promise<Reply> => scene.call('CreateAlias', { AliasName: name, TargetKeyId: id }, plain)
    expectRefusal(await call(), 'AccessDeniedException', deniedOn(plain, 'kms:CreateAlias', aliasArn(name), noIdentityPolicy('kms:CreateAlias')))
    await scene.setPolicy(policyOf(onAlias('Allow', 'kms:CreateAlias', name)))
    await scene.change(tx => putKeyPolicy(tx, id, JSON.stringify(policyOf(statement('Allow', 'kms:*', { AWS: [account, plain.arn] }), statement('Deny', 'kms:CreateAlias', { AWS: plain.arn })))))
    expectRefusal(await call(), 'AccessDeniedException', deniedOn(plain, 'kms:CreateAlias', arn, deniedByKey))
    await scene.change(tx => putKeyPolicy(tx, id, JSON.stringify(policyOf(statement('Allow', 'kms:*', { AWS: admin.arn })))))
    expectRefusal(await call(), 'AccessDeniedException', deniedOn(plain, 'kms:CreateAlias', arn, noKeyPolicy('kms:CreateAlias')))
    await scene.change(tx => putKeyPolicy(tx, id, JSON.stringify(policyOf(statement('Allow', 'kms:CreateAlias', { AWS: plain.arn })))))
    success(await call())
    await scene.setPolicy(undefined)
  })

  it('UpdateAlias needs the alias, the old key and the new key', async () => {
    const action = 'kms:UpdateAlias'
    const name = await made(blue.id)
    const call = (): Promise<Reply> => scene.call('UpdateAlias', { AliasName: name, TargetKeyId: red.id }, plain)
    for (const [allowed, lacking] of [[[onKey('Allow', action, blue, red)], aliasArn(name)], [[onAlias('Allow', action, name), onKey('Allow', action, red)], blue.arn], [[onAlias('Allow', action, name), onKey('Allow', action, blue)], red.arn]] as const) {
      await scene.setPolicy(policyOf(...allowed))
      expectRefusal(await call(), 'AccessDeniedException', deniedOn(plain, action, lacking, noIdentityPolicy(action)))
    }
    expect((await named(name))?.TargetKeyId).toBe(blue.id)
    await scene.setPolicy(policyOf(onAlias('Allow', action, name), onKey('Allow', action, blue, red)))
    success(await call())
    await scene.setPolicy(undefined)
  })

  it('says that a name does not exist only to who may touch it', async () => {
    const name = nameOf('absent')
    const text = deniedOn(plain, 'kms:DeleteAlias', aliasArn(name), noIdentityPolicy('kms:DeleteAlias'))
    expectRefusal(await scene.call('DeleteAlias', { AliasName: name }, plain), 'AccessDeniedException', text)
    const ours = await made(blue.id)
    expectRefusal(await scene.call('DeleteAlias', { AliasName: ours }, foreign), 'NotFoundException', `Alias ${aliasArn(ours, foreign.accountId)} is not found.`)
  })
})

describe('an alias of another account', () => {
  it('is used by its ARN when both sides allow, and tells nothing of its key when they do not', async () => {
    const name = nameOf('theirs')
    const theirs = await scene.newKey({}, foreign)
    success(await scene.call('CreateAlias', { AliasName: name, TargetKeyId: theirs.id }, foreign))
    const use = (): Promise<Reply> => scene.call('Encrypt', { KeyId: aliasArn(name, foreign.accountId), Plaintext: 'aGVsbG8=' })
    expectRefusal(await use(), 'AccessDeniedException', deniedUnseen(admin, 'kms:Encrypt'))
    expectRefusal(await scene.call('Encrypt', { KeyId: aliasArn('alias/absent', foreign.accountId), Plaintext: 'aGVsbG8=' }), 'AccessDeniedException', deniedUnseen(admin, 'kms:Encrypt'))
    await scene.change(tx => putKeyPolicy(tx, theirs.id, JSON.stringify(policyOf(statement('Allow', 'kms:*', { AWS: [foreign.accountId, account] })))))
    expect(success(await use()).KeyId).toBe(theirs.arn)
    // The name alone is a name of one's own.
    expectRefusal(await scene.call('Encrypt', { KeyId: name, Plaintext: 'aGVsbG8=' }), 'NotFoundException', `Alias ${aliasArn(name)} is not found.`)
  })
})

describe('ListAliases: behaviour', () => {
  async function walk(input: Json, as?: typeof plain): Promise<string[]> {
    const names: string[] = []
    for (let Marker: unknown; ;) {
      const { Aliases, Truncated, NextMarker } = success(await scene.call('ListAliases', { ...input, Marker }, as)) as { Aliases: Listed[]; Truncated: boolean; NextMarker?: string }
      names.push(...Aliases.map(({ AliasName }) => AliasName))
      expect(Truncated).toBe(NextMarker !== undefined)
      if (!Truncated) return names
      Marker = NextMarker
    }
  }

  it('shows name, ARN, bare key id and both dates', async () => {
    const { id, arn } = await scene.newKey()
    const before = Date.now() / 1000
    const name = await made(id)
    for (const KeyId of [id, arn]) {
      const aliases = await aliasesOf(KeyId)
      expect(aliases).toEqual([{ AliasName: name, AliasArn: aliasArn(name), TargetKeyId: id, CreationDate: expect.any(Number) as number, LastUpdatedDate: expect.any(Number) as number }])
      expect(Math.abs((aliases[0]?.CreationDate ?? 0) - before)).toBeLessThan(5)
    }
  })

  it('shows those of one key, or all of the account and no other\'s, each once whatever the size of the pages', async () => {
    const { id } = await scene.newKey()
    const own = await Promise.all(['b', 'a', 'C'].map(end => made(id, end)))
    expect(await walk({ KeyId: id, Limit: 2 })).toEqual([...own].sort())
    const all = await walk({ Limit: 100 })
    const { rows } = await scene.pool.query<{ name: string }>('SELECT name FROM aliases WHERE account_id = $1', [account])
    expect(all).toEqual(rows.map(({ name }) => name).sort())
    for (const Limit of [1, 7, all.length]) expect(await walk({ Limit: Math.min(Limit, 1000) })).toEqual(all)
    expect(await walk({}, foreign)).not.toContain(own[0])
    const client = kms(scene.trent.url)
    const paged: (string | undefined)[] = []
    for await (const { Aliases = [] } of paginateListAliases({ client, pageSize: 9 }, {})) paged.push(...Aliases.map(({ AliasName }) => AliasName))
    client.destroy()
    expect(paged).toEqual(all)
  })

  it('has 50 on a page unless told otherwise, and 100 at most', async () => {
    const keys = [await scene.newKey(), await scene.newKey(), await scene.newKey()]
    for (const { id } of keys) await fill(id, 50)
    const page = async (input: Json): Promise<number> => (success(await scene.call('ListAliases', input)).Aliases as unknown[]).length
    expect([await page({}), await page({ Limit: 100 }), await page({ Limit: 1000 }), await page({ Limit: 1 })]).toEqual([50, 100, 100, 1])
  })

  it('goes on behind an alias that is gone', async () => {
    const { id } = await scene.newKey()
    const names = (await Promise.all(['a', 'b', 'c', 'd'].map(end => made(id, end)))).sort()
    const { NextMarker } = success(await scene.call('ListAliases', { KeyId: id, Limit: 2 }))
    success(await scene.call('DeleteAlias', { AliasName: names[1] ?? '' }))
    const { Aliases } = success(await scene.call('ListAliases', { KeyId: id, Marker: NextMarker })) as { Aliases: Listed[] }
    expect(Aliases.map(({ AliasName }) => AliasName)).toEqual(names.slice(2))
  })

  it('refuses a marker of another key, of the whole account, of another account and of another operation', async () => {
    const marker = async (operation: string, input: Json, as?: typeof plain): Promise<unknown> => success(await scene.call(operation, { ...input, Limit: 1 }, as)).NextMarker
    await Promise.all([blue, blue, red, red].map(({ id }) => made(id)))
    const theirs = await scene.newKey({}, foreign)
    for (const end of ['a', 'b']) success(await scene.call('CreateAlias', { AliasName: nameOf(end), TargetKeyId: theirs.id }, foreign))
    const ofBlue = await marker('ListAliases', { KeyId: blue.id })
    expect(ofBlue).toEqual(expect.any(String))
    for (const [input, Marker] of [
      [{ KeyId: red.id }, ofBlue], [{}, ofBlue], [{ KeyId: blue.id }, await marker('ListAliases', {})], [{}, await marker('ListAliases', {}, foreign)], [{}, await marker('ListKeys', {})], [{}, 'x'],
    ] as const) {
      expectRefusal(await scene.call('ListAliases', { ...input, Marker }), 'InvalidMarkerException')
    }
    success(await scene.call('ListAliases', { KeyId: blue.arn, Marker: ofBlue }))
  })

  it('refuses a key that is none, is not there, is another account\'s or is an alias', async () => {
    const absent = randomUUID()
    const theirs = await scene.newKey({}, foreign)
    expectRefusal(await scene.call('ListAliases', { KeyId: 'x' }), 'NotFoundException', `Invalid keyId 'x'`)
    expectRefusal(await scene.call('ListAliases', { KeyId: absent }), 'NotFoundException', `Key '${keyArn(absent)}' does not exist`)
    expectRefusal(await scene.call('ListAliases', { KeyId: theirs.id }), 'NotFoundException', `Key '${keyArn(theirs.id)}' does not exist`)
    expectRefusal(await scene.call('ListAliases', { KeyId: theirs.arn }), 'NotFoundException', `Key '${theirs.arn}' does not exist`)
    const name = await made(blue.id)
    for (const form of [name, aliasArn(name)]) expectRefusal(await scene.call('ListAliases', { KeyId: form }), 'NotFoundException', `Invalid keyId '${form}'`)
    expectRefusal(await scene.call('ListAliases', { KeyId: blue.arn.replace('onprem-1', 'eu-west-9') }), 'NotFoundException', 'Invalid arn eu-west-9')
  })

  it('does not list a key that is still being made', async () => {
    const { id, arn } = await rowKey(scene, { state: 'Creating' })
    expectRefusal(await scene.call('ListAliases', { KeyId: id }), 'NotFoundException', `Key '${arn}' does not exist`)
  })
})
