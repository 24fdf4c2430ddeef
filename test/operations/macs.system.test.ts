import { createHmac, randomBytes } from 'node:crypto'
import { GenerateMacCommand, VerifyMacCommand, type KMSClient, type MacAlgorithmSpec } from '@aws-sdk/client-kms'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { kms } from '../support/aws.ts'
import { expectRefusal, openScene, success, type Json, type Scene, type TestKey } from '../support/scene.ts'
import { commonSections } from '../support/sections.ts'

const sizes = [224, 256, 384, 512] as const
type Size = (typeof sizes)[number]
const hello = 'aGVsbG8='

let scene: Scene
let client: KMSClient
let keys: Readonly<Record<Size, TestKey>>

beforeAll(async () => {
  scene = await openScene()
  client = kms(scene.trent.url)
  const made = await Promise.all(sizes.map(async size => [size, await scene.newKey({ KeySpec: `HMAC_${size}`, KeyUsage: 'GENERATE_VERIFY_MAC' })] as const))
  keys = Object.fromEntries(made) as Record<Size, TestKey>
})
afterAll(async () => {
  client.destroy()
  await scene.close()
})

const hmacKey = { KeySpec: 'HMAC_256', KeyUsage: 'GENERATE_VERIFY_MAC' }
const generate = async (size: Size, Message: string): Promise<Buffer> =>
  Buffer.from(String(success(await scene.call('GenerateMac', { KeyId: keys[size].id, Message, MacAlgorithm: `HMAC_SHA_${size}` })).Mac), 'base64')
const verify = (size: Size, Message: string, Mac: Buffer, more: Json = {}) =>
  scene.call('VerifyMac', { KeyId: keys[size].id, Message, MacAlgorithm: `HMAC_SHA_${size}`, Mac: Mac.toString('base64'), ...more })

commonSections('GenerateMac', () => scene, ({ key: { id } }) => ({ KeyId: id, Message: hello, MacAlgorithm: 'HMAC_SHA_256' }), hmacKey)
const macs = new Map<string, unknown>()
commonSections('VerifyMac', () => scene, async ({ key: { id } }) => {
  // Made once: the sections go on to ask while the key is disabled.
  if (!macs.has(id)) macs.set(id, success(await scene.call('GenerateMac', { KeyId: id, Message: hello, MacAlgorithm: 'HMAC_SHA_256' })).Mac)
  return { KeyId: id, Message: hello, MacAlgorithm: 'HMAC_SHA_256', Mac: macs.get(id) }
}, hmacKey)

