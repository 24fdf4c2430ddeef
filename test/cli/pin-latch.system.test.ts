// A wrong PIN is one login attempt in all, however many hosts and restarts. Counted by the module between Trent and the token.
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { command, refusal } from '../support/command.ts'
import type { Trent } from '../support/gateway.ts'
import { mainFile, pin } from '../support/installation.ts'
import { latchSite, serve, start, unlatch, wrongPin, type Host, type LatchSite } from '../support/latch-site.ts'
import { children, isRunning } from '../support/processes.ts'
import { startProxy } from '../support/proxy.ts'
import { poke } from '../support/token.ts'
import { until } from '../support/until.ts'

const refused = refusal('hsm.tokens.pinFile: the token \'trent-test\' refuses the PIN (CKR_PIN_INCORRECT); no host tries it again before `trent hsm unlatch`, since HSMs lock')
/** Of a host that comes later. */
const latched = (serial: string, why = 'the token refused the PIN \\(CKR_PIN_INCORRECT\\)', version = 1) => ({
  code: 1,
  stderr: expect.stringMatching(new RegExp(`^hsm\\.tokens\\.pinFile: no login to token 'trent-test' \\(serial ${serial}; PIN version ${version}, latched since [-0-9T:.]+Z by process \\d+ on host \\S+: ${why}\\): see that the PIN is right, then run \`trent hsm unlatch\`\\n$`)) as string,
})
const cutOff = 'a login was cut off, and may have been with a wrong PIN'

let site: LatchSite
let running: Trent[]
beforeEach(async () => {
  site = await latchSite()
  running = []
})
afterEach(async () => {
  await Promise.all(running.map(trent => trent.stop()))
  await site.remove()
})

const started = async (host: Host): Promise<Trent> => {
  const trent = await start(host)
  running.push(trent)
  return trent
}
const agent = (trent: Trent): number | undefined => children(trent.primary.pid).find(({ command: line }) => line.startsWith('trent: hsm-agent'))?.pid
const killAgent = (trent: Trent): void => {
  const pid = agent(trent)
  if (pid === undefined) throw new Error('no agent')
  process.kill(pid, 'SIGKILL')
}
const get = async (trent: Trent, path: string): Promise<string> => await (await fetch(`${trent.privateUrl}${path}`)).text()
const isReady = async (trent: Trent): Promise<boolean> => (JSON.parse(await get(trent, '/readyz?verbose')) as { ok: boolean }).ok
const isLatched = async (trent: Trent): Promise<boolean> => (await get(trent, '/metrics')).includes('hsm_pin_latched{token="trent-test"} 1')
const markOf = (host: Host): { state: string; recordedAt: string | null } | undefined => {
  const folder = join(host.directory, 'data/pins')
  const [name] = existsSync(folder) ? readdirSync(folder) : []
  return name === undefined ? undefined : JSON.parse(readFileSync(join(folder, name), 'utf8')) as { state: string; recordedAt: string | null }
}
/** A start, killed with its agent once C_Login hangs. */
async function killInLogin(host: Host): Promise<void> {
  site.chaos.control({ hang: ['C_Login'] })
  const primary = spawn(process.execPath, [mainFile, 'serve', '--config', host.config], { stdio: 'ignore' })
  await until('a login that hangs', () => site.chaos.hanging().length > 0)
  const agents = children(primary.pid)
  const exit = once(primary, 'exit')
  primary.kill('SIGKILL')
  await exit
  await until('the end of the agent', () => agents.every(({ pid }) => !isRunning(pid)))
  site.chaos.clear()
}

