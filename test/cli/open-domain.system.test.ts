// What must not start does not: each fault of token, PIN, library or database ends the command with exit code 1 and one sentence.
import { randomUUID } from 'node:crypto'
import { chmodSync, chownSync, existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest'
import { chaosToken } from '../support/chaos.ts'
import { command, refusal } from '../support/command.ts'
import { newFolder, softhsmLibrary, tokenConfig, tokenLabel, writeConfig, writeTokenFiles, type ConfigChanges } from '../support/installation.ts'
import { cloneDatabase, emptyDatabase, freshDatabase, type TestDatabase } from '../support/postgres.ts'
import { useSites, type Site, type SiteOptions } from '../support/site.ts'
import { poke } from '../support/token.ts'

const wrongPin = 'hsm.tokens.pinFile: the token \'trent-test\' refuses the PIN (CKR_PIN_INCORRECT); no host tries it again before `trent hsm unlatch`, since HSMs lock'

const newSite = useSites()

/** A copy of the run's installation, with another database or other settings. */
const site = async ({ database, ...others }: Partial<SiteOptions> = {}): Promise<Site> =>
  newSite({ token: 'initialised', database: database ?? await cloneDatabase(inject('installation').template), ...others })

const withToken = (settings: object) => (directory: string): ConfigChanges => ({ hsm: { tokens: [{ ...tokenConfig(directory), ...settings }] } })

/** The commands that open a domain, each with what it needs besides. */
const commands = [['serve'], ['iam', 'create-admin', '--account', '444455556666', '--name', 'second']] as const
const eachCommand = (config: string): Promise<object[]> => Promise.all(commands.map(async words => {
  const { code, stderr } = await command(...words, '--config', config)
  return { code, stderr }
}))
const bothRefuse = (sentence: string): object[] => commands.map(() => refusal(sentence))

async function inDatabase(url: string, statement: string, values: unknown[] = []): Promise<void> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  try {
    expect((await client.query(statement, values)).rowCount).toBe(1)
  } finally {
    await client.end()
  }
}

describe('the token', () => {
  it('that is not there', async () => {
    const { config } = await site({ changes: withToken({ label: 'nobody' }) })
    expect(await eachCommand(config)).toEqual(bothRefuse(`hsm.tokens.label: ${softhsmLibrary} has no token with label 'nobody'`))
  })

  it('of another serial number', async () => {
    const { config } = await site({ changes: withToken({ serial: '0123456789abcdef' }) })
    expect(await eachCommand(config)).toEqual(bothRefuse(`hsm.tokens.label: ${softhsmLibrary} has no token with label 'trent-test' and serial 0123456789abcdef`))
  })

  it('that has a twin by its label, until its serial number is given', async () => {
    const { config, directory, database } = await site()
    const serial = await poke<string>(directory, 'serial')
    expect(await poke(directory, 'twin')).toBe(0)
    const sentence = /^hsm\.tokens\.label: 2 tokens have the label 'trent-test': set hsm\.tokens\.serial to one of ([0-9a-f]{16}), ([0-9a-f]{16})\n$/
    for (const outcome of await eachCommand(config)) expect(outcome).toMatchObject({ code: 1, stderr: expect.stringMatching(sentence) as string })
    const named = await writeConfig(directory, database.url, withToken({ serial })(directory))
    expect(await command('iam', 'create-admin', '--account', '444455556666', '--name', 'second', '--config', named)).toMatchObject({ code: 0, stderr: '' })
  })

  it('that has a twin by label and serial number', async () => {
    const directory = await newFolder('twin')
    await writeTokenFiles(directory, inject('installation').directory)
    const chaos = await chaosToken(directory)
    const serial = await poke<string>(directory, 'serial')
    chaos.control({ twin: true })
    const { config } = await site({ changes: () => ({ hsm: { tokens: [{ ...chaos.token, serial }] } }) })
    expect(await eachCommand(config)).toEqual(bothRefuse(`hsm.tokens.serial: 2 tokens have the label 'trent-test' and the serial number ${serial}: ${chaos.token.library} must show one of them only`))
    expect(chaos.logins()).toEqual([])
    await rm(directory, { recursive: true, force: true })
  })

  it('with an option that is none', async () => {
    const { config } = await site({ changes: withToken({ slot: 0 }) })
    expect(await eachCommand(config)).toEqual(bothRefuse('hsm.tokens[0].slot is not a setting of Trent'))
    const { config: other } = await site({ changes: withToken({ pinVersion: 0 }) })
    expect(await eachCommand(other)).toEqual(bothRefuse('hsm.tokens[0].pinVersion: found 0; allowed is a whole number of changes from 1 to 1000000'))
    expect(await command('serve', '--slot', '0', '--config', config)).toMatchObject(refusal('error: unknown option \'--slot\''))
  })

  it('of an unknown profile', async () => {
    const { config } = await site({ changes: withToken({ profile: 'abacus' }) })
    const [serve] = await eachCommand(config)
    expect(serve).toMatchObject({ code: 1, stderr: expect.stringMatching(/^hsm\.tokens\.profile is 'abacus': known are .*softhsm.*\n$/) as string })
  })

  it('that is not named, or named twice', async () => {
    const none = await site({ changes: () => ({ hsm: { tokens: [] } }) })
    expect(await eachCommand(none.config)).toEqual(bothRefuse('hsm.tokens is empty: name the token that holds the domain'))
    const two = await site({ changes: directory => ({ hsm: { tokens: [tokenConfig(directory), tokenConfig(directory)] } }) })
    expect(await eachCommand(two.config)).toEqual(bothRefuse('hsm.tokens names \'trent-test\' twice: logs, metrics and commands tell tokens apart by their labels'))
  })
})

