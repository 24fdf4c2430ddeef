// `trent hsm unlatch`: what it shows, and what it refuses.
import { mkdirSync, writeFileSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { refusal } from '../support/command.ts'
import { latchSite, serve, unlatch, wrongPin, type Host, type LatchSite } from '../support/latch-site.ts'

let site: LatchSite
let host: Host
beforeEach(async () => {
  site = await latchSite()
  host = await site.host()
})
afterEach(() => site.remove())

async function latch(): Promise<void> {
  writeFileSync(host.pinFile, wrongPin)
  expect(await serve(host)).toMatchObject({ code: 1 })
}

it('says so, with exit code 3, when nothing is latched', async () => {
  expect(await unlatch(host, '--serial', site.serial)).toEqual({ ...refusal(`token 'trent-test' (serial ${site.serial}) is not latched: there is nothing to clear`, 3), stdout: '' })
  expect(site.logins()).toBe(0)
})

it('shows what is latched, since when, by whom and why, and wants the serial number', async () => {
  await latch()
  const why = 'PIN version 1, latched since [-0-9T:.]+Z by process \\d+ on host \\S+: the token refused the PIN \\(CKR_PIN_INCORRECT\\)'
  const shown = expect.stringMatching(new RegExp(`^Token 'trent-test', serial ${site.serial}, PIN version 1:\nEvery host: ${why}\nThis host: ${why}\nThe token says CKF_USER_PIN_COUNT_LOW\\.\n$`)) as string
  expect(await unlatch(host)).toEqual({ ...refusal('--serial is missing, and there is no terminal to ask for it'), stdout: shown })
  expect(await unlatch(host, '--serial', 'y')).toEqual({ ...refusal('--serial is not the serial number of token \'trent-test\': one of the two is not the token that was meant'), stdout: shown })
  expect(await unlatch(host, '--serial', site.serial)).toEqual({
    code: 0, stderr: '', stdout: expect.stringContaining('Token \'trent-test\' is unlatched: one login with PIN version 1 is permitted. A Trent that waits for it tries within seconds.\n') as string,
  })
  // It has no need of the PIN.
  expect(site.logins()).toBe(1)
})

it('clears a mark on disk that cannot be read', async () => {
  mkdirSync(join(host.directory, 'data/pins'), { recursive: true })
  const file = join(host.directory, 'data/pins', `${Buffer.from(site.serial).toString('hex')}.json`)
  writeFileSync(file, '{')
  expect(await serve(host)).toMatchObject(refusal(`the PIN latch ${file} is damaged: run \`trent hsm unlatch\` once the PIN is right`))
  expect(site.logins()).toBe(0)
  expect(await unlatch(host, '--serial', site.serial)).toMatchObject({ code: 0, stdout: expect.stringContaining(`This host: the PIN latch ${file} is damaged`) as string })
  expect(await unlatch(host, '--serial', site.serial)).toMatchObject({ code: 3 })
})

it('refuses a token that is not configured, a PIN file that cannot be read, and a token that is away', async () => {
  await latch()
  expect(await unlatch(host, '--token', 'other')).toMatchObject(refusal('--token is \'other\', and hsm.tokens has \'trent-test\''))
  const two = await site.host()
  await rm(two.pinFile)
  expect(await unlatch(two, '--serial', site.serial)).toMatchObject(refusal(`hsm.tokens.pinFile: ${two.pinFile} cannot be read (ENOENT)`))
  const away = await site.host({ token: { label: 'away' } })
  expect(await unlatch(away, '--serial', site.serial)).toMatchObject({ code: 1, stderr: expect.stringContaining('has no token with label \'away\'\n') as string })
})
