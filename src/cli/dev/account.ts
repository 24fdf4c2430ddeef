// The system account that runs Postgres. Postgres refuses to run as root, so root lends it an account of its own; everybody else runs it
// as themselves. Whatever happens in a folder of that account happens as that account: root follows no link that it may have planted.
import { execFile } from 'node:child_process'
import { environment } from '../../config.ts'
import { StartError } from '../../errors.ts'

export interface Account {
  /** undefined: our own. */
  readonly ids: { readonly uid: number, readonly gid: number } | undefined
}

export interface Outcome {
  readonly code: number
  readonly output: string
}

/** Runs one program to its end as this account. `code` is 127 where it cannot be started at all. At most 1 MiB of output. */
export function runAs(account: Account, program: string, parameters: readonly string[]): Promise<Outcome> {
  const env = { PATH: environment().PATH ?? '/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: 'C' }
  return new Promise((resolve) => {
    execFile(program, parameters, { ...account.ids, env, cwd: '/', timeout: 120_000 }, (error, stdout, stderr) => {
      const code = error === null ? 0 : typeof error.code === 'number' ? error.code : 127
      resolve({ code, output: `${stdout}${stderr}`.trim() || (error?.message ?? '') })
    })
  })
}

export const self: Account = { ids: undefined }

async function lookUp(name: string): Promise<Account | undefined> {
  const [uid, gid] = await Promise.all([runAs(self, 'id', ['-u', name]), runAs(self, 'id', ['-g', name])])
  return uid.code === 0 && gid.code === 0 ? { ids: { uid: Number(uid.output), gid: Number(gid.output) } } : undefined
}

/**
 * Ourselves, or for root the account postgres, made where it is missing, or nobody where it cannot be made.
 * @throws StartError where root has none of them.
 */
export async function postgresAccount(): Promise<Account> {
  if (process.geteuid?.() !== 0) return self
  const present = await lookUp('postgres')
  if (present) return present
  const made = await runAs(self, 'useradd', ['--system', '--user-group', '--no-create-home', '--shell', '/usr/sbin/nologin', 'postgres'])
  const account = await lookUp(made.code === 0 ? 'postgres' : 'nobody')
  if (!account) throw new StartError(`Postgres does not run as root, and no account for it can be made: ${made.output}`)
  return account
}
