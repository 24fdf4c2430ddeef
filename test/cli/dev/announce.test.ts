import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { exportLines, outdatedAws } from '../../../src/cli/dev/announce.ts'
import { openData, readState, remember, withLock, type DataFolder } from '../../../src/cli/dev/data-folder.ts'
import { devConfig, writeConfig } from '../../../src/cli/dev/server.ts'
import { recoveryFingerprint } from '../../../src/cli/dev/token.ts'
import { StartError } from '../../../src/errors.ts'

let data: DataFolder
beforeAll(() => {
  data = openData(join(mkdtempSync(join(tmpdir(), 'trent-announce-')), 'data'))
  const urlFile = join(data.path, 'postgres.url')
  writeFileSync(urlFile, 'postgres://trent:secret@127.0.0.1:5432/postgres', { mode: 0o600 })
  writeConfig(data, 9_000, urlFile)
})
afterAll(() => rmSync(join(data.path, '..'), { recursive: true }))

describe('the warning about the AWS CLI', () => {
  it.each([
    ['aws-cli/2.9.19 Python/3.11.2 Linux/6.1.0 source/x86_64.debian.12 prompt/off', '2.9.19'],
    ['aws-cli/2.12.7 Python/3.11.4', '2.12.7'],
    ['aws-cli/1.28.85 Python/3.9.2', '1.28.85'],
    ['aws-cli/2.13.0 Python/3.11.4', undefined],
    ['aws-cli/1.29.0 Python/3.9.2', undefined],
    ['aws-cli/1.44.3 Python/3.11.2', undefined],
    ['aws-cli/3.0.0 Python/3.14.0', undefined],
    ['', undefined],
    ['bash: aws: command not found', undefined],
  ])('of %j names %j', (banner, version) => {
    expect(outdatedAws(banner)).toBe(version)
  })
})

describe('the environment of ./dev', () => {
  it('is one export line for each variable, quoted where the shell would read more into it', () => {
    writeFileSync(data.credentials, '[default]\naws_access_key_id = AKIAEXAMPLE\naws_secret_access_key = a/b+c\'$(id)\n', { mode: 0o600 })
    expect(exportLines(data, devConfig(data))).toEqual([
      'export AWS_ENDPOINT_URL_KMS=http://127.0.0.1:9000',
      'export AWS_ENDPOINT_URL_STS=http://127.0.0.1:9000',
      'export AWS_ACCESS_KEY_ID=AKIAEXAMPLE',
      'export AWS_SECRET_ACCESS_KEY=\'a/b+c\'\\\'\'$(id)\'',
      'export AWS_REGION=onprem-1',
      'export AWS_DEFAULT_REGION=onprem-1',
    ])
  })

  it('says what to do where the access key is lost', () => {
    writeFileSync(data.credentials, '', { mode: 0o600 })
    const sentence = `${data.credentials} holds no access key: start anew with --reset`
    expect(() => exportLines(data, devConfig(data))).toThrow(new StartError(sentence))
  })
})

describe('the configuration of ./dev', () => {
  it('serves the API on the port and metrics on the next', () => {
    const config = devConfig(data)
    expect([config.listen, config.private]).toEqual([{ host: '127.0.0.1', port: 9_000 }, { host: '127.0.0.1', port: 9_001 }])
    expect(config.dataDirectory).toBe(data.path)
  })

  it.each(['TRENT_LISTEN_HOST', 'TRENT_PRIVATE_HOST'])('refuses to listen beyond loopback by %s', (name) => {
    process.env[name] = '0.0.0.0'
    try {
      const setting = name === 'TRENT_LISTEN_HOST' ? 'listen.host' : 'private.host'
      expect(() => devConfig(data)).toThrow(new StartError(`${setting}: found 0.0.0.0; ./dev listens on loopback only`))
    } finally {
      Reflect.deleteProperty(process.env, name)
    }
  })

  it('does not follow a shell to another Trent\'s database', () => {
    process.env.TRENT_DATABASE_URL = 'postgres://production/trent'
    try {
      expect(devConfig(data).database.url).toBe('postgres://trent:secret@127.0.0.1:5432/postgres')
    } finally {
      delete process.env.TRENT_DATABASE_URL
    }
  })
})

describe('the data folder', () => {
  it('keeps what it remembers when more is added', () => {
    remember(data, { port: 9_000 })
    remember(data, { demoKey: 'arn' })
    expect(readState(data)).toEqual({ port: 9_000, demoKey: 'arn' })
  })

  it('lets one ./dev in at a time', async () => {
    const order: string[] = []
    const turn = (name: string) =>
      withLock(data, async () => {
        order.push(`${name} in`)
        await new Promise((resolve) => setImmediate(resolve))
        order.push(`${name} out`)
      })
    await Promise.all([turn('a'), turn('b')])
    expect(order).toEqual(order[0] === 'a in' ? ['a in', 'a out', 'b in', 'b out'] : ['b in', 'b out', 'a in', 'a out'])
  })

  it('opens a lock whose holder was killed', async () => {
    writeFileSync(join(data.path, 'lock'), JSON.stringify({ pid: process.pid, since: 'before this process began' }))
    expect(await withLock(data, () => Promise.resolve('in'))).toBe('in')
  })

  it('keeps one recovery key, and its fingerprint with it', () => {
    const first = recoveryFingerprint(data)
    expect(first).toMatch(/^[0-9a-f]{64}$/)
    expect(recoveryFingerprint(data)).toBe(first)
  })
})
