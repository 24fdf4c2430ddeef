// The everyday operations through the AWS CLI itself: each with an input that is right and one that is not.
import { execFile, execFileSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest'
import { defaultKeyPolicy } from '../../src/authz/default-policy.ts'
import { region } from '../support/aws.ts'
import { openScene, policyOf, statement, type Scene, type TestKey } from '../support/scene.ts'

let scene: Scene
let blue: TestKey
let red: TestKey
const { admin, account } = inject('installation')
const { TRENT_TEST_AWS: named } = process.env
const aws = named === undefined || named === '' ? join(homedir(), '.cache/trent/awscli/bin/aws') : named
const policy = JSON.stringify(policyOf(statement('Allow', 'kms:*', { AWS: `arn:aws:iam::${account}:root` })))

interface Outcome {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

const run = (words: readonly string[]): Promise<Outcome> => new Promise(resolve => {
  const env = {
    PATH: process.env.PATH, HOME: scene.trent.directory, AWS_ENDPOINT_URL: scene.trent.url, AWS_REGION: region, AWS_DEFAULT_REGION: region, AWS_ACCESS_KEY_ID: admin.accessKeyId,
    AWS_SECRET_ACCESS_KEY: admin.secretAccessKey, AWS_MAX_ATTEMPTS: '1', AWS_PAGER: '',
  }
  execFile(aws, ['kms', ...words, '--output', 'json'], { env, cwd: scene.trent.directory, timeout: 50_000 }, (error, stdout, stderr) => {
    resolve({ code: error === null ? 0 : typeof error.code === 'number' ? error.code : -1, stdout, stderr })
  })
})

/** What the command prints; {} where the operation answers nothing. */
async function output(...words: readonly string[]): Promise<Record<string, unknown>> {
  const { code, stdout, stderr } = await run(words)
  if (code !== 0) throw new Error(`aws kms ${words.join(' ')} ended with ${code}: ${stderr}`)
  return stdout === '' ? {} : JSON.parse(stdout) as Record<string, unknown>
}

beforeAll(async () => {
  if (!existsSync(aws)) throw new Error(`there is no AWS CLI at ${aws}: ./check installs one, or TRENT_TEST_AWS names it`)
  scene = await openScene()
  ;[blue, red] = [await scene.newKey(), await scene.newKey()]
  await writeFile(join(scene.trent.directory, 'policy.json'), policy)
})
afterAll(() => scene.close())

describe('the AWS CLI, with what is right', () => {
  it.each([['RSA_2048', 'RSASSA_PKCS1_V1_5_SHA_256', 'sha256'], ['ECC_NIST_P384', 'ECDSA_SHA_384', 'sha384']] as const)('signs a digest with a key of spec %s so that openssl dgst verifies it', async (spec, algorithm, hash) => {
    const file = (name: string): string => join(scene.trent.directory, name)
    const { KeyMetadata } = await output('create-key', '--key-spec', spec, '--key-usage', 'SIGN_VERIFY')
    const { KeyId: id } = KeyMetadata as { KeyId: string }
    await writeFile(file('message'), 'message')
    execFileSync('openssl', ['dgst', `-${hash}`, '-binary', '-out', file('digest'), file('message')])
    const { Signature } = await output('sign', '--key-id', id, '--message', 'fileb://digest', '--message-type', 'DIGEST', '--signing-algorithm', algorithm)
    const { PublicKey } = await output('get-public-key', '--key-id', id)
    await writeFile(file('signature'), Buffer.from(String(Signature), 'base64'))
    await writeFile(file('public.der'), Buffer.from(String(PublicKey), 'base64'))
    expect(execFileSync('openssl', ['dgst', `-${hash}`, '-verify', file('public.der'), '-keyform', 'DER', '-signature', file('signature'), file('message')]).toString()).toBe('Verified OK\n')
    expect(await output('verify', '--key-id', id, '--message', 'fileb://digest', '--message-type', 'DIGEST', '--signing-algorithm', algorithm, '--signature', 'fileb://signature')).toMatchObject({ SignatureValid: true })
  })

  it('makes data keys, moves their ciphertexts to another key and opens them there', async () => {
    const [shown, hidden] = await Promise.all([
      output('generate-data-key', '--key-id', blue.id, '--key-spec', 'AES_256', '--encryption-context', 'tenant=blue'),
      output('generate-data-key-without-plaintext', '--key-id', blue.arn, '--number-of-bytes', '40'),
    ])
    expect(Buffer.from(String(shown.Plaintext), 'base64')).toHaveLength(32)
    expect(hidden).toEqual({ CiphertextBlob: expect.any(String) as string, KeyId: blue.arn, ...('KeyMaterialId' in hidden ? { KeyMaterialId: hidden.KeyMaterialId } : {}) })
    await writeFile(join(scene.trent.directory, 'data-key.sealed'), Buffer.from(String(shown.CiphertextBlob), 'base64'))
    const moved = await output('re-encrypt', '--ciphertext-blob', 'fileb://data-key.sealed', '--source-encryption-context', 'tenant=blue', '--destination-key-id', red.id, '--destination-encryption-context', 'tenant=red')
    expect(moved).toMatchObject({ SourceKeyId: blue.arn, KeyId: red.arn })
    await writeFile(join(scene.trent.directory, 'moved.sealed'), Buffer.from(String(moved.CiphertextBlob), 'base64'))
    expect((await output('decrypt', '--ciphertext-blob', 'fileb://moved.sealed', '--encryption-context', 'tenant=red')).Plaintext).toBe(shown.Plaintext)
  })

  it('makes, moves, lists and deletes an alias', async () => {
    expect(await output('create-alias', '--alias-name', 'alias/cli', '--target-key-id', blue.id)).toEqual({})
    expect(await output('update-alias', '--alias-name', 'alias/cli', '--target-key-id', red.id)).toEqual({})
    const { Aliases } = await output('list-aliases', '--key-id', red.arn)
    expect(Aliases).toMatchObject([{ AliasName: 'alias/cli', AliasArn: red.arn.replace(/key\/.*/, 'alias/cli'), TargetKeyId: red.id }])
    expect(await output('delete-alias', '--alias-name', 'alias/cli')).toEqual({})
    expect(await output('list-aliases')).toEqual({ Aliases: [] })
  })

  it('disables a key and enables it, and describes it anew', async () => {
    expect(await output('disable-key', '--key-id', red.id)).toEqual({})
    expect((await output('describe-key', '--key-id', red.id)).KeyMetadata).toMatchObject({ KeyState: 'Disabled' })
    expect(await output('enable-key', '--key-id', red.id)).toEqual({})
    expect(await output('update-key-description', '--key-id', red.id, '--description', 'from the shell')).toEqual({})
    expect((await output('describe-key', '--key-id', red.id)).KeyMetadata).toMatchObject({ KeyState: 'Enabled', Description: 'from the shell' })
  })

  it('reads and writes a key policy', async () => {
    const [{ Policy, PolicyName }, { PolicyNames }] = await Promise.all([output('get-key-policy', '--key-id', red.id, '--policy-name', 'default'), output('list-key-policies', '--key-id', red.id)])
    expect({ Policy, PolicyName, PolicyNames }).toEqual({ Policy: defaultKeyPolicy(account), PolicyName: 'default', PolicyNames: ['default'] })
    expect(await output('put-key-policy', '--key-id', red.id, '--policy-name', 'default', '--policy', 'file://policy.json')).toEqual({})
    expect(JSON.parse(String((await output('get-key-policy', '--key-id', red.id)).Policy))).toEqual(JSON.parse(policy))
  })

  it('tags, lists page by page by itself, and takes away', async () => {
    expect(await output('tag-resource', '--key-id', red.id, '--tags', 'TagKey=team,TagValue=red', 'TagKey=stage,TagValue=')).toEqual({})
    expect((await output('list-resource-tags', '--key-id', red.id, '--page-size', '1')).Tags).toEqual([{ TagKey: 'team', TagValue: 'red' }, { TagKey: 'stage', TagValue: '' }])
    expect(await output('untag-resource', '--key-id', red.id, '--tag-keys', 'stage', 'absent')).toEqual({})
    expect((await output('list-resource-tags', '--key-id', red.id)).Tags).toEqual([{ TagKey: 'team', TagValue: 'red' }])
  })
})

const absent = '00000000-0000-4000-8000-000000000000'
const notThere = `Key 'arn:aws:kms:${region}:${account}:key/${absent}' does not exist`
const prefix = 'Alias must start with the prefix "alias/". Please see https://docs.aws.amazon.com/kms/latest/developerguide/kms-alias.html'

/** Operation as the CLI calls it, its words, the error and its text. BLUE and RED stand for the ids of two keys. */
const refusals: readonly (readonly [operation: string, words: readonly string[], type: string, text: string])[] = [
  ['ReEncrypt', ['--ciphertext-blob', 'fileb://foreign.sealed', '--source-key-id', 'RED', '--destination-key-id', 'RED'], 'IncorrectKeyException', 'The key ID in the request does not identify a CMK that can perform this operation.'],
  ['GenerateDataKey', ['--key-id', 'BLUE', '--key-spec', 'AES_256', '--number-of-bytes', '32'], 'ValidationException', 'Please specify either number of bytes or key spec.'],
  ['GenerateDataKeyWithoutPlaintext', ['--key-id', 'BLUE', '--key-spec', 'AES_256', '--dry-run'], 'DryRunOperationException', 'The request would have succeeded, but the DryRun option is set.'],
  ['CreateAlias', ['--alias-name', 'cli', '--target-key-id', 'BLUE'], 'ValidationException', prefix],
  ['UpdateAlias', ['--alias-name', 'alias/absent', '--target-key-id', 'BLUE'], 'NotFoundException', `Alias arn:aws:kms:${region}:${account}:alias/absent is not found.`],
  ['DeleteAlias', ['--alias-name', 'alias/aws/s3'], 'NotAuthorizedException', ''],
  ['ListAliases', ['--key-id', 'fake-key-id'], 'NotFoundException', "Invalid keyId 'fake-key-id'"],
  ['EnableKey', ['--key-id', absent], 'NotFoundException', notThere],
  ['DisableKey', ['--key-id', 'alias/cli'], 'NotFoundException', "Invalid keyId 'alias/cli'"],
  ['UpdateKeyDescription', ['--key-id', absent, '--description', 'x'], 'NotFoundException', notThere],
  ['GetKeyPolicy', ['--key-id', 'BLUE', '--policy-name', 'other'], 'NotFoundException', 'No such policy exists'],
  ['PutKeyPolicy', ['--key-id', 'BLUE', '--policy', '{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Principal":"*","Action":"kms:*","Resource":"*"}]}'], 'MalformedPolicyDocumentException', 'The new key policy will not allow you to update the key policy in the future.'],
  ['ListKeyPolicies', ['--key-id', absent], 'NotFoundException', notThere],
  ['TagResource', ['--key-id', 'BLUE', '--tags', 'TagKey=aws:x,TagValue=y'], 'TagException', 'Tags beginning with aws: are reserved'],
  ['UntagResource', ['--key-id', absent, '--tag-keys', 'x'], 'NotFoundException', notThere],
  ['ListResourceTags', ['--key-id', 'BLUE', '--no-paginate', '--marker', 'made-up'], 'InvalidMarkerException', ''],
]

describe('the AWS CLI, with what is not', () => {
  it('says AWS\'s words for every operation', async () => {
    const { body: { CiphertextBlob } } = await scene.call('Encrypt', { KeyId: blue.id, Plaintext: 'aGVsbG8=' })
    await writeFile(join(scene.trent.directory, 'foreign.sealed'), Buffer.from(String(CiphertextBlob), 'base64'))
    const left = [...refusals]
    const work = async (): Promise<void> => {
      for (let next = left.shift(); next !== undefined; next = left.shift()) {
        const [operation, words, type, text] = next
        const command = operation.replace(/(?!^)[A-Z]/g, '-$&').toLowerCase()
        const { code, stderr } = await run([command, ...words.map(word => ({ BLUE: blue.id, RED: red.id })[word] ?? word)])
        expect(stderr.trim(), operation).toMatch(/^(?:aws: \[ERROR\]: )?An error occurred/)
        expect(stderr.trim().replace(/^aws: \[ERROR\]: /, ''), operation).toBe(`An error occurred (${type}) when calling the ${operation} operation: ${text}`.trim())
        // 255 in version 1 of the CLI, 254 in version 2.
        expect([254, 255]).toContain(code)
      }
    }
    await Promise.all([work(), work()])
  })
})
