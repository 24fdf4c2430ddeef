// ./dev from nothing to the first Encrypt. Each step finds its own earlier result: a run after kill -9 at any point goes on from there.
import { randomUUID } from 'node:crypto'
import { existsSync, rmSync } from 'node:fs'
import { StartError } from '../../errors.ts'
import { announcement } from './announce.ts'
import { openData, readState, withLock, writeSecret, type DataFolder } from './data-folder.ts'
import { firstUse } from './first-use.ts'
import { removePostgres, startPostgres, stopPostgres } from './postgres.ts'
import { becomesReady, devConfig, isServing, startServer, stopServer, writeConfig } from './server.ts'
import { isTokenWhole, markTokenWhole, prepareTokenStore, recoveryFingerprint, tokenLabel } from './token.ts'
import { trent } from './trent-command.ts'

const defaultPort = 8470
/** Exit code of `hsm init` and `iam create-admin` where what they make exists. */
const alreadyThere = 3

async function makeToken(data: DataFolder): Promise<void> {
  if (isTokenWhole(data)) return
  prepareTokenStore(data)
  await trent(data, ['hsm', 'init-token', '--label', tokenLabel, '--so-pin-file', data.soPin])
  markTokenWhole(data)
}

async function makeAdministrator(data: DataFolder): Promise<void> {
  if (existsSync(data.credentials)) return
  const make = (name: string) => trent(data, ['iam', 'create-admin', '--account', '111122223333', '--name', name], [0, alreadyThere])
  // An admin whose key was printed to a run that was killed before it wrote it down: nobody has the secret any more.
  const answer = (await make('admin')) || (await make(`admin-${randomUUID()}`))
  const { AccessKeyId, SecretAccessKey } = JSON.parse(answer || '{}') as Record<string, string>
  if (!AccessKeyId || !SecretAccessKey) throw new StartError('trent iam create-admin gave no access key')
  writeSecret(data.credentials, `[default]\naws_access_key_id = ${AccessKeyId}\naws_secret_access_key = ${SecretAccessKey}\n`)
}

async function bringUp(data: DataFolder, port: number): Promise<void> {
  const postgres = await startPostgres({ directory: data.path })
  writeConfig(data, port, postgres.urlFile)
  const config = devConfig(data)
  await trent(data, ['migrate'])
  await makeToken(data)
  const fingerprint = recoveryFingerprint(data)
  const domain = ['hsm', 'init', '--recovery-key', data.recoveryPublicKey, '--recovery-fingerprint', fingerprint]
  await trent(data, domain, [0, alreadyThere])
  await makeAdministrator(data)
  await startServer(data, config)
}

/** Whether the server of an earlier ./dev answers, its Postgres started again where that was killed. What does not answer is ended. */
async function findRunning(data: DataFolder): Promise<boolean> {
  if (!isServing(data) || !existsSync(data.config)) return false
  await startPostgres({ directory: data.path })
  if (await becomesReady(data, devConfig(data), 15_000)) return true
  await stopServer(data)
  return false
}

export interface StartOptions {
  readonly data: string | undefined
  readonly port: number | undefined
  readonly reset: boolean
}

export interface Started {
  readonly data: DataFolder
  /** false: an earlier ./dev had started it. */
  readonly anew: boolean
  readonly announcement: string
}

/**
 * Starts Trent, or finds it running, and resolves once the first Encrypt and Decrypt have worked.
 * @throws StartError with the reason; what this run started has then been ended.
 */
export async function start(options: StartOptions): Promise<Started> {
  const data = openData(options.data)
  return withLock(data, async () => {
    if (options.reset) await reset(data)
    const known = readState(data).port
    const moved = options.port !== undefined && options.port !== known
    if (moved) await stopServer(data)
    const anew = !(await findRunning(data))
    try {
      if (anew) await bringUp(data, options.port ?? known ?? defaultPort)
      const config = devConfig(data)
      return { data, anew, announcement: await announcement(data, config, await firstUse(data, config)) }
    } catch (error) {
      if (anew) await stop(data)
      throw error
    }
  })
}

/** Ends server and Postgres. Resolves to whether the server ran. */
export async function stop(data: DataFolder): Promise<boolean> {
  const ran = await stopServer(data)
  await stopPostgres(data.path)
  return ran
}

const ours = ['softhsm', 'journal', 'run', 'pins', 'state.json', 'trent.yaml', 'trent.log', 'trent.log.1', 'pin', 'so-pin', 'credentials']
const recovery = ['recovery-key.pem', 'recovery-key.pub.pem']

/** Ends what runs and removes what ./dev made, name by name: `--data` may point at a folder that holds other things too. */
async function reset(data: DataFolder): Promise<void> {
  await stopServer(data)
  await removePostgres(data.path)
  for (const name of [...ours, ...recovery]) rmSync(`${data.path}/${name}`, { recursive: true, force: true })
}
