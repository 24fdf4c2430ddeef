// Two hosts and one Postgres, each with a disk of its own: who may log in, and what the next one finds. No token: what it says is given.
import { randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { newAttempt, pinMarks } from '../../src/cli/login-attempt.ts'
import { TokenLogins } from '../../src/cli/token-logins.ts'
import type { TokenConfig } from '../../src/config.ts'
import type { TokenFound } from '../../src/hsm/agent/control.ts'
import type { Login } from '../../src/hsm/login.ts'
import type { PinMarks } from '../../src/hsm/pin-marks.ts'
import { openPool, type Pool } from '../../src/store/database.ts'
import { listPinLatches, unlatchPin } from '../../src/store/pin-latches.ts'
import { freshDatabase, type TestDatabase } from '../support/postgres.ts'
import { startProxy } from '../support/proxy.ts'
import { until } from '../support/until.ts'

interface Host {
  readonly logins: TokenLogins
  readonly marks: PinMarks
  readonly token: TokenConfig
  readonly logged: string[]
  /** Asks as an agent would that has found the token. */
  ask(changes?: Partial<TokenFound>): Promise<Login>
}

let database: TestDatabase
let pool: Pool
beforeAll(async () => {
  database = await freshDatabase()
  pool = openPool(database.url)
})
afterAll(async () => {
  await pool.end()
  await database.drop()
})

let folder: string
let serial: string
let hosts: Host[]
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'trent-logins-'))
  serial = randomBytes(8).toString('hex')
  hosts = []
})
afterEach(async () => {
  await Promise.all(hosts.map(({ logins }) => logins.close()))
  rmSync(folder, { recursive: true })
})

function host({ pinVersion = 1, through = pool }: { pinVersion?: number; through?: Pool } = {}): Host {
  const dataDirectory = join(folder, String(hosts.length))
  const pinFile = join(folder, 'pin')
  writeFileSync(pinFile, '1234', { mode: 0o600 })
  const token = { label: 'shared', serial: undefined, library: '/l.so', libraryParameters: undefined, profile: 'softhsm', pinFile, env: {}, workers: 2, pinVersion, standby: false }
  const logged: string[] = []
  const logins = new TokenLogins({ token, pool: through, dataDirectory, log: (_level, message) => { logged.push(message) } })
  const made: Host = {
    logins, marks: pinMarks(dataDirectory), token, logged,
    // A process id that is ours: it lives.
    ask: (changes = {}) => logins.ask({ serial, pinState: 'usual', revealsPinState: true, ...changes }, process.ppid),
  }
  hosts.push(made)
  return made
}

const row = async () => (await listPinLatches(pool, serial))[0]
const isAnswered = async (asked: Promise<unknown>, milliseconds = 500): Promise<boolean> =>
  await Promise.race([asked.then(() => true, () => true), new Promise<boolean>(resolve => { setTimeout(() => { resolve(false) }, milliseconds) })])
/** As if the attempt had been begun where nobody here can see its processes. */
const elsewhere = (until: string) => pool.query(`UPDATE pin_latches SET place = 'another boot pid:[1]', until = clock_timestamp() + interval '${until}' WHERE serial = $1`, [serial])

