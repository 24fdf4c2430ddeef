// The way to Postgres: pool, transactions, and the one place where a statement is run and its errors are made safe to log.
import pg from 'pg'
import type { Pool, PoolClient } from 'pg'

export type { Pool, PoolClient } from 'pg'

/** Whatever can run a statement: the pool for one statement alone, a client inside transaction(). */
export type Db = Pool | PoolClient

export interface PoolLimits {
  /** Connections at most. */
  readonly connections: number
  /** Milliseconds for a new connection, and for waiting for a free one. */
  readonly connectMs: number
  /** Milliseconds that the server works on one statement. */
  readonly statementMs: number
  /** Milliseconds that a statement waits for a row lock. */
  readonly lockMs: number
}

export const poolLimits: PoolLimits = { connections: 10, connectMs: 3_000, statementMs: 5_000, lockMs: 4_000 }

/** How long the client waits beyond the server's own limit before it takes the connection for dead. */
const graceMs = 1_000

/**
 * Opens a pool. Connections are made when first needed. `onIdleError` is told of connections that broke while idle (the pool
 * has dropped them by then); without a listener Node would end the process.
 */
export function openPool(url: string, limits: PoolLimits = poolLimits, onIdleError: (error: Error) => void = () => {}): Pool {
  const pool = new pg.Pool({
    connectionString: url,
    application_name: 'trent gateway',
    max: limits.connections,
    connectionTimeoutMillis: limits.connectMs,
    statement_timeout: limits.statementMs,
    query_timeout: limits.statementMs + graceMs,
    lock_timeout: limits.lockMs,
    // A gateway that hangs between two statements must not hold its locks for ever.
    idle_in_transaction_session_timeout: limits.statementMs,
    idleTimeoutMillis: 30_000,
    keepAlive: true,
  })
  pool.on('error', onIdleError)
  return pool
}

/** A statement with a name for errors. `hot` ones are prepared once a connection under that name. */
export interface Statement {
  readonly name: string
  readonly text: string
  readonly hot?: true
  /** Milliseconds for the answer, when it is not worth waiting for the pool's limit. */
  readonly withinMs?: number
}

/** Milliseconds for what the cache reads, one row by its primary key: a request waits for it, and a frozen network must show soon. */
export const lookUpMs = 1_500

/**
 * What went wrong in Postgres, without Postgres's own words: message, detail and position of a server error quote parameter
 * values and whole rows, and errors go to the log.
 */
export class DatabaseError extends Error {
  override readonly name = 'DatabaseError'
  /** SQLSTATE, or undefined when no answer came from the server. */
  readonly sqlState: string | undefined
  /** The constraint that was violated, if any. */
  readonly constraint: string | undefined
  readonly connectionLoss: boolean

  constructor(what: string, error: unknown) {
    const answer = error instanceof pg.DatabaseError ? error : undefined
    super(answer === undefined ? `${what}: ${error instanceof Error ? error.message : 'failed'}` : `${what}: ${describe(answer)}`)
    this.sqlState = answer?.code
    this.constraint = answer?.constraint
    this.connectionLoss = isLoss(error)
  }
}

const describe = ({ code, constraint }: pg.DatabaseError): string =>
  `SQLSTATE ${code ?? 'unknown'}${constraint === undefined ? '' : ` on ${constraint}`}`

/**
 * Answers that say "no database here now": class 08 and shut down (57P01-57P03), too many connections, read only after a
 * failover. Source: PostgreSQL manual, appendix A.
 */
const lossStates = new Set(['57P01', '57P02', '57P03', '53300', '25006'])

/** True when Postgres could not be reached, gave no answer in time or is going away: the same statement may work later. */
export function isConnectionLoss(error: unknown): boolean {
  if (error instanceof DatabaseError) return error.connectionLoss
  // An error of whoever else is on the way is nobody's lost connection.
  return (error instanceof pg.DatabaseError || (error instanceof Error && 'code' in error)) && isLoss(error)
}

