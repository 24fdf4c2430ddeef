// An NSS token with a domain of its own, made by the commands that an operator types, and an agent on it.
import { rm } from 'node:fs/promises'
import { newFolder, trent, writeConfig } from './installation.ts'
import { nssConfig, writeNssFiles } from './nss.ts'
import { freshDatabase, type TestDatabase } from './postgres.ts'
import { openToken, storedDomain, type StoredDomain, type TestToken } from './token.ts'

export interface NssToken {
  readonly directory: string
  readonly config: string
  readonly database: TestDatabase
  readonly domain: StoredDomain
  readonly token: TestToken
  /** Ends the agent, and removes database and files. */
  close(): Promise<void>
}

export async function openNss(): Promise<NssToken> {
  const directory = await newFolder('nss')
  const database = await freshDatabase()
  const { soPinFile } = await writeNssFiles(directory)
  const config = await writeConfig(directory, database.url, { hsm: { tokens: [nssConfig(directory)] } })
  await trent(['hsm', 'init-token', '--label', nssConfig(directory).label, '--so-pin-file', soPinFile, '--config', config])
  await trent(['hsm', 'init', '--no-recovery', '--config', config])
  const domain = await storedDomain(database.url)
  const token = await openToken({ token: { serial: undefined, ...nssConfig(directory) } }, domain)
  return {
    directory, config, database, domain, token,
    close: async () => {
      await token.remove()
      await database.drop()
      await rm(directory, { recursive: true, force: true })
    },
  }
}
