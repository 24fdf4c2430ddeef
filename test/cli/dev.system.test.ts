// ./dev as a newcomer runs it, in a data folder of its own, so that a developer's .trent/ is left alone.
import { DecryptCommand, DescribeKeyCommand, EncryptCommand, KMSClient } from '@aws-sdk/client-kms'
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { removePostgres } from '../../src/cli/dev/postgres.ts'
import { findData, readState } from '../../src/cli/dev/data-folder.ts'
import { closed, freePorts, listen } from '../support/ports.ts'

const root = join(import.meta.dirname, '../..')
const folder = join(mkdtempSync(join(tmpdir(), 'trent-dev-')), 'data')
let port: number

function run(options: readonly string[], env: Record<string, string> = {}): ChildProcess {
  return spawn(join(root, 'dev'), [...options, '--data', folder], { env: { ...process.env, ...env }, stdio: ['ignore', 'pipe', 'pipe'] })
}

interface Outcome {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

async function dev(options: readonly string[], env: Record<string, string> = {}): Promise<Outcome> {
  const child = run(options, env)
  if (!child.stdout || !child.stderr) throw new Error('no pipes')
  const [stdout, stderr] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'close')])
  return { code: child.exitCode, stdout, stderr }
}

async function exported(): Promise<Map<string, string>> {
  const { stdout } = await dev(['--env'])
  return new Map(stdout.trimEnd().split('\n').map((line) => /^export (\w+)=(.*)$/.exec(line)?.slice(1) as [string, string]))
}

async function client(): Promise<KMSClient> {
  const variables = await exported()
  const variable = (name: string) => variables.get(name) ?? ''
  return new KMSClient({
    endpoint: variable('AWS_ENDPOINT_URL_KMS'),
    region: variable('AWS_REGION'),
    credentials: { accessKeyId: variable('AWS_ACCESS_KEY_ID'), secretAccessKey: variable('AWS_SECRET_ACCESS_KEY') },
    maxAttempts: 1,
  })
}

function remembered(): { server: number, key: string } {
  const data = findData(folder)
  const state = data && readState(data)
  if (!state?.server || !state.demoKey) throw new Error('nothing was remembered')
  return { server: state.server.pid, key: state.demoKey }
}

const Plaintext = Buffer.from('kept')
const encrypt = async (): Promise<Uint8Array> => {
  const { CiphertextBlob } = await (await client()).send(new EncryptCommand({ KeyId: remembered().key, Plaintext }))
  if (!CiphertextBlob) throw new Error('no ciphertext')
  return CiphertextBlob
}
const decrypt = async (CiphertextBlob: Uint8Array) => {
  const answer = await (await client()).send(new DecryptCommand({ CiphertextBlob }))
  return Buffer.from(answer.Plaintext ?? []).toString()
}

beforeAll(async () => {
  port = await freePorts()
  expect(await dev(['--detach', '--port', String(port)])).toMatchObject({ code: 0 })
}, 300_000)
afterAll(async () => {
  await dev(['--stop'])
  await removePostgres(folder)
  rmSync(join(folder, '..'), { recursive: true, force: true })
})

