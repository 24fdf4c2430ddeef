// Set-up of token and domain: what an operator can get wrong, and a run that was cut off.
import { createHash, generateKeyPairSync, type KeyObject } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import pg from 'pg'
import { describe, expect, inject, it } from 'vitest'
import { command, refusal, type Outcome } from '../support/command.ts'
import { softhsmLibrary, tokenLabel } from '../support/installation.ts'
import { cloneDatabase, emptyDatabase, freshDatabase, type TestDatabase } from '../support/postgres.ts'
import { useSites, type Site } from '../support/site.ts'
import { poke } from '../support/token.ts'

const newSite = useSites()

/** An empty database with an uninitialised token, or with the run's token. */
const site = async (token: 'none' | 'initialised', database: Promise<TestDatabase> = freshDatabase()): Promise<Site> => newSite({ token, database: await database })

const initToken = ({ directory, config }: Site, label = tokenLabel): Promise<Outcome> => {
  writeFileSync(join(directory, 'so-pin'), '81726354', { mode: 0o600 })
  return command('hsm', 'init-token', '--label', label, '--so-pin-file', join(directory, 'so-pin'), '--config', config)
}
const init = ({ config }: Site, ...words: string[]): Promise<Outcome> => command('hsm', 'init', ...words, '--config', config)

const fingerprint = (key: KeyObject): string => createHash('sha256').update(key.export({ type: 'spki', format: 'der' })).digest('hex')
function keyFile({ directory }: Site, key: KeyObject): string {
  writeFileSync(join(directory, 'recovery.pem'), key.export({ type: 'spki', format: 'pem' }))
  return join(directory, 'recovery.pem')
}

const domainObjects = async (directory: string): Promise<string[]> =>
  (await poke<{ label: string }[]>(directory, 'objects')).map(({ label }) => label.replace(/[0-9a-f]{32}/, 'ID')).sort()

async function domainRow(url: string): Promise<{ state: string; id: string } | undefined> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  try {
    return (await client.query<{ state: string; id: string }>("SELECT state, replace(id::text, '-', '') AS id FROM domain")).rows[0]
  } finally {
    await client.end()
  }
}

describe('hsm init-token', () => {
  it('initialises an empty token once and tells its serial number', async () => {
    const empty = await site('none')
    expect(await initToken(empty)).toEqual({ code: 0, stderr: '', stdout: expect.stringMatching(/^Token 'trent-test' is initialised; its serial number is [0-9a-f]{16}\.\n$/) as string })
    expect(await poke(empty.directory, 'objects')).toEqual([])
    expect(await initToken(empty)).toMatchObject(refusal('a token with the label \'trent-test\' exists already'))
  })

  it('refuses a label that is not the configured one', async () => {
    expect(await initToken(await site('none'), 'another')).toEqual({
      ...refusal('--label is \'another\', hsm.tokens.label is \'trent-test\': initialise the token that is configured'), stdout: '',
    })
  })

  it('refuses a security officer\'s PIN that others may read', async () => {
    const empty = await site('none')
    const file = join(empty.directory, 'open-so-pin')
    writeFileSync(file, '81726354', { mode: 0o604 })
    expect(await command('hsm', 'init-token', '--label', tokenLabel, '--so-pin-file', file, '--config', empty.config))
      .toMatchObject(refusal(`--so-pin-file: ${file} has mode 604; allowed is 600 or stricter`))
  })
})

