// What an operator does once, done once a run: a SoftHSM token with a domain, a database that knows it, an administrator. Test files
// work on copies: a copied token folder and a cloned database.
import { createHash, generateKeyPairSync } from 'node:crypto'
import { execFile } from 'node:child_process'
import { cp, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { existsSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { stringify } from 'yaml'
import type { TestProject } from 'vitest/node'
import { createDatabase } from './postgres.ts'

export interface Installation {
  /** Holds tokens/, pin, recovery-key.pem. */
  readonly directory: string
  /** Database to clone: migrated, with the domain of the token and one administrator. */
  readonly template: string
  readonly fingerprint: string
  readonly account: string
  readonly admin: { readonly accessKeyId: string; readonly secretAccessKey: string }
  /** plain: a user of the account without any policy. root: the account's root user. foreign: the administrator of another account. */
  readonly identities: Readonly<Record<'plain' | 'root' | 'foreign', Identity>>
}

export interface Identity {
  readonly accessKeyId: string
  readonly secretAccessKey: string
  readonly accountId: string
  readonly arn: string
  /** Null for a root user. */
  readonly userId: string | null
}

declare module 'vitest' {
  export interface ProvidedContext {
    installation: Installation
  }
}

export const account = '111122223333'
export const foreignAccount = '444455556666'
export const tokenLabel = 'trent-test'
export const pin = '648219'
export const mainFile = join(import.meta.dirname, '../../dist/main.js')

const libraries = ['/usr/lib/softhsm/libsofthsm2.so', '/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so', '/usr/local/lib/softhsm/libsofthsm2.so', '/opt/homebrew/lib/softhsm/libsofthsm2.so']
export const softhsmLibrary = libraries.find(existsSync) ?? '/usr/lib/softhsm/libsofthsm2.so'

/** Shared memory where there is some: SoftHSM writes a file for each token object. */
export const newFolder = (name: string): Promise<string> => mkdtemp(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), `trent-${name}-`))

export async function provideInstallation(project: TestProject, server: { url: string; template: string }): Promise<() => Promise<void>> {
  const directory = await newFolder('installation')
  const { url, name } = await createDatabase(server.url, server.template)
  await writeTokenFiles(directory)
  const config = await writeConfig(directory, url, {})
  const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 3072 })
  await writeFile(join(directory, 'recovery-key.pem'), privateKey.export({ type: 'pkcs8', format: 'pem' }), { mode: 0o600 })
  await writeFile(join(directory, 'recovery-public.pem'), publicKey.export({ type: 'spki', format: 'pem' }))
  await writeFile(join(directory, 'so-pin'), '81726354', { mode: 0o600 })
  const recovery = createHash('sha256').update(publicKey.export({ type: 'spki', format: 'der' })).digest('hex')
  await trent(['hsm', 'init-token', '--label', tokenLabel, '--so-pin-file', join(directory, 'so-pin'), '--config', config])
  const { stdout } = await trent(['hsm', 'init', '--recovery-key', join(directory, 'recovery-public.pem'), '--recovery-fingerprint', recovery, '--config', config])
  const admin = JSON.parse((await trent(['iam', 'create-admin', '--account', account, '--name', 'admin', '--config', config])).stdout) as { AccessKeyId: string; SecretAccessKey: string }
  const { stdout: identities } = await promisify(execFile)(process.execPath, [join(import.meta.dirname, 'make-identities.js'), config, account, foreignAccount])
  project.provide('installation', {
    directory, template: name, account, identities: JSON.parse(identities) as Installation['identities'], fingerprint: /[0-9a-f]{64}/.exec(stdout)?.[0] ?? '',
    admin: { accessKeyId: admin.AccessKeyId, secretAccessKey: admin.SecretAccessKey },
  })
  return () => rm(directory, { recursive: true, force: true })
}

/** Runs a command of Trent to its end. Rejects with its stderr when it fails. */
export const trent = (words: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<{ stdout: string; stderr: string }> =>
  promisify(execFile)(process.execPath, [mainFile, ...words], { env: { PATH: process.env.PATH, ...env }, timeout: 60_000 })

/** An empty token store, or a copy of the installation's. */
export async function writeTokenFiles(directory: string, from?: string): Promise<void> {
  if (from === undefined) await mkdir(join(directory, 'tokens'), { recursive: true, mode: 0o700 })
  else await cp(join(from, 'tokens'), join(directory, 'tokens'), { recursive: true })
  await writeFile(join(directory, 'softhsm2.conf'), `directories.tokendir = ${join(directory, 'tokens')}\nobjectstore.backend = file\nlog.level = ERROR\n`)
  await writeFile(join(directory, 'pin'), pin, { mode: 0o600 })
}

/** Settings of a test that differ from the usual ones. */
export interface ConfigChanges {
  readonly [setting: string]: unknown
}

/** A configuration for the files of writeTokenFiles; changes replace whole top-level settings. */
export async function writeConfig(directory: string, databaseUrl: string, changes: ConfigChanges): Promise<string> {
  await writeFile(join(directory, 'database-url'), databaseUrl, { mode: 0o600 })
  const file = join(directory, 'trent.yaml')
  await writeFile(file, stringify({
    region: 'onprem-1', dataDirectory: join(directory, 'data'), listen: { port: 0 }, private: { port: 0 },
    database: { urlFile: join(directory, 'database-url'), poolSize: 5 },
    hsm: { tokens: [tokenConfig(directory)] },
    audit: { segmentBytes: 1_048_576, segments: 2 },
    ...changes,
  }))
  return file
}

export const tokenConfig = (directory: string) => ({
  label: tokenLabel, library: softhsmLibrary, profile: 'softhsm', pinFile: join(directory, 'pin'),
  env: { SOFTHSM2_CONF: join(directory, 'softhsm2.conf') }, workers: 2, pinVersion: 1,
  // One agent, so that a test knows whom it kills; tests of the standby switch it on.
  standby: false,
})