describe('a wrong PIN', () => {
  it('is tried once, over starts of every kind and on another host; a corrected file alone changes nothing, unlatch does', async () => {
    const [first, second] = [await site.host(), await site.host()]
    for (const { pinFile } of [first, second]) writeFileSync(pinFile, wrongPin)
    expect(await serve(first)).toMatchObject(refused)
    expect(site.logins()).toBe(1)
    for (const host of [first, second]) {
      expect(await serve(host)).toMatchObject(latched(site.serial))
      expect(await command('hsm', 'objects', '--config', host.config)).toEqual({ ...latched(site.serial), stdout: '' })
      expect(await command('iam', 'create-admin', '--account', '444455556666', '--name', 'second', '--config', host.config)).toEqual({ ...latched(site.serial), stdout: '' })
    }
    for (const { pinFile } of [first, second]) writeFileSync(pinFile, pin)
    expect(await serve(first)).toMatchObject(latched(site.serial))
    expect(await serve(second)).toMatchObject(latched(site.serial))
    expect(site.logins()).toBe(1)

    expect(await unlatch(second, '--serial', site.serial)).toMatchObject({ code: 0, stderr: '' })
    expect(await isReady(await started(first))).toBe(true)
    expect(await isReady(await started(second))).toBe(true)
    expect(site.logins()).toBe(3)
  })

  it('is tried once by three hosts that start at the same moment', async () => {
    const hosts = [await site.host(), await site.host(), await site.host()]
    for (const { pinFile } of hosts) writeFileSync(pinFile, wrongPin)
    const outcomes = await Promise.all(hosts.map(serve))
    expect(outcomes.map(({ code }) => code)).toEqual([1, 1, 1])
    expect(outcomes.filter(({ stderr }) => stderr === refused.stderr)).toHaveLength(1)
    expect(site.logins()).toBe(1)
  })

  it('is tried once by hosts whose agents end at the same moment, and none is started again before unlatch; then each is, without a restart', async () => {
    const hosts = [await site.host(), await site.host()]
    const trents = [await started(hosts[0] as Host), await started(hosts[1] as Host)]
    expect(site.logins()).toBe(2)
    expect(await poke(site.directory, 'setPin', { to: '11112222' })).toBe(0)
    for (const trent of trents) killAgent(trent)
    for (const trent of trents) await until('the latch', () => isLatched(trent))
    for (const [i, trent] of trents.entries()) {
      await until('the mark on disk', () => markOf(hosts[i] as Host)?.state === 'latched')
      await until('the end of the agent', () => agent(trent) === undefined)
      expect(await isReady(trent)).toBe(false)
    }
    expect(site.logins()).toBe(3)
    expect(await get(trents[0] as Trent, '/readyz?verbose')).toContain('no hsm-agent serves: the PIN was refused and is latched')
    expect((await Promise.all(trents.map(trent => trent.log()))).join('\n')).toContain('ALARM: the token is latched')

    for (const { pinFile } of hosts) writeFileSync(pinFile, '11112222')
    // Some looks at the latch later still nobody has tried.
    await new Promise(resolve => setTimeout(resolve, 5_000))
    expect(site.logins()).toBe(3)
    expect(await unlatch(hosts[0] as Host, '--serial', site.serial)).toMatchObject({ code: 0, stderr: '' })
    for (const trent of trents) await until('an agent that serves', () => isReady(trent), 40_000)
    for (const trent of trents) await until('the end of the alarm', async () => !(await isLatched(trent)))
    expect(hosts.map(markOf)).toEqual([undefined, undefined])
    expect(site.logins()).toBe(5)
  })

  it('keeps an agent that serves, and starts no other in its place', async () => {
    const [host, other] = [await site.host(), await site.host()]
    const trent = await started(host)
    const pid = agent(trent)
    writeFileSync(other.pinFile, wrongPin)
    expect(await serve(other)).toMatchObject(refused)
    await until('the latch', () => isLatched(trent))
    expect(await isReady(trent)).toBe(true)
    expect(agent(trent)).toBe(pid)
    killAgent(trent)
    await until('the end of the agent', async () => (await trent.log()).includes('no login to token'))
    expect(site.logins()).toBe(2)
    expect(await unlatch(host, '--serial', site.serial)).toMatchObject({ code: 0, stderr: '' })
    await until('an agent that serves', () => isReady(trent), 40_000)
    expect(site.logins()).toBe(3)
  })

  it('that a process did not live to hear of is not tried again', async () => {
    const host = await site.host()
    writeFileSync(host.pinFile, wrongPin)
    site.chaos.control({ loginDies: true })
    expect(await serve(host)).toMatchObject({ code: 1, stderr: 'the hsm-agent for token \'trent-test\' ended before it served (SIGKILL)\n' })
    site.chaos.clear()
    expect(await serve(host)).toMatchObject(latched(site.serial, cutOff))
    // The token's own count is reset by somebody else's login, and the latch still holds.
    expect(await poke(site.directory, 'login')).toBe(0)
    expect(await serve(host)).toMatchObject(latched(site.serial, cutOff))
    expect(site.logins()).toBe(1)
  })

  it('leaves a trace in Postgres and on disk that holds nothing of it', async () => {
    const host = await site.host()
    writeFileSync(host.pinFile, '13577531')
    await serve(host)
    const folder = join(host.directory, 'data/pins')
    const [name = ''] = readdirSync(folder)
    expect(statSync(join(folder, name)).mode & 0o777).toBe(0o600)
    const mark = readFileSync(join(folder, name), 'utf8')
    expect(Object.keys(JSON.parse(mark) as object).sort()).toEqual(['attempt', 'host', 'place', 'processes', 'reason', 'recordedAt', 'since', 'state', 'unresolved', 'version'])
    expect(mark).not.toContain('13577531')
    expect(mark).not.toMatch(/[0-9a-f]{40}/)
  })
})

