// Hosts that share a token and a database: the token stands behind the pass-through module, which notes each C_Login on disk before the
// token sees it, so that no process can log in uncounted.
import { mkdirSync, writeFileSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import pg from 'pg'
import { expect, inject } from 'vitest'
import { chaosToken, type ChaosToken } from './chaos.ts'
import { command, type Outcome } from './command.ts'
import { startTrentOn, type Trent } from './gateway.ts'
import { newFolder, pin, writeConfig, writeTokenFiles } from './installation.ts'
import { cloneDatabase, type TestDatabase } from './postgres.ts'
import { agentsOf, poke } from './token.ts'

export interface Host {
  readonly directory: string
  readonly config: string
  readonly pinFile: string
  readonly databaseUrl: string
  /** As in its configuration. */
  readonly token: object
}

export interface LatchSite {
  readonly directory: string
  readonly database: TestDatabase
  readonly chaos: ChaosToken
  readonly serial: string
  /** A host with a configuration, data directory and PIN file of its own. */
  host(settings?: { readonly databaseUrl?: string; readonly token?: object }): Promise<Host>
  /** C_Login as the user, by whatever process of whatever host. */
  logins(): number
  sql(statement: string): Promise<void>
  /** Ends and removes everything; fails when an agent is left over. */
  remove(): Promise<void>
}

export const wrongPin = '99999999'

export async function latchSite(): Promise<LatchSite> {
  const directory = await newFolder('latch')
  await writeTokenFiles(directory, inject('installation').directory)
  const database = await cloneDatabase(inject('installation').template)
  const chaos = await chaosToken(directory)
  let hosts = 0
  return {
    directory, database, chaos, serial: await poke<string>(directory, 'serial'),
    async host({ databaseUrl = database.url, token = {} } = {}) {
      const own = join(directory, `host-${++hosts}`)
      mkdirSync(own)
      const pinFile = join(own, 'pin')
      writeFileSync(pinFile, pin, { mode: 0o600 })
      const configured = { ...chaos.token, pinFile, ...token }
      return { directory: own, pinFile, databaseUrl, token: configured, config: await writeConfig(own, databaseUrl, { hsm: { tokens: [configured] } }) }
    },
    logins: () => chaos.logins().filter(line => line.endsWith(' user')).length,
    async sql(statement) {
      const client = new pg.Client({ connectionString: database.url })
      await client.connect()
      try {
        await client.query(statement)
      } finally {
        await client.end()
      }
    },
    async remove() {
      chaos.clear()
      expect(agentsOf(directory)).toEqual([])
      await database.drop()
      await rm(directory, { recursive: true, force: true })
    },
  }
}


export const serve = ({ config }: Host): Promise<Outcome> => command('serve', '--config', config)
export const unlatch = ({ config }: Host, ...words: string[]): Promise<Outcome> => command('hsm', 'unlatch', ...words, '--config', config)
/** The host's primary with its gateway, until it serves. */
export const start = (host: Host): Promise<Trent> =>
  startTrentOn(host.directory, { url: host.databaseUrl, drop: () => Promise.resolve() }, { hsm: { tokens: [host.token] } })
