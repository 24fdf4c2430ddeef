// What all hosts know of each version of a token's PIN. Each change to a token's rows is made under a lock of that token, so that of
// hosts that start together one logs in, and the others see how it went.
import type { PinRecord, Permit, Verdict } from '../hsm/login-rules.ts'
import { changed, row, rows, transaction, type Db, type Pool } from './database.ts'

export interface PinLatch extends PinRecord {
  readonly label: string
  /** UUID. */
  readonly attempt: string
  readonly host: string
  readonly place: string
  /** Process ids of primary or command, and of the hsm-agent. */
  readonly processes: readonly number[]
  /** Of the state. */
  readonly since: Date
  readonly reason: string | null
  readonly clearedAt: Date | null
}

/** A login that is about to be made. */
export interface LoginAttempt {
  readonly serial: string
  readonly version: number
  readonly label: string
  /** UUID. */
  readonly attempt: string
  readonly host: string
  readonly place: string
  readonly processes: readonly number[]
}

/** All versions for a token, the newest first. */
export async function listPinLatches(db: Db, serial: string, withinMs?: number): Promise<PinLatch[]> {
  return await rows<PinLatch>(db, {
    name: 'pin-latches.list',
    text: `SELECT version, label, state, permit, attempt, host, place, processes, since, reason, unresolved, cleared_at AS "clearedAt",
      good_at IS NOT NULL AS "wasGood", until IS NOT NULL AND until < clock_timestamp() AS "isOver" FROM pin_latches WHERE serial = $1 ORDER BY version DESC`,
    ...(withinMs !== undefined && { withinMs }),
  }, [serial])
}

export interface Claim {
  readonly verdict: Verdict
  /** Of the version that is asked for, as it was. */
  readonly former: PinLatch | undefined
  /** Of the attempt that was noted, by Postgres's clock. */
  readonly since: Date | undefined
}

/**
 * Asks `judge` about the token's rows, and notes the attempt, for at most `milliseconds`, where a login may be made: from then on every
 * other claim for this token is told to wait.
 */
export async function claimLogin(pool: Pool, attempt: LoginAttempt, milliseconds: number, judge: (latches: PinLatch[]) => Verdict): Promise<Claim> {
  return await transaction(pool, async tx => {
    await lock(tx, attempt.serial)
    const latches = await listPinLatches(tx, attempt.serial)
    const verdict = judge(latches)
    const since = verdict.may === 'log-in' ? await insertAttempt(tx, attempt, verdict.unresolved, milliseconds) : undefined
    return { verdict, former: latches.find(({ version }) => version === attempt.version), since }
  })
}

/** For one transaction: claims of a token wait for one another. */
async function lock(tx: Db, serial: string): Promise<void> {
  await row(tx, { name: 'pin-latches.lock', text: 'SELECT pg_advisory_xact_lock(hashtextextended($1, 0))' }, [`trent pin ${serial}`])
}

async function insertAttempt(tx: Db, { serial, version, label, attempt, host, place, processes }: LoginAttempt, unresolved: number, milliseconds: number): Promise<Date | undefined> {
  const noted = await row<{ since: Date }>(tx, {
    name: 'pin-latches.attempt',
    text: `INSERT INTO pin_latches (serial, version, label, state, attempt, host, place, processes, unresolved, since, until)
      VALUES ($1, $2, $3, 'attempting', $4, $5, $6, $7, $8, clock_timestamp(), clock_timestamp() + $9 * interval '1 millisecond')
      ON CONFLICT (serial, version) DO UPDATE SET label = $3, state = 'attempting', permit = 'usual', attempt = $4, host = $5, place = $6, processes = $7,
        unresolved = $8, since = clock_timestamp(), until = clock_timestamp() + $9 * interval '1 millisecond', reason = NULL
      RETURNING since`,
  }, [serial, version, label, attempt, host, place, processes, unresolved, milliseconds])
  return noted?.since
}

/** The token has taken this version's PIN. Nothing changes when another attempt or a latch has come since. */
export async function confirmLogin(db: Db, { serial, version, attempt }: LoginAttempt): Promise<void> {
  await changed(db, {
    name: 'pin-latches.good',
    text: `UPDATE pin_latches SET state = 'good', unresolved = 0, since = clock_timestamp(), good_at = clock_timestamp(), until = NULL
      WHERE serial = $1 AND version = $2 AND attempt = $3 AND state = 'attempting'`,
  }, [serial, version, attempt])
}