describe('hsm init', () => {
  it('refuses a database that has a domain, with exit code 3, and leaves token and database as they were', async () => {
    const done = await site('initialised', cloneDatabase(inject('installation').template))
    const before = [await domainObjects(done.directory), await domainRow(done.database.url)]
    expect(await init(done, '--no-recovery')).toEqual({ ...refusal('already initialised: this database has a domain', 3), stdout: '' })
    expect([await domainObjects(done.directory), await domainRow(done.database.url)]).toEqual(before)
  })

  it('refuses without a recovery key unless told that there is to be none', async () => {
    const fresh = await site('initialised')
    expect(await init(fresh)).toEqual({
      ...refusal('--recovery-key is missing: without one, losing the last token is losing every key (say --no-recovery to go on all the same)'), stdout: '',
    })
    expect(await domainRow(fresh.database.url)).toBeUndefined()
    expect(await init(fresh, '--no-recovery')).toMatchObject({ code: 0, stderr: '' })
  })

  it('refuses a recovery key whose fingerprint is not the one typed in, or where nobody can type one', async () => {
    const fresh = await site('initialised')
    const { publicKey } = generateKeyPairSync('rsa', { modulusLength: 3072 })
    const file = keyFile(fresh, publicKey)
    const wrong = '--recovery-fingerprint is not the fingerprint of --recovery-key: one of the two is not the key that was meant'
    for (const typed of ['ab'.repeat(32), fingerprint(publicKey).slice(1), 'y', '']) {
      expect(await init(fresh, '--recovery-key', file, '--recovery-fingerprint', typed)).toEqual({ ...refusal(wrong), stdout: '' })
    }
    expect(await init(fresh, '--recovery-key', file)).toEqual({ ...refusal('--recovery-fingerprint is missing, and there is no terminal to ask for it'), stdout: '' })
    expect(await domainRow(fresh.database.url)).toBeUndefined()
  })

  it.each([
    ['a small RSA key', () => generateKeyPairSync('rsa', { modulusLength: 2048 }).publicKey],
    ['a key that is no RSA key', () => generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey],
  ])('refuses %s as recovery key, and can be run again with a good one', async (_what, generate) => {
    const fresh = await site('initialised')
    const bad = generate()
    expect(await init(fresh, '--recovery-key', keyFile(fresh, bad), '--recovery-fingerprint', fingerprint(bad)))
      .toEqual({ ...refusal('--recovery-key: an RSA key of 3072 to 8192 bits is needed'), stdout: '' })
    const begun = await domainRow(fresh.database.url)
    const { publicKey } = generateKeyPairSync('rsa', { modulusLength: 3072 })
    expect(await init(fresh, '--recovery-key', keyFile(fresh, publicKey), '--recovery-fingerprint', fingerprint(publicKey).toUpperCase())).toMatchObject({ code: 0, stderr: '' })
    const made = await domainRow(fresh.database.url)
    expect(made?.state).toBe('ready')
    if (begun !== undefined) expect(made?.id).toBe(begun.id)
    // Beside the domain that the token had before.
    expect(await domainObjects(fresh.directory)).toEqual(['trent/domain/ID/1', 'trent/domain/ID/1', 'trent/integrity/ID/1', 'trent/integrity/ID/1'])
  })

  it('refuses a file that holds no key', async () => {
    const fresh = await site('initialised')
    const file = join(fresh.directory, 'pin')
    expect(await init(fresh, '--recovery-key', file, '--recovery-fingerprint', 'ab'.repeat(32))).toEqual({ ...refusal(`--recovery-key: ${file} is not a public key in PEM`), stdout: '' })
  })

  it('refuses a database without a schema', async () => {
    const outcome = await init(await site('initialised', emptyDatabase()), '--no-recovery')
    expect(outcome).toMatchObject({ code: 1, stderr: expect.stringMatching(/^The database schema is older than this version of Trent: migration 0001-first.* has not been run; run "trent migrate" first\.\n$/) as string })
  })

  it('refuses a token that is not there, and a wrong PIN', async () => {
    const empty = await site('none')
    expect(await init(empty, '--no-recovery')).toEqual({ ...refusal(`hsm.tokens.label: ${softhsmLibrary} has no token with label 'trent-test'`), stdout: '' })
    const fresh = await site('initialised')
    writeFileSync(join(fresh.directory, 'pin'), '99999999')
    expect(await init(fresh, '--no-recovery')).toEqual({
      ...refusal('hsm.tokens.pinFile: the token \'trent-test\' refuses the PIN (CKR_PIN_INCORRECT); no host tries it again before `trent hsm unlatch`, since HSMs lock'), stdout: '',
    })
  })

  it('begun and cut off leaves remains that the next run removes: one domain in the end', async () => {
    const fresh = await site('none')
    expect(await initToken(fresh)).toMatchObject({ code: 0 })
    expect(await init(fresh, '--no-recovery')).toMatchObject({ code: 0, stderr: '' })
    const made = await domainRow(fresh.database.url)
    // As if the process had been killed after the token's part and before the database's.
    const client = new pg.Client({ connectionString: fresh.database.url })
    await client.connect()
    await client.query("UPDATE domain SET state = 'creating', fingerprint = NULL")
    await client.query('DELETE FROM domain_versions')
    await client.query('DELETE FROM service_keys')
    await client.end()
    expect(await init(fresh, '--no-recovery')).toMatchObject({ code: 0, stderr: '' })
    expect(await domainRow(fresh.database.url)).toEqual(made)
    expect(await domainObjects(fresh.directory)).toEqual(['trent/domain/ID/1', 'trent/integrity/ID/1'])
    expect(await command('iam', 'create-admin', '--account', '444455556666', '--name', 'first', '--config', fresh.config)).toMatchObject({ code: 0, stderr: '' })
  })
})

describe('hsm objects', () => {
  it('lists the domain\'s two keys, neither extractable nor modifiable', async () => {
    const done = await site('initialised', cloneDatabase(inject('installation').template))
    const { stdout } = await command('hsm', 'objects', '--json', '--config', done.config)
    const objects = JSON.parse(stdout) as { class: string; label: string; extractable: boolean; modifiable: boolean }[]
    expect(objects.map(({ label }) => label.split('/')[1]).sort()).toEqual(['domain', 'integrity'])
    for (const object of objects) expect(object).toMatchObject({ class: 'secret', extractable: false, modifiable: false })
  })
})