describe('./dev', { timeout: 120_000 }, () => {
  it('prints export lines and nothing else for --env', async () => {
    const { code, stdout } = await dev(['--env'])
    expect(code).toBe(0)
    expect(stdout.trimEnd().split('\n').map((line) => line.replace(/=.*/, ''))).toEqual([
      'export AWS_ENDPOINT_URL_KMS',
      'export AWS_ENDPOINT_URL_STS',
      'export AWS_ACCESS_KEY_ID',
      'export AWS_SECRET_ACCESS_KEY',
      'export AWS_REGION',
      'export AWS_DEFAULT_REGION',
    ])
    expect(stdout).toContain(`AWS_ENDPOINT_URL_KMS=http://127.0.0.1:${port}\n`)
  })

  it('keeps its folder and its secrets to their owner', () => {
    expect(statSync(folder).mode & 0o777).toBe(0o700)
    const secrets = ['pin', 'so-pin', 'credentials', 'recovery-key.pem', 'postgres.url', 'trent.log', 'trent.yaml', 'state.json']
    expect(secrets.filter((name) => (statSync(join(folder, name)).mode & 0o777) !== 0o600)).toEqual([])
    expect(readdirSync(folder)).not.toContain('lock')
  })

  it('finds itself running, returns at once and prints the same', async () => {
    const { server, key } = remembered()
    const { code, stdout } = await dev([])
    expect(code).toBe(0)
    expect(stdout).toContain(`Trent answers on http://127.0.0.1:${port}, account 111122223333, Region onprem-1.`)
    expect(stdout).toContain(`Encrypt `)
    expect(stdout).toContain((await exported()).get('AWS_SECRET_ACCESS_KEY'))
    expect(remembered()).toEqual({ server, key })
  })

  it('decrypts with the old key after kill -9 of the primary', async () => {
    const blob = await encrypt()
    const { server } = remembered()
    process.kill(server, 'SIGKILL')
    expect(await dev(['--detach'])).toMatchObject({ code: 0 })
    expect(remembered().server).not.toBe(server)
    expect(await decrypt(blob)).toBe('kept')
  })

  it('decrypts with the old key after kill -9 of Postgres', async () => {
    const blob = await encrypt()
    for (const name of readdirSync('/proc').filter((entry) => /^\d+$/.test(entry))) {
      const words = commandLine(name)
      if (words.includes(`port=${new URL(readFileSync(join(folder, 'postgres.url'), 'utf8')).port}`)) process.kill(Number(name), 'SIGKILL')
    }
    expect(await dev(['--detach'])).toMatchObject({ code: 0 })
    expect(await decrypt(blob)).toBe('kept')
  })

  it('moves with --port', async () => {
    const moved = await freePorts()
    expect(await dev(['--detach', '--port', String(moved)])).toMatchObject({ code: 0 })
    expect((await exported()).get('AWS_ENDPOINT_URL_KMS')).toBe(`http://127.0.0.1:${moved}`)
    await closed(await listen(port))
    port = moved
  })

  it('ends with --stop, and says so to --env', async () => {
    expect(await dev(['--stop'])).toMatchObject({ code: 0, stdout: 'Trent has ended; its data stays.\n' })
    expect(await dev(['--stop'])).toMatchObject({ code: 0, stdout: 'Nothing ran here.\n' })
    const { code, stdout, stderr } = await dev(['--env'])
    expect([code, stdout]).toEqual([1, ''])
    expect(stderr).toContain('Nothing runs here: start it with ./dev')
    await closed(await listen(port))
  })

  it('refuses a port that another program holds', async () => {
    const other = await listen(port)
    try {
      const { code, stderr } = await dev(['--detach'])
      expect(code).toBe(1)
      expect(stderr).toContain(`Port ${port} on 127.0.0.1 is taken by another program: choose another with --port`)
    } finally {
      await closed(other)
    }
  })

  it('refuses to listen beyond loopback', async () => {
    const { code, stderr } = await dev(['--detach'], { TRENT_LISTEN_HOST: '0.0.0.0' })
    expect(code).toBe(1)
    expect(stderr).toContain('listen.host: found 0.0.0.0; ./dev listens on loopback only')
  })

  it('stays in the foreground until Ctrl-C, and takes all it started with it', async () => {
    const child = run([])
    let printed = ''
    const up = new Promise<void>((resolve) => {
      child.stdout?.on('data', (bytes: Buffer) => {
        printed += bytes.toString()
        if (printed.includes('Ctrl-C ends it.')) resolve()
      })
    })
    await Promise.race([up, once(child, 'close')])
    expect(child.exitCode).toBe(null)
    const { server } = remembered()
    child.kill('SIGINT')
    await once(child, 'close')
    expect(child.exitCode).toBe(0)
    expect(commandLine(String(server))).toBe('')
    await closed(await listen(port))
  })

  it('starts anew with --reset: the old key is gone', async () => {
    const { key } = remembered()
    expect(await dev(['--detach', '--reset', '--port', String(port)])).toMatchObject({ code: 0 })
    expect(remembered().key).not.toBe(key)
    await expect((await client()).send(new DescribeKeyCommand({ KeyId: key }))).rejects.toMatchObject({
      name: 'NotFoundException',
      message: `Key '${key}' does not exist`,
    })
  })
})

function commandLine(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ')
  } catch {
    return ''
  }
}
