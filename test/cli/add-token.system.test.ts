// A further token of the domain: its keys come from the recovery key alone, and what does not prove itself is not kept.
import { createHash, generateKeyPairSync } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { CreateKeyCommand, DecryptCommand, EncryptCommand } from '@aws-sdk/client-kms'
import { afterEach, beforeEach, describe, expect, inject, it } from 'vitest'
import { kms } from '../support/aws.ts'
import { command, refusal, type Outcome } from '../support/command.ts'
import { startTrentOn } from '../support/gateway.ts'
import { addToken, ran, reseal, secondLabel, withSecondToken, type TwoTokens } from '../support/two-tokens.ts'

let site: TwoTokens
let request: string
let response: string
beforeEach(async () => {
  site = await withSecondToken()
  request = join(site.directory, 'request.json')
  response = join(site.directory, 'response.json')
})
afterEach(async () => { await site.remove() })

const add = (...words: string[]): Promise<Outcome> => command('hsm', 'add-token', '--token', secondLabel, ...words, '--config', site.config)
const objects = async (): Promise<string[]> => (JSON.parse(await ran('hsm', 'objects', '--token', secondLabel, '--json', '--config', site.config)) as { label: string; extractable: boolean; modifiable: boolean }[])
  .map(({ label, extractable, modifiable }) => `${label.replace(/[0-9a-f]{32}/, 'ID')}${extractable ? ' EXTRACTABLE' : ''}${modifiable ? ' modifiable' : ''}`).sort()
const edit = (file: string, change: (content: Record<string, unknown>) => Record<string, unknown>): void => {
  writeFileSync(file, JSON.stringify(change(JSON.parse(readFileSync(file, 'utf8')) as Record<string, unknown>)))
}