describe('two hosts', () => {
  it('log in one after the other', async () => {
    const [first, second] = [host(), host()]
    const login = await first.ask()
    expect(login).toMatchObject({ pin: '1234', inSpiteOf: 'usual' })
    expect(await row()).toMatchObject({ state: 'attempting', isOver: false })
    expect(first.marks.read(serial)).toMatchObject({ state: 'attempting', processes: [process.pid, process.ppid] })
    const waiting = second.ask()
    expect(await isAnswered(waiting)).toBe(false)
    expect(await login.end({ outcome: 'good' })).toBeUndefined()
    const later = await waiting
    expect(first.marks.read(serial)).toBeUndefined()
    await later.end({ outcome: 'good' })
    await second.logins.settled()
    expect(await row()).toMatchObject({ state: 'good', wasGood: true, unresolved: 0 })
  })

  it('of which the first is refused: the second learns it without a try', async () => {
    const [first, second] = [host(), host()]
    const login = await first.ask()
    const waiting = second.ask()
    const refusal = await login.end({ outcome: 'refused', ckr: 'CKR_PIN_INCORRECT' })
    expect(refusal).toMatchObject({ kind: 'latched', message: expect.stringContaining('refuses the PIN (CKR_PIN_INCORRECT)') as string })
    await expect(waiting).rejects.toMatchObject({ kind: 'latched', message: expect.stringContaining(`no login to token 'shared' (serial ${serial}; PIN version 1, latched since `) as string })
    expect([first.logins.isLatched, second.logins.isLatched]).toEqual([true, true])
    const { recordedAt } = first.marks.read(serial) ?? {}
    expect(recordedAt).toBe((await row())?.since.toISOString())
  })

  it('are both let go by one unlatch, which the other notices by itself', async () => {
    const [first, second] = [host(), host()]
    await (await first.ask()).end({ outcome: 'refused', ckr: 'CKR_PIN_INCORRECT' })
    await expect(second.ask()).rejects.toThrow('latched since')
    let reopened = 0
    for (const { logins } of [first, second]) void logins.reopened().then(() => { reopened++ })
    await until('the mark of the other host', () => second.marks.read(serial)?.state === 'latched')
    expect(reopened).toBe(0)
    expect(await unlatchPin(pool, newAttempt(first.token, serial), 'count-low')).toBe(true)
    await until('both to notice', () => reopened === 2)
    expect([first, second].map(({ marks }) => marks.read(serial))).toEqual([undefined, undefined])
    expect(first.logged).toContain('the token is unlatched')
    const login = await second.ask({ pinState: 'count-low' })
    expect(login.inSpiteOf).toBe('count-low')
    await login.end({ outcome: 'good' })
    // It was one login.
    await expect(first.ask({ pinState: 'count-low' })).rejects.toThrow('CKF_USER_PIN_COUNT_LOW')
  })
})

describe('an attempt', () => {
  it('of a process that is lost is over at once for its own host', async () => {
    const only = host()
    await (await only.ask()).end({ outcome: 'lost' })
    const again = await only.ask()
    await again.end({ outcome: 'lost' })
    await only.logins.settled()
    expect(await row()).toMatchObject({ state: 'attempting', isOver: true, unresolved: 1 })
    await (await host().ask()).end({ outcome: 'good' })
  })

  it('of a host that is gone is waited for until its time is over', async () => {
    await host().ask()
    await elsewhere('3 seconds')
    const waiting = host().ask()
    expect(await isAnswered(waiting, 1_500)).toBe(false)
    expect((await waiting).inSpiteOf).toBe('usual')
  })

  it('whose end nobody saw latches the token that has counted a wrong PIN since', async () => {
    await host().ask()
    await elsewhere('-1 seconds')
    const next = host()
    await expect(next.ask({ pinState: 'count-low' })).rejects.toThrow('a login was cut off, and may have been with a wrong PIN')
    expect(await row()).toMatchObject({ state: 'latched' })
    expect(next.marks.read(serial)).toMatchObject({ state: 'latched' })
    // Also when the count came between the question and the login.
    serial = randomBytes(8).toString('hex')
    await host().ask()
    await elsewhere('-1 seconds')
    const login = await host().ask()
    expect(await login.end({ outcome: 'barred', pinState: 'count-low' })).toMatchObject({ kind: 'latched' })
    expect(await row()).toMatchObject({ state: 'latched' })
  })

  it.each([{ outcome: 'failed', ckr: 'CKR_DEVICE_ERROR' }, { outcome: 'barred', pinState: 'count-low' }] as const)('that said nothing of the PIN leaves things as they were: $outcome', async outcome => {
    const only = host()
    expect(await (await only.ask()).end(outcome)).toMatchObject({ kind: 'passing' })
    await only.logins.settled()
    expect(await row()).toBeUndefined()
    await (await only.ask()).end({ outcome: 'good' })
    await (await only.ask()).end(outcome)
    await only.logins.settled()
    expect(await row()).toMatchObject({ state: 'good', wasGood: true })
    expect(await unlatchPin(pool, newAttempt(only.token, serial), 'final-try')).toBe(true)
    await (await only.ask({ pinState: 'final-try' })).end(outcome)
    await only.logins.settled()
    expect(await row()).toMatchObject({ state: 'permitted', permit: 'final-try' })
    expect(only.marks.read(serial)).toBeUndefined()
  })

  it('with an answer that may mean a wrong PIN latches one that was never good, and says nothing of one that was', async () => {
    const outcome = { outcome: 'unclear', ckr: 'CKR_GENERAL_ERROR' } as const
    const only = host()
    await (await only.ask()).end({ outcome: 'good' })
    expect(await (await only.ask()).end(outcome)).toMatchObject({ kind: 'passing' })
    // Another process, which knows it from Postgres.
    expect(await (await host().ask()).end(outcome)).toMatchObject({ kind: 'passing' })
    await hosts[1]?.logins.settled()
    expect(await row()).toMatchObject({ state: 'good' })
    const raised = host({ pinVersion: 2 })
    expect(await (await raised.ask()).end(outcome)).toMatchObject({ kind: 'latched', message: expect.stringContaining('answers the login with CKR_GENERAL_ERROR, which may mean a wrong PIN') as string })
    await expect(host().ask()).rejects.toThrow('latched since')
  })

  it('that is under way is not unlatched', async () => {
    const only = host()
    const login = await only.ask()
    expect(await unlatchPin(pool, newAttempt(only.token, serial), 'count-low')).toBe(false)
    await login.end({ outcome: 'good' })
  })

  it('whose PIN cannot be read is none', async () => {
    const only = host()
    rmSync(only.token.pinFile)
    await expect(only.ask()).rejects.toThrow('cannot be read (ENOENT)')
    await only.logins.settled()
    expect(await row()).toBeUndefined()
    expect(only.marks.read(serial)).toBeUndefined()
  })
})

