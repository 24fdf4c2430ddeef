// The AWS CLI itself, unmodified, with the environment that `./dev --env` prints and nothing else.
import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdir, writeFile } from 'node:fs/promises'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest'
import { exportLines } from '../../src/cli/dev/announce.ts'
import { findData } from '../../src/cli/dev/data-folder.ts'
import { loadConfig } from '../../src/config.ts'
import { startTrent, type Trent } from '../support/gateway.ts'

let trent: Trent
let environment: Record<string, string>
let keyArn: string
const { admin, account } = inject('installation')
const { TRENT_TEST_AWS: named } = process.env
const aws = named === undefined || named === '' ? join(homedir(), '.cache/trent/awscli/bin/aws') : named

interface Outcome {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

const run = (words: readonly string[]): Promise<Outcome> => new Promise(resolve => {
  execFile(aws, words, { env: environment, cwd: trent.directory, timeout: 50_000 }, (error, stdout, stderr) => {
    resolve({ code: error === null ? 0 : typeof error.code === 'number' ? error.code : -1, stdout, stderr })
  })
})

async function json(...words: readonly string[]): Promise<Record<string, unknown>> {
  const { code, stdout, stderr } = await run([...words, '--output', 'json'])
  if (code !== 0) throw new Error(`aws ${words.join(' ')} ended with ${code}: ${stderr}`)
  return JSON.parse(stdout) as Record<string, unknown>
}

beforeAll(async () => {
  if (!existsSync(aws)) throw new Error(`there is no AWS CLI at ${aws}: ./check installs one, or TRENT_TEST_AWS names it`)
  trent = await startTrent()
  // The folder of ./dev as far as the lines are made from it.
  const folder = join(trent.directory, 'dev')
  await mkdir(folder)
  await writeFile(join(folder, 'credentials'), `[default]\naws_access_key_id = ${admin.accessKeyId}\naws_secret_access_key = ${admin.secretAccessKey}\n`, { mode: 0o600 })
  const data = findData(folder)
  if (data === undefined) throw new Error('the folder was just made')
  const config = loadConfig({ file: trent.config, env: {} })
  const lines = exportLines(data, { ...config, listen: { ...config.listen, port: Number(new URL(trent.url).port) } })
  environment = Object.fromEntries(lines.map(line => /^export (\w+)=(.*)$/.exec(line)?.slice(1) as [string, string]))
  ;({ KeyMetadata: { Arn: keyArn } } = await json('kms', 'create-key', '--description', 'from the shell', '--tags', 'TagKey=team,TagValue=blue') as { KeyMetadata: { Arn: string } })
  await writeFile(join(trent.directory, 'hello.txt'), 'hello\u0000\n')
})
afterAll(() => trent.remove())

describe('the AWS CLI', () => {
  it('knows whose credentials it has', async () => {
    expect(await json('sts', 'get-caller-identity')).toEqual({ Account: account, Arn: `arn:aws:iam::${account}:user/admin`, UserId: expect.stringMatching(/^AIDA/) as string })
  })

  it('describes the key that it made', async () => {
    const { KeyMetadata } = await json('kms', 'describe-key', '--key-id', keyArn) as { KeyMetadata: object }
    expect(KeyMetadata).toMatchObject({ Arn: keyArn, Description: 'from the shell', KeyState: 'Enabled', Enabled: true, MultiRegion: false })
  })

  it('encrypts a file and opens it with the same context only', async () => {
    const { CiphertextBlob, KeyId } = await json('kms', 'encrypt', '--key-id', keyArn, '--plaintext', 'fileb://hello.txt', '--encryption-context', 'tenant=blue,purpose=mail')
    expect(KeyId).toBe(keyArn)
    await writeFile(join(trent.directory, 'hello.sealed'), Buffer.from(String(CiphertextBlob), 'base64'))
    const decrypt = ['kms', 'decrypt', '--ciphertext-blob', 'fileb://hello.sealed', '--encryption-context']
    const [opened, wrong, named] = await Promise.all([
      json(...decrypt, 'purpose=mail,tenant=blue'), run([...decrypt, 'tenant=red,purpose=mail']), run([...decrypt, 'purpose=mail,tenant=blue', '--key-id', keyArn.replace(/.$/, last => last === '0' ? '1' : '0')]),
    ])
    expect(Buffer.from(String(opened.Plaintext), 'base64').toString()).toBe('hello\u0000\n')
    expect(opened).toMatchObject({ KeyId: keyArn, EncryptionAlgorithm: 'SYMMETRIC_DEFAULT' })
    expect(wrong.stderr).toMatch(/An error occurred \(InvalidCiphertextException\) when calling the Decrypt operation: *$/m)
    expect(named.stderr).toMatch(/An error occurred \(NotFoundException\) when calling the Decrypt operation: Key '.*' does not exist$/m)
    // 255 in version 1 of the CLI, 254 in version 2.
    for (const { code } of [wrong, named]) expect([254, 255]).toContain(code)
  })

  it('pages through the keys by itself', async () => {
    await Promise.all([json('kms', 'create-key'), json('kms', 'create-key')])
    const [paged, whole] = await Promise.all([json('kms', 'list-keys', '--page-size', '1'), json('kms', 'list-keys', '--no-paginate')]) as { Keys: { KeyId: string; KeyArn: string }[] }[]
    expect(whole?.Keys).toHaveLength(3)
    expect(paged?.Keys).toEqual(whole?.Keys)
    expect(whole?.Keys.map(key => key.KeyArn)).toContain(keyArn)
  })

  it('gets random bytes', async () => {
    const { Plaintext } = await json('kms', 'generate-random', '--number-of-bytes', '32')
    expect(Buffer.from(String(Plaintext), 'base64')).toHaveLength(32)
  })
})
