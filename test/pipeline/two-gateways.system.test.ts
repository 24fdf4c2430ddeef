import { DecryptCommand, EncryptCommand, type KMSClient } from '@aws-sdk/client-kms'
import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest'
import { expectError, kms, raw, type Credentials } from '../support/aws.ts'
import { admin, deniedByKey, deniedOn } from '../support/denials.ts'
import { beside, type Trent } from '../support/gateway.ts'
import { expectRefusal, keyArn, openScene, policyOf, statement, success, until, type Json, type Reply, type Scene } from '../support/scene.ts'

let scene: Scene
let other: Trent
const { account } = inject('installation')

beforeAll(async () => {
  scene = await openScene()
  other = await beside(scene.trent)
})
afterAll(async () => {
  await other.remove()
  await scene.close()
})

/** A call to the second gateway. */
async function there(operation: string, input: Json, credentials?: Credentials): Promise<Reply> {
  const { status, headers, text } = await raw(other.url, { target: `TrentService.${operation}`, body: JSON.stringify(input), ...(credentials === undefined ? {} : { credentials }) })
  return { status, headers, text, body: text === '' ? {} : JSON.parse(text) as Json }
}
const here: Scene['call'] = (operation, input, as) => scene.call(operation, input, as)
const encryptWith = (KeyId: string): Json => ({ KeyId, Plaintext: 'aGVsbG8=' })

/**
 * Milliseconds from the answer of a change here until the first answer there that shows it; 0 where it showed before. Every answer
 * after that one shows it too.
 */
async function latency(change: () => Promise<Reply>, ask: () => Promise<Reply>, shows: (reply: Reply) => boolean): Promise<number> {
  expect(shows(await ask())).toBe(false)
  const seen: { at: number; shown: boolean }[] = []
  let answered = Infinity
  const watching = until('the change to show on the other gateway', async () => {
    seen.push({ shown: shows(await ask()), at: performance.now() })
    return answered < Infinity && seen.slice(-3).every(({ shown }) => shown) && seen.length > 3
  })
  success(await change())
  answered = performance.now()
  await watching
  const first = seen.findIndex(({ shown }) => shown)
  expect(seen.slice(first).every(({ shown }) => shown)).toBe(true)
  return Math.max(0, (seen[first]?.at ?? Infinity) - answered)
}

function expectQuick(measured: readonly number[]): void {
  const sorted = [...measured].sort((a, b) => a - b)
  expect(sorted[Math.floor(sorted.length / 2)], `measured: ${measured.map(Math.round).join(', ')} ms`).toBeLessThan(100)
  expect(sorted.at(-1), `measured: ${measured.map(Math.round).join(', ')} ms`).toBeLessThan(2_000)
}

const isDisabled = ({ body }: Reply): boolean => body.__type === 'DisabledException'
const isDenied = ({ body }: Reply): boolean => body.__type === 'AccessDeniedException'