describe('hsm add-token', () => {
  it('brings both keys to the token, which can let go of neither, and takes the transport key away', async () => {
    const { code, stdout } = await add('--request', request)
    expect({ code, stdout }).toEqual({ code: 0, stdout: expect.stringMatching(/^The request is in .*\n.*'trent-second'.*: [0-9a-f]{64}\n$/) as string })
    const { spki } = JSON.parse(readFileSync(request, 'utf8')) as { spki: string }
    expect(stdout).toContain(createHash('sha256').update(Buffer.from(spki, 'base64')).digest('hex'))
    await reseal(request, response)
    expect(await add('--response', response)).toEqual({ code: 0, stderr: '', stdout: 'Token \'trent-second\' holds the domain now (version 1), and opens the database\'s canary.\n' })
    expect(await objects()).toEqual(['trent/domain/ID/1', 'trent/integrity/ID/1'])
  })

  it('asks with the same key until it is answered, and begins anew after that', async () => {
    await ran('hsm', 'add-token', '--token', secondLabel, '--request', request, '--config', site.config)
    const again = join(site.directory, 'again.json')
    await ran('hsm', 'add-token', '--token', secondLabel, '--request', again, '--config', site.config)
    expect(readFileSync(again, 'utf8')).toBe(readFileSync(request, 'utf8'))
    expect(await add('--request', request)).toMatchObject(refusal(`${request} cannot be written (EEXIST)`))
    await reseal(request, response)
    await ran('hsm', 'add-token', '--token', secondLabel, '--response', response, '--config', site.config)
    expect(await add('--response', response)).toMatchObject(refusal('the token has no transport key, or more than one: begin anew with --request'))
  })

  it('replaces a token that is lost: what was encrypted opens on the new one', async () => {
    const both = await startTrentOn(site.directory, { ...site.database, drop: () => Promise.resolve() }, { hsm: { tokens: [site.tokens[0]] } })
    const before = kms(both.url)
    const { KeyMetadata } = await before.send(new CreateKeyCommand({}))
    const { CiphertextBlob } = await before.send(new EncryptCommand({ KeyId: KeyMetadata?.KeyId, Plaintext: Buffer.from('kept') }))
    before.destroy()
    await both.stop()
    await rm(join(site.directory, 'tokens'), { recursive: true })

    const config = await site.configure({ hsm: { tokens: [site.tokens[1]] } })
    await addToken({ directory: site.directory, config }, secondLabel)
    const trent = await startTrentOn(site.directory, { ...site.database, drop: () => Promise.resolve() }, { hsm: { tokens: [site.tokens[1]] } })
    const after = kms(trent.url)
    const { Plaintext } = await after.send(new DecryptCommand({ CiphertextBlob }))
    after.destroy()
    await trent.stop()
    expect(Buffer.from(Plaintext ?? []).toString()).toBe('kept')
  })

  it('tells nothing of the keys in request and response', async () => {
    await ran('hsm', 'add-token', '--token', secondLabel, '--request', request, '--config', site.config)
    await reseal(request, response)
    const sizes = (JSON.parse(readFileSync(response, 'utf8')) as { envelopes: { domainKey: string; integrityKey: string }[] }).envelopes
      .flatMap(({ domainKey, integrityKey }) => [domainKey, integrityKey].map(envelope => Buffer.from(envelope, 'base64').length))
    expect(sizes).toEqual([384, 384])
  })

  it('takes no envelopes that were made for another token, of another domain, or that hold other keys', async () => {
    await ran('hsm', 'add-token', '--token', secondLabel, '--request', request, '--config', site.config)
    await reseal(request, response)
    const good = readFileSync(response, 'utf8')

    edit(response, content => ({ ...content, domainId: 'ab'.repeat(16) }))
    expect(await add('--response', response)).toMatchObject({ code: 1, stderr: expect.stringContaining(`--response is of domain ${'ab'.repeat(16)}, the database's is `) as string })

    // Both envelopes open, but each holds the other's key.
    writeFileSync(response, good)
    edit(response, content => ({ ...content, envelopes: (content.envelopes as { version: number; domainKey: string; integrityKey: string }[]).map(({ version, domainKey, integrityKey }) => ({ version, domainKey: integrityKey, integrityKey: domainKey })) }))
    expect(await add('--response', response)).toMatchObject({ code: 1, stderr: expect.stringMatching(/^the keys in the response are of a domain with the fingerprint [0-9a-f]{64}, the database's has /) as string })
    expect((await objects()).filter(label => !label.startsWith('trent/transport/'))).toEqual([])

    // The right integrity key beside a wrong domain key: only the canary can tell.
    writeFileSync(response, good)
    edit(response, content => ({ ...content, envelopes: (content.envelopes as { version: number; integrityKey: string }[]).map(({ version, integrityKey }) => ({ version, domainKey: integrityKey, integrityKey })) }))
    expect(await add('--response', response)).toMatchObject(refusal('the domain key in the response does not open the database\'s canary'))
    expect((await objects()).filter(label => !label.startsWith('trent/transport/'))).toEqual([])

    writeFileSync(response, good)
    edit(response, content => ({ ...content, envelopes: (content.envelopes as object[]).map(envelope => ({ ...envelope, domainKey: Buffer.alloc(384, 7).toString('base64') })) }))
    expect(await add('--response', response)).toMatchObject({ code: 1, stderr: expect.stringContaining('were they made for its transport key?') as string })

    writeFileSync(response, good)
    expect(await add('--response', response)).toMatchObject({ code: 0 })
  })

  it('wants one of request and response, and a token that is configured', async () => {
    expect(await add()).toMatchObject(refusal('say --request FILE, or --response FILE once there is a response'))
    expect(await command('hsm', 'add-token', '--request', request, '--config', site.config))
      .toMatchObject(refusal('hsm.tokens names 2 tokens: say with --token which is meant (trent-test, trent-second)'))
    expect(await command('hsm', 'add-token', '--token', 'x', '--request', request, '--config', site.config))
      .toMatchObject(refusal('--token is \'x\', and hsm.tokens has \'trent-test\', \'trent-second\''))
    writeFileSync(response, '{}')
    expect(await add('--response', response)).toMatchObject(refusal('the file holds no response of `trent hsm reseal`'))
  })
})

describe('hsm reseal', () => {
  beforeEach(async () => { await ran('hsm', 'add-token', '--token', secondLabel, '--request', request, '--config', site.config) })
  const resealed = (key: string, fingerprint: string): Promise<Outcome> => command('hsm', 'reseal', request, '--recovery-key', key, '--fingerprint', fingerprint, '--out', response)
  const fingerprint = (): string => createHash('sha256').update(Buffer.from((JSON.parse(readFileSync(request, 'utf8')) as { spki: string }).spki, 'base64')).digest('hex')
  const recoveryKey = (): string => join(inject('installation').directory, 'recovery-key.pem')

  it('refuses a transport key that is not the one whose fingerprint was typed in', async () => {
    const shown = fingerprint()
    const { publicKey } = generateKeyPairSync('rsa', { modulusLength: 3072 })
    edit(request, content => ({ ...content, spki: publicKey.export({ type: 'spki', format: 'der' }).toString('base64') }))
    expect(await resealed(recoveryKey(), shown)).toMatchObject(refusal('--fingerprint is not the fingerprint of the key in the request: one of the two is not the key that was meant'))
  })

  it('refuses another recovery key, one that others may read, and what is no key', async () => {
    const other = join(site.directory, 'other.pem')
    const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 3072 })
    writeFileSync(other, privateKey.export({ type: 'pkcs8', format: 'pem' }), { mode: 0o600 })
    expect(await resealed(other, fingerprint())).toMatchObject({ code: 1, stderr: expect.stringMatching(/^version 1 was wrapped to the recovery key [0-9a-f]{64}, the key given is [0-9a-f]{64}\n$/) as string })
    const open = join(site.directory, 'open.pem')
    writeFileSync(open, privateKey.export({ type: 'pkcs8', format: 'pem' }), { mode: 0o640 })
    expect(await resealed(open, fingerprint())).toMatchObject(refusal(`--recovery-key: ${open} has mode 640; allowed is 600 or stricter`))
    expect(await resealed(join(site.directory, 'pin'), fingerprint())).toMatchObject({ code: 1, stderr: expect.stringContaining('is no private key in PEM') as string })
  })

  it('opens a recovery key that has a passphrase', async () => {
    const { createPrivateKey } = await import('node:crypto')
    const locked = join(site.directory, 'locked.pem')
    const passphrase = join(site.directory, 'passphrase')
    writeFileSync(passphrase, 'correct horse\n', { mode: 0o600 })
    writeFileSync(locked, createPrivateKey(readFileSync(recoveryKey())).export({ type: 'pkcs8', format: 'pem', cipher: 'aes-256-cbc', passphrase: 'correct horse' }), { mode: 0o600 })
    expect(await resealed(locked, fingerprint())).toMatchObject({ code: 1, stderr: expect.stringContaining('has a passphrase (--passphrase-file)') as string })
    await ran('hsm', 'reseal', request, '--recovery-key', locked, '--passphrase-file', passphrase, '--fingerprint', fingerprint(), '--out', response)
    expect(await add('--response', response)).toMatchObject({ code: 0 })
  })
})