describe('the PIN', () => {
  /** SoftHSM writes token.object at each login, and counts: its first 8 bytes. */
  const writesOf = (directory: string): bigint => {
    const [name = ''] = readdirSync(join(directory, 'tokens'))
    return readFileSync(join(directory, 'tokens', name, 'token.object')).readBigUInt64BE()
  }
  const during = async (directory: string, work: () => Promise<unknown>): Promise<bigint> => {
    const before = writesOf(directory)
    await work()
    return writesOf(directory) - before
  }

  it('that is wrong is tried exactly once', async () => {
    const pins = [await site(), await site(), await site()]
    for (const { directory } of pins) writeFileSync(join(directory, 'pin'), '99999999')
    const [serving, admin, counted] = pins.map(one => one)
    if (serving === undefined || admin === undefined || counted === undefined) throw new Error('three sites')
    const attempt = (): Promise<unknown> => poke(counted.directory, 'login', { pin: '99999999' })
    const once = await during(counted.directory, async () => { expect(await attempt()).toEqual({ login: 0xa0 }) })
    const again = await during(counted.directory, attempt)
    // Or the comparison below would prove nothing.
    expect([once > 0n, again > 0n]).toEqual([true, true])

    expect(await during(serving.directory, async () => { expect(await command('serve', '--config', serving.config)).toMatchObject(refusal(wrongPin)) })).toBe(once)
    expect(await during(admin.directory, async () => {
      expect(await command('iam', 'create-admin', '--account', '444455556666', '--name', 'a', '--config', admin.config)).toMatchObject(refusal(wrongPin))
    })).toBe(once)
  })

  it('in a file that others may read', async () => {
    const { directory, config } = await site()
    chmodSync(join(directory, 'pin'), 0o644)
    expect(await eachCommand(config)).toEqual(bothRefuse(`hsm.tokens.pinFile: ${join(directory, 'pin')} has mode 644; allowed is 600 or stricter`))
  })

  it('in a file that is empty, or not there', async () => {
    const { directory, config } = await site()
    writeFileSync(join(directory, 'pin'), '\n')
    expect(await eachCommand(config)).toEqual(bothRefuse(`hsm.tokens.pinFile: ${join(directory, 'pin')} is empty`))
    await rm(join(directory, 'pin'))
    expect(await eachCommand(config)).toEqual(bothRefuse(`hsm.tokens.pinFile: ${join(directory, 'pin')} cannot be read (ENOENT)`))
  })

  it('in what is no file, or in a file of somebody else', async () => {
    const { directory, config } = await site({ changes: withTokenIn => withToken({ pinFile: join(withTokenIn, 'tokens') })(withTokenIn) })
    expect(await eachCommand(config)).toEqual(bothRefuse(`hsm.tokens.pinFile: ${join(directory, 'tokens')} is not a regular file`))
    // Only root can give a file away, or enter where nobody may.
    if (process.geteuid?.() === 0) {
      const other = await site()
      chownSync(join(other.directory, 'pin'), 4711, 4711)
      expect(await eachCommand(other.config)).toEqual(bothRefuse(`hsm.tokens.pinFile: ${join(other.directory, 'pin')} belongs to user 4711; allowed are 0 and root`))
    } else {
      const other = await site()
      chmodSync(join(other.directory, 'pin'), 0)
      expect(await eachCommand(other.config)).toEqual(bothRefuse(`hsm.tokens.pinFile: ${join(other.directory, 'pin')} cannot be read (EACCES)`))
    }
  })

  it('that is wrong is in no output', async () => {
    const { directory, config } = await site()
    writeFileSync(join(directory, 'pin'), '13577531')
    const { stdout, stderr } = await command('serve', '--config', config)
    expect(stdout + stderr).not.toContain('13577531')
  })
})

