// Two SoftHSM tokens with one domain: the second one got its keys as an operator brings them there, by the recovery key.
import { createHash, createPublicKey } from 'node:crypto'
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, inject } from 'vitest'
import { command } from './command.ts'
import { newFolder, tokenConfig, writeConfig, writeTokenFiles, type ConfigChanges } from './installation.ts'
import { cloneDatabase, type TestDatabase } from './postgres.ts'

export interface TwoTokens {
  readonly directory: string
  readonly secondDirectory: string
  readonly database: TestDatabase
  readonly config: string
  readonly tokens: readonly ReturnType<typeof tokenConfig>[]
  /** Writes the configuration anew. */
  configure(changes: ConfigChanges): Promise<string>
  remove(): Promise<void>
}

export const secondLabel = 'trent-second'

/** Fingerprint of a SubjectPublicKeyInfo. */
const fingerprintOf = (spki: Buffer): string => createHash('sha256').update(spki).digest('hex')

/** The run's installation with a second, initialised token that holds no domain yet. */
export async function withSecondToken(): Promise<TwoTokens> {
  const directory = await newFolder('two')
  const secondDirectory = join(directory, 'second')
  await writeTokenFiles(directory, inject('installation').directory)
  await mkdir(secondDirectory)
  await writeTokenFiles(secondDirectory)
  const database = await cloneDatabase(inject('installation').template)
  const tokens = [tokenConfig(directory), { ...tokenConfig(secondDirectory), label: secondLabel }]
  const configure = (changes: ConfigChanges): Promise<string> => writeConfig(directory, database.url, { hsm: { tokens }, ...changes })
  const config = await configure({})
  await writeFile(join(directory, 'so-pin'), '81726354', { mode: 0o600 })
  await ran('hsm', 'init-token', '--label', secondLabel, '--so-pin-file', join(directory, 'so-pin'), '--config', config)
  return {
    directory, secondDirectory, database, config, tokens, configure,
    remove: async () => {
      await database.drop()
      await rm(directory, { recursive: true, force: true })
    },
  }
}

/** Both tokens hold the domain. */
export async function twoTokens(): Promise<TwoTokens> {
  const site = await withSecondToken()
  await addToken(site, secondLabel)
  return site
}

/** Request, reseal, response. Resolves to the last step's output. */
export async function addToken({ directory, config }: Pick<TwoTokens, 'directory' | 'config'>, label: string): Promise<string> {
  const request = join(directory, `${label}-request.json`)
  const response = join(directory, `${label}-response.json`)
  for (const file of [request, response]) await rm(file, { force: true })
  await ran('hsm', 'add-token', '--token', label, '--request', request, '--config', config)
  await reseal(request, response)
  return await ran('hsm', 'add-token', '--token', label, '--response', response, '--config', config)
}

/** As the holder of the run's recovery key. */
export async function reseal(request: string, response: string): Promise<void> {
  const { spki } = JSON.parse(await readFile(request, 'utf8')) as { spki: string }
  await ran('hsm', 'reseal', request, '--recovery-key', join(inject('installation').directory, 'recovery-key.pem'),
    '--fingerprint', fingerprintOf(Buffer.from(spki, 'base64')), '--out', response)
}

/** The public half of the run's recovery key, as options. */
export async function recoveryOptions(): Promise<string[]> {
  const file = join(inject('installation').directory, 'recovery-public.pem')
  const spki = createPublicKey(await readFile(file)).export({ type: 'spki', format: 'der' })
  return ['--recovery-key', file, '--recovery-fingerprint', fingerprintOf(spki)]
}

/** Runs a command that must succeed. Resolves to its output. */
export async function ran(...words: string[]): Promise<string> {
  const { code, stdout, stderr } = await command(...words)
  expect({ code, stderr }, words.join(' ')).toMatchObject({ code: 0 })
  return stdout
}