describe('two gateways on one database and one token', () => {
  it('open each other\'s ciphertexts', async () => {
    const { id } = await scene.newKey()
    const { CiphertextBlob } = success(await here('Encrypt', encryptWith(id)))
    expect(success(await there('Decrypt', { CiphertextBlob })).Plaintext).toBe('aGVsbG8=')
    const back = success(await there('Encrypt', encryptWith(id)))
    expect(success(await here('Decrypt', { CiphertextBlob: back.CiphertextBlob })).Plaintext).toBe('aGVsbG8=')
  })

  it('DisableKey on one stops the other within 100 ms, and EnableKey allows it as fast', async () => {
    const { id, arn } = await scene.newKey()
    const ask = (): Promise<Reply> => there('Encrypt', encryptWith(id))
    const [stopped, allowed]: [number[], number[]] = [[], []]
    for (let run = 0; run < 9; run++) {
      stopped.push(await latency(() => here('DisableKey', { KeyId: id }), ask, isDisabled))
      expectRefusal(await ask(), 'DisabledException', `${arn} is disabled.`)
      allowed.push(await latency(() => here('EnableKey', { KeyId: id }), ask, reply => reply.status === 200))
    }
    expectQuick(stopped)
    expectQuick(allowed)
  })

  it('stops the SDK of another application too, encrypting and decrypting', async () => {
    const { id, arn } = await scene.newKey()
    const client: KMSClient = kms(other.url)
    const { CiphertextBlob } = await client.send(new EncryptCommand({ KeyId: id, Plaintext: Buffer.from('hello') }))
    success(await here('DisableKey', { KeyId: id }))
    await until('the other gateway to hear of it', async () => isDisabled(await there('Encrypt', encryptWith(id))), 2_000)
    await expectError(client.send(new EncryptCommand({ KeyId: id, Plaintext: Buffer.from('hello') })), 'DisabledException', `${arn} is disabled.`)
    await expectError(client.send(new DecryptCommand({ CiphertextBlob })), 'DisabledException', `${arn} is disabled.`)
    client.destroy()
  })

  it('a new key policy, an alias that moves and one that is gone reach the other as fast', async () => {
    const [blue, red] = [await scene.newKey(), await scene.newKey()] as const
    const everyone = statement('Allow', 'kms:*', { AWS: account })
    const policies = [policyOf(everyone, statement('Deny', 'kms:Encrypt', '*')), policyOf(everyone)].map(policy => JSON.stringify(policy))
    const measured: number[] = []
    for (let run = 0; run < 4; run++) {
      const ask = (): Promise<Reply> => there('Encrypt', encryptWith(blue.id))
      measured.push(await latency(() => here('PutKeyPolicy', { KeyId: blue.id, Policy: policies[0] }), ask, isDenied))
      expectRefusal(await ask(), 'AccessDeniedException', deniedOn(admin, 'kms:Encrypt', blue.arn, deniedByKey))
      measured.push(await latency(() => here('PutKeyPolicy', { KeyId: blue.id, Policy: policies[1] }), ask, reply => !isDenied(reply)))
      const AliasName = `alias/${randomUUID()}`
      success(await here('CreateAlias', { AliasName, TargetKeyId: blue.id }))
      const use = (): Promise<Reply> => there('Encrypt', encryptWith(AliasName))
      await until('the alias to be known', async () => (await use()).status === 200, 2_000)
      measured.push(await latency(() => here('UpdateAlias', { AliasName, TargetKeyId: red.id }), use, ({ body }) => body.KeyId === red.arn))
      measured.push(await latency(() => here('DeleteAlias', { AliasName }), use, ({ body }) => body.__type === 'NotFoundException'))
    }
    expectQuick(measured)
  })

  it('of two that delete one alias at the same moment one has done it', async () => {
    const { id } = await scene.newKey()
    for (let run = 0; run < 5; run++) {
      const AliasName = `alias/${randomUUID()}`
      success(await here('CreateAlias', { AliasName, TargetKeyId: id }))
      await until('the alias to be known', async () => (await there('DescribeKey', { KeyId: AliasName })).status === 200, 2_000)
      const replies = await Promise.all([here('DeleteAlias', { AliasName }), there('DeleteAlias', { AliasName })])
      const [refused] = replies.filter(({ status }) => status !== 200)
      expect(replies.filter(({ status }) => status === 200)).toHaveLength(1)
      if (refused !== undefined) expectRefusal(refused, 'NotFoundException', `Alias ${keyArn('').replace('key/', AliasName)} is not found.`)
    }
  })

  it('each reads its own writes at once while the other writes the same key', async () => {
    const { id } = await scene.newKey()
    const write = async (call: typeof there, name: string): Promise<void> => {
      for (let run = 0; run < 15; run++) {
        const AliasName = `alias/${name}-${run}`
        success(await call('CreateAlias', { AliasName, TargetKeyId: id }))
        success(await call('Encrypt', encryptWith(AliasName)))
        success(await call('TagResource', { KeyId: id, Tags: [{ TagKey: name, TagValue: String(run) }] }))
        expect(success(await call('ListResourceTags', { KeyId: id })).Tags).toContainEqual({ TagKey: name, TagValue: String(run) })
      }
    }
    await Promise.all([write(here, 'here'), write(there, 'there')])
    expect(success(await here('ListAliases', { KeyId: id })).Aliases).toHaveLength(30)
  })
})