describe('a login that was cut off', () => {
  it('needs no operator when the token says that it was with no wrong PIN, however often', async () => {
    const host = await site.host()
    await killInLogin(host)
    await killInLogin(host)
    await killInLogin(host)
    expect(await isReady(await started(host))).toBe(true)
  })

  it('on a token that does not tell may happen once to a PIN that was good, and latches after that', async () => {
    const host = await site.host({ token: { profile: 'generic' } })
    await killInLogin(host)
    await killInLogin(host)
    const before = site.logins()
    expect(await serve(host)).toMatchObject(latched(site.serial, cutOff))
    expect(site.logins()).toBe(before)
    expect(await unlatch(host, '--serial', site.serial)).toMatchObject({ code: 0, stderr: '' })
    const trent = await started(host)
    await trent.stop()
    await killInLogin(host)
    expect(await isReady(await started(host))).toBe(true)
  })
})

describe('a changed PIN with a raised version', () => {
  it('is tried once without unlatch, and again latched when it is wrong', async () => {
    const [host, wrong, right] = [await site.host(), await site.host({ token: { pinVersion: 2 } }), await site.host({ token: { pinVersion: 3 } })]
    for (const { pinFile } of [host, wrong]) writeFileSync(pinFile, wrongPin)
    expect(await serve(host)).toMatchObject(refused)
    expect(await serve(wrong)).toMatchObject(refused)
    expect(await serve(wrong)).toMatchObject(latched(site.serial, undefined, 2))
    expect(await serve(host)).toMatchObject(latched(site.serial, undefined, 2))
    expect(site.logins()).toBe(2)
    expect(await isReady(await started(right))).toBe(true)
    expect(await serve(host)).toMatchObject(latched(site.serial, undefined, 2))
    expect(site.logins()).toBe(3)
  })
})

