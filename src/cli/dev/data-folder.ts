// The data folder of ./dev: what lies where, who may read it, and what one run leaves for the next.
import { randomUUID } from 'node:crypto'
import {
  chmodSync, closeSync, existsSync, linkSync, mkdirSync, openSync, readFileSync, realpathSync, renameSync, rmSync, statSync, writeSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { StartError } from '../../errors.ts'
import { runs, startTime, until, type KnownProcess } from './process.ts'

/** The clone: dist/cli/dev/ and src/cli/dev/ lie equally deep. */
const clone = fileURLToPath(new URL('../../../', import.meta.url))

export interface DataFolder {
  readonly path: string
  /** What a command line needs to name this folder: nothing for the clone's own. */
  readonly option: string
  readonly config: string
  readonly log: string
  readonly pin: string
  readonly soPin: string
  readonly softhsm: string
  readonly recoveryKey: string
  readonly recoveryPublicKey: string
  readonly credentials: string
}

/** What one run remembers for the next. */
export interface State {
  readonly server?: KnownProcess
  readonly port?: number
  readonly demoKey?: string
}

const place = (path: string, given: string | undefined): DataFolder => ({
  path,
  option: given === undefined ? '' : ` --data ${path}`,
  config: join(path, 'trent.yaml'),
  log: join(path, 'trent.log'),
  pin: join(path, 'pin'),
  soPin: join(path, 'so-pin'),
  softhsm: join(path, 'softhsm'),
  recoveryKey: join(path, 'recovery-key.pem'),
  recoveryPublicKey: join(path, 'recovery-key.pub.pem'),
  credentials: join(path, 'credentials'),
})

/** The folder, where it exists. Default: .trent in the clone. */
export function findData(given: string | undefined): DataFolder | undefined {
  const path = given ?? join(clone, '.trent')
  return existsSync(path) ? place(realpathSync(path), given) : undefined
}

/** The folder, made where it is missing, for its owner alone. @throws StartError where it belongs to somebody else. */
export function openData(given: string | undefined): DataFolder {
  const path = given ?? join(clone, '.trent')
  mkdirSync(path, { recursive: true, mode: 0o700 })
  const { uid } = statSync(path)
  if (uid !== process.geteuid?.()) throw new StartError(`${path} belongs to user ${uid}: run ./dev as that user, or with --data elsewhere`)
  chmodSync(path, 0o700)
  return place(realpathSync(path), given)
}

/** Writes a file of mode 0600, whole or not at all. */
export function writeSecret(path: string, content: string): void {
  const unfinished = `${path}.new`
  rmSync(unfinished, { force: true })
  const file = openSync(unfinished, 'wx', 0o600)
  writeSync(file, content)
  closeSync(file)
  renameSync(unfinished, path)
}

export function readState(data: DataFolder): State {
  try {
    return JSON.parse(readFileSync(join(data.path, 'state.json'), 'utf8')) as State
  } catch {
    return {}
  }
}

export function remember(data: DataFolder, more: State): void {
  writeSecret(join(data.path, 'state.json'), `${JSON.stringify({ ...readState(data), ...more }, undefined, 2)}\n`)
}

function lockHolder(path: string): KnownProcess | undefined {
  try {
    return JSON.parse(readFileSync(path, 'utf8')) as KnownProcess
  } catch {
    return undefined
  }
}

/** Runs `work` while no other ./dev works on this folder. A lock whose holder is gone is void; it is linked into place whole. */
export async function withLock<T>(data: DataFolder, work: () => Promise<T>): Promise<T> {
  const path = join(data.path, 'lock')
  const own = `${path}.${randomUUID()}`
  writeSecret(own, JSON.stringify({ pid: process.pid, since: startTime(process.pid) }))
  const taken = await until(() => {
    const holder = lockHolder(path)
    if (holder && !runs(holder)) rmSync(path, { force: true })
    try {
      linkSync(own, path)
      return true
    } catch {
      return false
    }
  }, 180_000)
  rmSync(own, { force: true })
  if (!taken) throw new StartError(`Another ./dev has been working on ${dirname(path)} for three minutes; if none runs, remove ${path}`)
  try {
    return await work()
  } finally {
    rmSync(path, { force: true })
  }
}
