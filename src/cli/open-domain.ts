// What every command needs that talks to the token: the database's domain, the token's PIN, an agent that serves both. Here it is
// decided whether token and database belong together.
import { mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { readSecretFile, type Config, type TokenConfig } from '../config.ts'
import { StartError } from '../errors.ts'
import { encodeContext } from '../keys/context.ts'
import type { AgentReady } from '../hsm/agent/control.ts'
import { HsmClient, type AgentAddress } from '../hsm/client.ts'
import { AgentSupervisor, type SupervisorOptions } from '../hsm/supervisor.ts'
import { findDomain, listDomainVersions } from '../store/domain.ts'
import type { Pool } from '../store/database.ts'

export interface OpenDomain {
  readonly ready: AgentReady
  readonly supervisor: AgentSupervisor
  /** A client of this process's own, for the canary and for commands. */
  readonly client: HsmClient
  close(): Promise<void>
}

export type Hooks = Pick<SupervisorOptions, 'log' | 'started'> & { readonly changed: (address: AgentAddress | null) => void }

/** The one token that this version serves. @throws StartError */
export function onlyToken(config: Config): TokenConfig {
  const [token, second] = config.hsm.tokens
  if (token === undefined) throw new StartError('hsm.tokens is empty: name the token that holds the domain')
  if (second !== undefined) throw new StartError('hsm.tokens names more than one token: this version of Trent serves one')
  return token
}

export const readPin = (token: TokenConfig): string => readSecretFile(token.pinFile, 'hsm.tokens.pinFile').toString()

/** Starts the agent and proves that its token holds the database's domain. @throws StartError with one sentence */
export async function openDomain(config: Config, pool: Pool, hooks: Hooks): Promise<OpenDomain> {
  const token = onlyToken(config)
  const domain = await findDomain(pool)
  const [version] = (await listDomainVersions(pool)).slice(-1)
  if (domain === undefined || domain.state !== 'ready' || version === undefined) throw new StartError('the database has no domain yet: run `trent hsm init`')
  const client = new HsmClient({ observe: () => undefined })
  const directory = socketDirectory(config.dataDirectory)
  const supervisor = new AgentSupervisor({
    token, pin: readPin(token), domain: { id: domain.id.toString('hex'), version: version.version }, directory, log: hooks.log, started: hooks.started,
    changed: address => {
      client.setAgent(address)
      hooks.changed(address)
    },
  })
  const close = async (): Promise<void> => {
    client.close()
    await supervisor.stop()
    rmSync(directory, { recursive: true, force: true })
  }
  try {
    const ready = await supervisor.start()
    if (ready.fingerprint !== domain.fingerprint) throw new StartError(`the domain on token '${token.label}' has the fingerprint ${ready.fingerprint}, the database's has ${domain.fingerprint}: the database belongs to another token`)
    if (config.hsm.domainFingerprint !== undefined && config.hsm.domainFingerprint !== ready.fingerprint) throw new StartError(`hsm.domainFingerprint is ${config.hsm.domainFingerprint}, but the domain on token '${token.label}' has ${ready.fingerprint}`)
    if (!ready.templateEnforced && !config.hsm.allowWeakToken) throw new StartError(`token '${token.label}' lets whoever has its PIN unwrap keys as extractable, so that PIN and database together read every wrapped key: it serves only where hsm.allowWeakToken is true`)
    const { row, mac, ciphertext } = version.canary
    if (!(await client.canary({ row, mac }, encodeContext(undefined), ciphertext))) throw new StartError(`token '${token.label}' does not open this database's canary: the database belongs to another token`)
    return { ready, supervisor, client, close }
  } catch (thrown) {
    await close()
    throw thrown
  }
}

/** The path of a unix socket has at most 107 bytes; the data directory may be deeper than that. */
const pathLimitBytes = 107 - '/999999-99'.length

/** A new directory, 0700, of this process. Directories of processes that were killed are removed. */
function socketDirectory(dataDirectory: string): string {
  const run = join(dataDirectory, 'run')
  mkdirSync(run, { recursive: true, mode: 0o700 })
  for (const name of readdirSync(run)) if (!isAlive(Number(name))) rmSync(join(run, name), { recursive: true, force: true })
  const own = join(run, String(process.pid))
  if (Buffer.byteLength(own) > pathLimitBytes) return mkdtempSync(join(tmpdir(), 'trent-'))
  rmSync(own, { recursive: true, force: true })
  mkdirSync(own, { mode: 0o700 })
  return own
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code === 'EPERM'
  }
}