describe('without Postgres', () => {
  it('the disk decides about a running primary\'s agents, and Postgres hears of the latch when it is back', async () => {
    const proxy = await startProxy(site.database.url)
    try {
      const [host, other] = [await site.host({ databaseUrl: proxy.url }), await site.host()]
      const trent = await started(host)
      proxy.cut()
      killAgent(trent)
      await until('another login', () => site.logins() === 2)
      await until('another agent', async () => (JSON.parse(await get(trent, '/readyz?verbose')) as { checks: { token: { ok: boolean } } }).checks.token.ok)
      expect(markOf(host)).toBeUndefined()

      expect(await poke(site.directory, 'setPin', { to: '11112222' })).toBe(0)
      killAgent(trent)
      await until('the latch', () => isLatched(trent))
      await until('the mark on disk', () => markOf(host)?.state === 'latched')
      expect(markOf(host)).toMatchObject({ state: 'latched', recordedAt: null })
      expect(site.logins()).toBe(3)
      proxy.mend()
      await until('the latch in Postgres', () => markOf(host)?.recordedAt !== null)
      expect(await serve(other)).toMatchObject(latched(site.serial))
      expect(site.logins()).toBe(3)
    } finally {
      await Promise.all(running.splice(0).map(trent => trent.stop()))
      await proxy.close()
    }
  })

  it('a latch on disk holds against a database that has lost it', async () => {
    const host = await site.host()
    writeFileSync(host.pinFile, wrongPin)
    expect(await serve(host)).toMatchObject(refused)
    await site.sql('DELETE FROM pin_latches')
    expect(await serve(host)).toMatchObject(latched(site.serial))
    expect(site.logins()).toBe(1)
  })
})

describe('the token\'s own count of wrong PINs', () => {
  const flags = { 'count-low': 0x10000, 'final-try': 0x20000, locked: 0x40000 }
  const message = (rest: string): object => refusal(`hsm.tokens.pinFile: no login to token 'trent-test', which says that ${rest}`)

  it('refuses a login, whoever made the mistake, until unlatch permits one', async () => {
    const host = await site.host()
    expect(await poke(site.directory, 'login', { pin: wrongPin })).toEqual({ login: 0xa0 })
    const countLow = message('a wrong PIN was given since its last login: see that ours is right, then run `trent hsm unlatch`, which permits one login (CKF_USER_PIN_COUNT_LOW)')
    expect(await serve(host)).toMatchObject(countLow)
    expect(await serve(host)).toMatchObject(countLow)
    expect(site.logins()).toBe(0)
    expect(await unlatch(host, '--serial', site.serial)).toMatchObject({ code: 0, stderr: '', stdout: expect.stringContaining('The token says CKF_USER_PIN_COUNT_LOW.') as string })
    const trent = await started(host)
    expect(site.logins()).toBe(1)
    await trent.stop()
    // One login was permitted.
    expect(await poke(site.directory, 'login', { pin: wrongPin })).toEqual({ login: 0xa0 })
    expect(await serve(host)).toMatchObject(countLow)
  })

  it('is not used up: the last try and a locked token are refused, and unlatch does not help by itself', async () => {
    const host = await site.host()
    site.chaos.control({ flags: { set: flags['count-low'] | flags['final-try'] } })
    const finalTry = message('the next wrong PIN locks it: have its security officer set the PIN anew, or see `trent hsm unlatch --final-try` (CKF_USER_PIN_FINAL_TRY)')
    expect(await serve(host)).toMatchObject(finalTry)
    const sentence = `a wrong PIN locks ${site.serial}`
    expect(await unlatch(host, '--serial', site.serial)).toMatchObject(refusal(`the next wrong PIN locks token 'trent-test' (CKF_USER_PIN_FINAL_TRY): have its security officer set the PIN anew, or say --final-try '${sentence}'`))
    expect(await unlatch(host, '--serial', site.serial, '--final-try', 'yes')).toMatchObject(refusal(`--final-try: the sentence is '${sentence}'`))
    expect(await serve(host)).toMatchObject(finalTry)
    expect(site.logins()).toBe(0)
    expect(await unlatch(host, '--serial', site.serial, '--final-try', sentence)).toMatchObject({ code: 0, stderr: '' })
    expect(await isReady(await started(host))).toBe(true)
    expect(site.logins()).toBe(1)
    await Promise.all(running.splice(0).map(trent => trent.stop()))

    site.chaos.control({ flags: { set: flags.locked } })
    expect(await serve(host)).toMatchObject(message('its PIN is locked: its security officer must set another (CKF_USER_PIN_LOCKED)'))
    expect(await unlatch(host, '--serial', site.serial, '--final-try', sentence)).toMatchObject(refusal('the user PIN of token \'trent-test\' is locked (CKF_USER_PIN_LOCKED): its security officer must set another first'))
    expect(site.logins()).toBe(1)
  })
})