describe('a latch on disk', () => {
  it('is dropped for an unlatch that is later, and for no other change in Postgres', async () => {
    const only = host()
    await (await only.ask()).end({ outcome: 'refused', ckr: 'CKR_PIN_INCORRECT' })
    await only.logins.close()
    for (const change of ["DELETE FROM pin_latches WHERE serial = $1", "UPDATE pin_latches SET state = 'good', reason = NULL, cleared_at = since - interval '1 day' WHERE serial = $1"]) {
      await pool.query(change, [serial])
      await expect(only.ask()).rejects.toThrow('latched since')
    }
    expect(await unlatchPin(pool, newAttempt(only.token, serial), 'count-low')).toBe(true)
    await (await only.ask()).end({ outcome: 'good' })
  })

  it('is written to Postgres anew when it is not there', async () => {
    const only = host()
    await (await only.ask()).end({ outcome: 'refused', ckr: 'CKR_PIN_INCORRECT' })
    await pool.query('DELETE FROM pin_latches WHERE serial = $1', [serial])
    await until('the row', async () => (await row())?.state === 'latched')
    await expect(host().ask()).rejects.toThrow('latched since')
  })
})

describe('without Postgres', () => {
  it('nothing is decided by a process that never had an answer; later its disk decides, and Postgres is told', async () => {
    const proxy = await startProxy(database.url)
    const through = openPool(proxy.url)
    try {
      proxy.cut()
      const only = host({ through })
      await expect(only.ask()).rejects.toThrow('connect')
      proxy.mend()
      await (await only.ask()).end({ outcome: 'good' })
      await only.logins.settled()
      proxy.freeze()
      const login = await only.ask()
      expect(only.marks.read(serial)).toMatchObject({ state: 'attempting' })
      proxy.cut()
      await login.end({ outcome: 'refused', ckr: 'CKR_PIN_INCORRECT' })
      expect(only.marks.read(serial)).toMatchObject({ state: 'latched', recordedAt: null })
      await expect(only.ask()).rejects.toThrow('latched since')
      proxy.thaw()
      proxy.mend()
      await until('the latch in Postgres', async () => (await row())?.state === 'latched')
      await until('its time on disk', () => only.marks.read(serial)?.recordedAt !== null)
      await only.logins.close()
    } finally {
      await through.end()
      await proxy.close()
    }
  })
})