describe.each(sizes)('a key of spec HMAC_%i', size => {
  it('says what it is, and not which material it has', async () => {
    const { KeyMetadata } = success(await scene.call('DescribeKey', { KeyId: keys[size].id })) as { KeyMetadata: Json }
    expect(KeyMetadata).toMatchObject({ KeySpec: `HMAC_${size}`, CustomerMasterKeySpec: `HMAC_${size}`, KeyUsage: 'GENERATE_VERIFY_MAC', MacAlgorithms: [`HMAC_SHA_${size}`], Enabled: true })
    expect(Object.keys(KeyMetadata)).not.toContain('CurrentKeyMaterialId')
    expect(Object.keys(KeyMetadata)).not.toContain('EncryptionAlgorithms')
  })

  it('makes MACs of messages of every length, and verifies them', async () => {
    for (const length of [1, 63, 64, 65, 127, 128, 129, 4095, 4096]) {
      const Message = randomBytes(length).toString('base64')
      const mac = await generate(size, Message)
      expect(mac).toHaveLength(size / 8)
      expect(await generate(size, Message)).toEqual(mac)
      expect(success(await verify(size, Message, mac))).toEqual({ KeyId: keys[size].arn, MacValid: true, MacAlgorithm: `HMAC_SHA_${size}` })
    }
  })

  it('says the ARN and the algorithm beside a MAC', async () => {
    const { Mac, ...others } = success(await scene.call('GenerateMac', { KeyId: keys[size].id, Message: hello, MacAlgorithm: `HMAC_SHA_${size}` }))
    expect(others).toEqual({ KeyId: keys[size].arn, MacAlgorithm: `HMAC_SHA_${size}` })
    expect(typeof Mac).toBe('string')
  })

  it('refuses a MAC with any bit changed, cut short, made longer, or of another message, key or size, without a word', async () => {
    const mac = await generate(size, hello)
    const changed = Array.from(mac, (byte, at) => Buffer.from(mac).fill(byte ^ (1 << (at % 8)), at, at + 1))
    const wrong = [...changed, mac.subarray(0, -1), mac.subarray(1), mac.subarray(0, 1), Buffer.concat([mac, Buffer.alloc(1)]), Buffer.alloc(mac.length), Buffer.alloc(6144, 7),
      createHmac(`sha${size}`, '').update('hello').digest()]
    for (const Mac of wrong) expectRefusal(await verify(size, hello, Mac), 'KMSInvalidMacException')
    expectRefusal(await verify(size, 'aGVsbG8h', mac), 'KMSInvalidMacException')
    const other = await scene.newKey({ KeySpec: `HMAC_${size}`, KeyUsage: 'GENERATE_VERIFY_MAC' })
    expectRefusal(await verify(size, hello, mac, { KeyId: other.id }), 'KMSInvalidMacException')
  })

  it('takes its own algorithm only', async () => {
    for (const other of sizes.filter(one => one !== size)) {
      const text = `Algorithm HMAC_SHA_${other} is incompatible with key spec HMAC_${size}.`
      expectRefusal(await scene.call('GenerateMac', { KeyId: keys[size].id, Message: hello, MacAlgorithm: `HMAC_SHA_${other}` }), 'InvalidKeyUsageException', text)
      expectRefusal(await verify(size, hello, Buffer.alloc(other / 8), { MacAlgorithm: `HMAC_SHA_${other}` }), 'InvalidKeyUsageException', text)
    }
  })

  it('works through the SDK', async () => {
    const input = { KeyId: keys[size].arn, Message: Buffer.from('hello'), MacAlgorithm: `HMAC_SHA_${size}` as MacAlgorithmSpec }
    const { Mac } = await client.send(new GenerateMacCommand(input))
    expect(await client.send(new VerifyMacCommand({ ...input, Mac }))).toMatchObject({ MacValid: true, KeyId: keys[size].arn })
  })
})

describe('what is asked of a wrong key', () => {
  it('names the usage that the key has', async () => {
    const symmetric = await scene.newKey()
    for (const [operation, more] of [['GenerateMac', {}], ['VerifyMac', { Mac: hello }]] as const) {
      expectRefusal(await scene.call(operation, { KeyId: symmetric.id, Message: hello, MacAlgorithm: 'HMAC_SHA_256', ...more }), 'InvalidKeyUsageException',
        `${symmetric.arn} key usage is ENCRYPT_DECRYPT which is not valid for ${operation}.`)
    }
    expectRefusal(await scene.call('Encrypt', { KeyId: keys[256].id, Plaintext: hello }), 'InvalidKeyUsageException', `${keys[256].arn} key usage is GENERATE_VERIFY_MAC which is not valid for Encrypt.`)
  })
})

describe('a dry run', () => {
  it('does all that the call does, and answers nothing', async () => {
    const text = 'The request would have succeeded, but the DryRun option is set.'
    expectRefusal(await scene.call('GenerateMac', { KeyId: keys[256].id, Message: hello, MacAlgorithm: 'HMAC_SHA_256', DryRun: true }), 'DryRunOperationException', text)
    expectRefusal(await verify(256, hello, await generate(256, hello), { DryRun: true }), 'DryRunOperationException', text)
    expectRefusal(await verify(256, hello, Buffer.alloc(32), { DryRun: true }), 'KMSInvalidMacException')
  })
})
