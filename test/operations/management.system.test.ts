import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { expectRefusal, openScene, success, type Reply, type Scene, type TestKey } from '../support/scene.ts'
import { commonSections } from '../support/sections.ts'

let scene: Scene

beforeAll(async () => {
  scene = await openScene()
})
afterAll(() => scene.close())

commonSections('EnableKey', () => scene, ({ key }) => ({ KeyId: key.id }))
commonSections('DisableKey', () => scene, async ({ key }) => {
  await scene.setState(key.id, 'Enabled')
  return { KeyId: key.id }
})
commonSections('UpdateKeyDescription', () => scene, ({ key }) => ({ KeyId: key.id, Description: 'new' }))

const enable = (KeyId: string): Promise<Reply> => scene.call('EnableKey', { KeyId })
const disable = (KeyId: string): Promise<Reply> => scene.call('DisableKey', { KeyId })
const encrypt = (KeyId: string): Promise<Reply> => scene.call('Encrypt', { KeyId, Plaintext: 'aGVsbG8=' })
const metadata = async (KeyId: string): Promise<unknown> => success(await scene.call('DescribeKey', { KeyId })).KeyMetadata
const empty = ({ status, text }: Reply): void => { expect({ status, text }).toEqual({ status: 200, text: '' }) }

describe('DisableKey and EnableKey: behaviour', () => {
  it('stop and allow every use at once, and answer nothing', async () => {
    const { id, arn } = await scene.newKey()
    const { CiphertextBlob } = success(await encrypt(id))
    const uses: readonly (readonly [string, object])[] = [
      ['Encrypt', { KeyId: id, Plaintext: 'aGVsbG8=' }], ['Decrypt', { CiphertextBlob }], ['ReEncrypt', { CiphertextBlob, DestinationKeyId: id }],
      ['GenerateDataKey', { KeyId: id, KeySpec: 'AES_256' }], ['GenerateDataKeyWithoutPlaintext', { KeyId: id, KeySpec: 'AES_256' }],
    ]
    empty(await disable(id))
    for (const [operation, input] of uses) expectRefusal(await scene.call(operation, { ...input }), 'DisabledException', `${arn} is disabled.`)
    expect(await metadata(id)).toMatchObject({ KeyState: 'Disabled', Enabled: false })
    empty(await enable(id))
    for (const [operation, input] of uses) success(await scene.call(operation, { ...input }))
    expect(await metadata(id)).toMatchObject({ KeyState: 'Enabled', Enabled: true })
  })

  it('succeed again on a key that is so already', async () => {
    const { id, arn } = await scene.newKey()
    empty(await enable(id))
    empty(await disable(arn))
    empty(await disable(id))
    expect(await metadata(id)).toMatchObject({ KeyState: 'Disabled' })
    empty(await enable(arn))
    empty(await enable(id))
    expect(await metadata(id)).toMatchObject({ KeyState: 'Enabled' })
  })

  it('called many times at once all succeed, and what the last says is what holds', async () => {
    const { id, arn } = await scene.newKey()
    for (let round = 0; round < 3; round++) {
      const replies = await Promise.all(Array.from({ length: 12 }, (_, index) => (index % 2 === 0 ? enable(id) : disable(id))))
      for (const reply of replies) empty(reply)
      const { KeyState } = await metadata(id) as { KeyState: string }
      const { rows } = await scene.pool.query<{ state: string }>('SELECT state FROM keys WHERE id = $1', [id])
      expect(KeyState).toBe(rows[0]?.state)
      if (KeyState === 'Enabled') success(await encrypt(id))
      else expectRefusal(await encrypt(id), 'DisabledException', `${arn} is disabled.`)
    }
    empty(await disable(id))
    expectRefusal(await encrypt(id), 'DisabledException', `${arn} is disabled.`)
  })

  it('each request after the answer of DisableKey is refused, however many are under way', async () => {
    const { id, arn } = await scene.newKey()
    let disabled = false
    const after: Reply[] = []
    const caller = async (): Promise<void> => {
      for (let count = 0; count < 40; count++) {
        const asked = disabled
        const reply = await encrypt(id)
        if (asked) after.push(reply)
      }
    }
    const callers = [caller(), caller(), caller()]
    await encrypt(id)
    empty(await disable(id))
    disabled = true
    await Promise.all([...callers, caller()])
    expect(after.length).toBeGreaterThan(0)
    for (const reply of after) expectRefusal(reply, 'DisabledException', `${arn} is disabled.`)
  })

  it('touch no other key', async () => {
    const [one, other] = [await scene.newKey(), await scene.newKey()]
    empty(await disable(one.id))
    success(await encrypt(other.id))
  })
})

describe('UpdateKeyDescription: behaviour', () => {
  let key: TestKey
  beforeAll(async () => {
    key = await scene.newKey({ Description: 'first' })
  })
  const describeAs = (Description: string): Promise<Reply> => scene.call('UpdateKeyDescription', { KeyId: key.id, Description })

  it.each([['new words', 'second'], ['an empty text, which clears it', ''], ['8,192 characters', 'x'.repeat(8192)], ['characters of any kind', 'Schlüssel 🔑 "quoted" \\ \n\u0001']])('takes %s, answers nothing, and DescribeKey says so at once', async (_what, text) => {
    empty(await describeAs(text))
    expect(await metadata(key.id)).toMatchObject({ Description: text })
  })

  it('refuses 8,193 characters, none, and the one character that cannot be stored; the old words stay', async () => {
    empty(await describeAs('kept'))
    const long = 'x'.repeat(8193)
    expectRefusal(await describeAs(long), 'ValidationException', `1 validation error detected: Value '${long}' at 'description' failed to satisfy constraint: Member must have length less than or equal to 8192`)
    expectRefusal(await scene.call('UpdateKeyDescription', { KeyId: key.id }), 'ValidationException', "1 validation error detected: Value null at 'description' failed to satisfy constraint: Member must not be null")
    expectRefusal(await describeAs('a\0b'), 'ValidationException', 'Description must not contain a null character.')
    expectRefusal(await scene.call('CreateKey', { Description: 'a\0b' }), 'ValidationException', 'Description must not contain a null character.')
    expect(await metadata(key.id)).toMatchObject({ Description: 'kept' })
  })

  it('changes nothing else of the key', async () => {
    const before = await metadata(key.id) as object
    empty(await describeAs('other'))
    expect(await metadata(key.id)).toEqual({ ...before, Description: 'other' })
  })
})

describe('names that nothing can have', () => {
  it.each(['alias/a\0b', 'alias/ä', 'alias/', 'alias/a:b', `alias/${'x'.repeat(2000)}`])('an alias named %j is not found, and never looked for', async name => {
    expectRefusal(await encrypt(name), 'NotFoundException', `Alias arn:aws:kms:onprem-1:111122223333:${name} is not found.`)
  })
})