/** The same of what pg threw: errors of anybody else never come here. */
function isLoss(error: unknown): boolean {
  if (error instanceof pg.DatabaseError) return error.code !== undefined && (lossStates.has(error.code) || error.code.startsWith('08'))
  // Without an answer from the server an error of pg is about the connection; a TypeError or RangeError is about us.
  return error instanceof Error && !(error instanceof TypeError) && !(error instanceof RangeError)
}

/** Runs a statement and resolves to its rows. @throws DatabaseError */
export async function rows<Row extends object>(db: Db, statement: Statement, values: readonly unknown[] = []): Promise<Row[]> {
  return (await run<Row>(db, statement, values)).rows
}

/** Runs a statement that has at most one row. @throws DatabaseError */
export async function row<Row extends object>(db: Db, statement: Statement, values: readonly unknown[] = []): Promise<Row | undefined> {
  return (await run<Row>(db, statement, values)).rows[0]
}

/** Runs a statement and resolves to the number of rows it changed. @throws DatabaseError */
export async function changed(db: Db, statement: Statement, values: readonly unknown[] = []): Promise<number> {
  return (await run(db, statement, values)).rowCount ?? 0
}

async function run<Row extends object>(db: Db, statement: Statement, values: readonly unknown[]): Promise<pg.QueryResult<Row>> {
  try {
    return await db.query<Row>({
      text: statement.text,
      values: [...values],
      ...(statement.hot && { name: statement.name }),
      ...(statement.withinMs !== undefined && { query_timeout: statement.withinMs }),
    })
  } catch (error) {
    throw new DatabaseError(statement.name, error)
  }
}

/**
 * Runs `work` in one READ COMMITTED transaction; it is rolled back when `work` throws. The client always goes back to the pool, or is
 * thrown away when its connection is lost. A connection loss at COMMIT leaves open whether the transaction took place: what must be known is
 * written so that it can be asked again (intents, preset ids).
 */
export async function transaction<T>(pool: Pool, work: (tx: PoolClient) => Promise<T>): Promise<T> {
  const client = await connect(pool)
  let lost: Error | undefined
  // Between two statements nobody else listens, and an unheard 'error' ends the process.
  const onError = (error: Error): void => void (lost = error)
  client.on('error', onError)
  try {
    await run(client, { name: 'begin', text: 'BEGIN' }, [])
    const result = await work(client)
    const { command } = await run(client, { name: 'commit', text: 'COMMIT' }, [])
    // Postgres answers COMMIT of a failed transaction with ROLLBACK and no error: a swallowed failure would look like success.
    if (command !== 'COMMIT') throw new Error('transaction was rolled back: a statement in it failed')
    return result
  } catch (error) {
    lost ??= await rollback(client, error)
    throw error
  } finally {
    client.off('error', onError)
    client.release(lost)
  }
}

async function connect(pool: Pool): Promise<PoolClient> {
  try {
    return await pool.connect()
  } catch (error) {
    throw new DatabaseError('connect', error)
  }
}

/** Resolves to the error that makes the client unusable, if there is one. */
async function rollback(client: PoolClient, cause: unknown): Promise<Error | undefined> {
  // A statement that ran out of time may still be running: nothing can be sent behind it.
  if (cause instanceof DatabaseError && cause.connectionLoss) return cause
  try {
    await run(client, { name: 'rollback', text: 'ROLLBACK' }, [])
    return undefined
  } catch (error) {
    return error as Error
  }
}

/**
 * Runs `work` while no other session holds the lock of this name; undefined when one does. The lock ends with its connection, so a
 * process that dies does not keep it.
 */
export async function alone<T>(pool: Pool, name: string, work: () => Promise<T>): Promise<T | undefined> {
  const client = await connect(pool)
  try {
    const { rows: [found] } = await run<{ locked: boolean }>(client, { name: 'lock', text: 'SELECT pg_try_advisory_lock(hashtextextended($1, 0)) AS locked' }, [name])
    return found?.locked === true ? await work() : undefined
  } finally {
    // Closed rather than given back: that is what lets go of the lock, whatever happened.
    client.release(true)
  }
}
