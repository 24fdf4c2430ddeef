// A token of another kind than the run's, with a domain of its own, made by the commands that an operator types, and an agent on it.
import { rm } from 'node:fs/promises'
import { newFolder, trent, writeConfig } from './installation.ts'
import { kryopticConfig, writeKryopticFiles } from './kryoptic.ts'
import { nssConfig, writeNssFiles } from './nss.ts'
import { freshDatabase, type TestDatabase } from './postgres.ts'
import { openToken, storedDomain, type StoredDomain, type TestToken } from './token.ts'

export interface OtherToken {
  readonly directory: string
  readonly config: string
  readonly database: TestDatabase
  readonly domain: StoredDomain
  readonly token: TestToken
  /** Ends the agent, and removes database and files. */
  close(): Promise<void>
}

interface Kind {
  readonly name: string
  readonly configure: typeof nssConfig | typeof kryopticConfig
  /** Writes what a token that is still to be initialised needs. */
  readonly write: (directory: string) => Promise<{ soPinFile: string }>
}

export const openNss = (): Promise<OtherToken> => openOther({ name: 'nss', configure: nssConfig, write: writeNssFiles })
export const openKryoptic = (): Promise<OtherToken> => openOther({ name: 'kryoptic', configure: kryopticConfig, write: writeKryopticFiles })

async function openOther({ name, configure, write }: Kind): Promise<OtherToken> {
  const directory = await newFolder(name)
  const database = await freshDatabase()
  const { soPinFile } = await write(directory)
  const tokenConfig = configure(directory)
  const config = await writeConfig(directory, database.url, { hsm: { tokens: [tokenConfig] } })
  await trent(['hsm', 'init-token', '--label', tokenConfig.label, '--so-pin-file', soPinFile, '--config', config])
  await trent(['hsm', 'init', '--no-recovery', '--config', config])
  const domain = await storedDomain(database.url)
  const token = await openToken({ token: { serial: undefined, libraryParameters: undefined, ...tokenConfig } }, domain)
  return {
    directory, config, database, domain, token,
    close: async () => {
      await token.remove()
      await database.drop()
      await rm(directory, { recursive: true, force: true })
    },
  }
}