describe('the library', () => {
  it('that is not there', async () => {
    const { config } = await site({ changes: withToken({ library: '/nowhere/libnone.so' }) })
    expect(await eachCommand(config)).toEqual(bothRefuse('hsm.tokens.library: there is no file /nowhere/libnone.so'))
  })

  it('that is a text', async () => {
    const { config, directory } = await site({ changes: folder => withToken({ library: join(folder, 'pin') })(folder) })
    const outcomes = await eachCommand(config)
    for (const outcome of outcomes) {
      expect(outcome).toMatchObject({ code: 1, stderr: expect.stringContaining(`hsm.tokens.library: ${join(directory, 'pin')} does not load as a PKCS#11 library (`) as string })
      expect((outcome as { stderr: string }).stderr.trimEnd().split('\n')).toHaveLength(1)
    }
  })

  it('that is another library', async () => {
    const other = ['/lib/x86_64-linux-gnu/libm.so.6', '/lib/aarch64-linux-gnu/libm.so.6', '/lib64/libm.so.6'].find(existsSync) ?? ''
    const { config } = await site({ changes: withToken({ library: other }) })
    for (const outcome of await eachCommand(config)) {
      expect(outcome).toMatchObject({ code: 1, stderr: expect.stringMatching(/^hsm\.tokens\.library: .*libm\.so\.6 does not load as a PKCS#11 library \(.+\)\n$/) as string })
    }
  })
})

describe('the database', () => {
  /** A second installation: another token with another domain. */
  let otherDirectory: string
  let other: TestDatabase
  let otherId: string

  beforeAll(async () => {
    otherDirectory = await newFolder('other')
    await writeTokenFiles(otherDirectory)
    other = await freshDatabase()
    const config = await writeConfig(otherDirectory, other.url, {})
    writeFileSync(join(otherDirectory, 'so-pin'), '81726354', { mode: 0o600 })
    expect(await command('hsm', 'init-token', '--label', tokenLabel, '--so-pin-file', join(otherDirectory, 'so-pin'), '--config', config)).toMatchObject({ code: 0, stderr: '' })
    expect(await command('hsm', 'init', '--no-recovery', '--config', config)).toMatchObject({ code: 0, stderr: '' })
    otherId = await idOf(other.url)
  })
  afterAll(async () => {
    await other.drop()
    await rm(otherDirectory, { recursive: true, force: true })
  })

  async function idOf(url: string): Promise<string> {
    const client = new pg.Client({ connectionString: url })
    await client.connect()
    try {
      return (await client.query<{ id: string }>("SELECT replace(id::text, '-', '') AS id FROM domain")).rows[0]?.id ?? ''
    } finally {
      await client.end()
    }
  }
  const copyOfOther = (): Promise<TestDatabase> => cloneDatabase(new URL(other.url).pathname.slice(1))

  it('of another token', async () => {
    const { config } = await site({ database: await copyOfOther() })
    expect(await eachCommand(config)).toEqual(bothRefuse(`the token does not hold the domain key of this database's domain ${otherId} (version 1): the database belongs to another token`))
  })

  it('of another token whose domain was given our id', async () => {
    const { fingerprint, template } = inject('installation')
    const own = await cloneDatabase(template)
    const { database, config } = await site({ database: await copyOfOther() })
    await inDatabase(database.url, 'UPDATE domain SET id = $1', [await idOf(own.url)])
    await own.drop()
    const [serve] = await eachCommand(config)
    expect(serve).toMatchObject({ code: 1, stderr: expect.stringMatching(new RegExp(`^the domain on token 'trent-test' has the fingerprint ${fingerprint}, the database's has [0-9a-f]{64}: the database belongs to another token\n$`)) as string })
  })

  it('with another\'s canary', async () => {
    const { database, config } = await site()
    await inDatabase(database.url, 'UPDATE domain_versions SET canary_mac = set_byte(canary_mac, 0, get_byte(canary_mac, 0) # 1)')
    expect(await eachCommand(config)).toEqual(bothRefuse('token \'trent-test\' does not open this database\'s canary: the database belongs to another token'))
  })

  it('with a canary that was changed', async () => {
    const { database, config } = await site()
    await inDatabase(database.url, 'UPDATE domain_versions SET canary_ciphertext = set_byte(canary_ciphertext, 80, get_byte(canary_ciphertext, 80) # 1)')
    expect(await eachCommand(config)).toEqual(bothRefuse('token \'trent-test\' does not open this database\'s canary: the database belongs to another token'))
  })

  it('of a domain version that the token does not hold', async () => {
    const { database, config } = await site()
    const id = await idOf(database.url)
    await inDatabase(database.url, 'UPDATE domain_versions SET version = 2')
    expect(await eachCommand(config)).toEqual(bothRefuse(`the token does not hold the domain key of this database's domain ${id} (version 2): the database belongs to another token`))
  })

  it('without a domain', async () => {
    const { config } = await site({ database: await freshDatabase() })
    expect(await eachCommand(config)).toEqual(bothRefuse('the database has no domain yet: run `trent hsm init`'))
  })

  it('with a domain whose making was cut off', async () => {
    const { database, config } = await site({ database: await freshDatabase() })
    await inDatabase(database.url, "INSERT INTO domain (id, state) VALUES ($1, 'creating')", [randomUUID()])
    expect(await eachCommand(config)).toEqual(bothRefuse('the database has no domain yet: run `trent hsm init`'))
  })

  it('without a schema', async () => {
    const { config } = await site({ database: await emptyDatabase() })
    for (const outcome of await eachCommand(config)) {
      expect(outcome).toMatchObject({ code: 1, stderr: expect.stringMatching(/^The database schema is older than this version of Trent: migration 0001-first.* has not been run; run "trent migrate" first\.\n$/) as string })
    }
  })

  it('whose domain is not the one that the operator pinned', async () => {
    const pinned = 'ab'.repeat(32)
    const { config } = await site({ changes: directory => ({ hsm: { domainFingerprint: pinned, tokens: [tokenConfig(directory)] } }) })
    expect(await eachCommand(config)).toEqual(bothRefuse(`hsm.domainFingerprint is ${pinned}, but the domain on token 'trent-test' has ${inject('installation').fingerprint}`))
  })
})

describe('create-admin', () => {
  const createAdmin = (config: string, account: string, name: string) => command('iam', 'create-admin', '--account', account, '--name', name, '--config', config)

  it('serves where the pinned fingerprint is the domain\'s, once a name', async () => {
    const { config } = await site({ changes: directory => ({ hsm: { domainFingerprint: inject('installation').fingerprint, tokens: [tokenConfig(directory)] } }) })
    const made = await createAdmin(config, '444455556666', 'first')
    expect(made).toMatchObject({ code: 0, stderr: '' })
    expect(JSON.parse(made.stdout)).toMatchObject({ Arn: 'arn:aws:iam::444455556666:user/first', AccessKeyId: expect.stringMatching(/^AKIA[A-Z2-7]{16}$/) as string })
    expect(await createAdmin(config, '444455556666', 'First')).toEqual({ ...refusal('account 444455556666 already has a user \'First\'', 3), stdout: '' })
  })

  it('refuses an account or a name that is none', async () => {
    const { config } = await site()
    expect(await createAdmin(config, '12345', 'a')).toMatchObject(refusal('--account is \'12345\': an account id has 12 digits'))
    expect(await createAdmin(config, '444455556666', 'a b')).toMatchObject(refusal('--name: 1 to 64 letters, digits and +=,.@_- are allowed'))
  })
})

describe('a refused start', () => {
  it('leaves no socket folder behind', async () => {
    const { directory, config } = await site({ changes: directory => ({ hsm: { domainFingerprint: 'ab'.repeat(32), tokens: [tokenConfig(directory)] } }) })
    await command('serve', '--config', config)
    expect(readdirSync(join(directory, 'data', 'run'))).toEqual([])
    expect(statSync(join(directory, 'data', 'run')).mode & 0o777).toBe(0o700)
  })
})