/** The attempt's end will not be heard of: it is over now. */
export async function loseLogin(db: Db, { serial, version, attempt }: LoginAttempt): Promise<void> {
  await changed(db, {
    name: 'pin-latches.lost',
    text: "UPDATE pin_latches SET until = clock_timestamp() - interval '1 millisecond' WHERE serial = $1 AND version = $2 AND attempt = $3 AND state = 'attempting'",
  }, [serial, version, attempt])
}

/** The attempt has said nothing of the PIN: what was known before it is known again. */
export async function withdrawLogin(db: Db, { serial, version, attempt }: LoginAttempt, former: PinLatch | undefined): Promise<void> {
  const own = [serial, version, attempt]
  if (former === undefined) {
    await changed(db, { name: 'pin-latches.forget', text: "DELETE FROM pin_latches WHERE serial = $1 AND version = $2 AND attempt = $3 AND state = 'attempting'" }, own)
    return
  }
  await changed(db, {
    name: 'pin-latches.withdraw',
    text: `UPDATE pin_latches SET state = $4, permit = $5, unresolved = $6, since = $7,
        until = CASE WHEN $4 = 'attempting' THEN clock_timestamp() - interval '1 millisecond' END
      WHERE serial = $1 AND version = $2 AND attempt = $3 AND state = 'attempting'`,
  }, [...own, former.state, former.permit, former.unresolved, former.since])
}

/** Latches the token for this version of its PIN and all before it. Resolves to since when. */
export async function latchPin(db: Db, { serial, version, label, attempt, host, place, processes }: LoginAttempt, reason: string): Promise<Date> {
  const latched = await row<{ since: Date }>(db, {
    name: 'pin-latches.latch',
    text: `INSERT INTO pin_latches AS l (serial, version, label, state, attempt, host, place, processes, since, reason)
      VALUES ($1, $2, $3, 'latched', $4, $5, $6, $7, clock_timestamp(), $8)
      ON CONFLICT (serial, version) DO UPDATE SET label = $3, state = 'latched', permit = 'usual', attempt = $4, host = $5, place = $6, processes = $7,
        since = clock_timestamp(), until = NULL, reason = $8, good_at = NULL RETURNING since`,
  }, [serial, version, label, attempt, host, place, processes, reason])
  if (latched === undefined) throw new Error('pin-latches.latch: no row came back')
  return latched.since
}

/**
 * Clears what is latched or unresolved, and permits the next login with this version's PIN, whatever up to `permit` the token says. Resolves
 * to false when a login with it is under way: then it is left alone.
 */
export async function unlatchPin(pool: Pool, attempt: LoginAttempt, permit: Permit): Promise<boolean> {
  return await transaction(pool, async tx => {
    await lock(tx, attempt.serial)
    await changed(tx, {
      name: 'pin-latches.clear',
      text: `UPDATE pin_latches SET state = 'permitted', permit = $2, unresolved = 0, since = clock_timestamp(), cleared_at = clock_timestamp(), until = NULL, reason = NULL
        WHERE serial = $1 AND (state = 'latched' OR (state = 'attempting' AND until < clock_timestamp()))`,
    }, [attempt.serial, permit])
    return await changed(tx, {
      name: 'pin-latches.permit',
      text: `INSERT INTO pin_latches AS l (serial, version, label, state, permit, attempt, host, place, processes, since, cleared_at)
        VALUES ($1, $2, $3, 'permitted', $4, $5, $6, $7, $8, clock_timestamp(), clock_timestamp())
        ON CONFLICT (serial, version) DO UPDATE SET state = 'permitted', permit = $4, unresolved = 0, since = clock_timestamp(), cleared_at = clock_timestamp(),
          until = NULL, reason = NULL WHERE l.until IS NULL OR l.until < clock_timestamp()`,
    }, [attempt.serial, attempt.version, attempt.label, permit, attempt.attempt, attempt.host, attempt.place, attempt.processes]) === 1
  })
}
