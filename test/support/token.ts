// A SoftHSM token that holds the run's domain, a supervised hsm-agent on it and a client, all at the hands of one test file.
import { execFile } from 'node:child_process'
import { randomBytes, randomUUID } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { promisify } from 'node:util'
import pg from 'pg'
import { inject } from 'vitest'
import type { TokenConfig } from '../../src/config.ts'
import type { AgentReady } from '../../src/hsm/agent/control.ts'
import type { AgentAddress } from '../../src/hsm/calls.ts'
import { HsmClient } from '../../src/hsm/client.ts'
import type { MaterialPlan } from '../../src/hsm/hsm.ts'
import type * as loginModule from '../../src/hsm/login.ts'
import type * as supervisorModule from '../../src/hsm/supervisor.ts'
import type { AgentSupervisor, StartReason, SupervisorOptions } from '../../src/hsm/supervisor.ts'
import type { SealedMaterial } from '../../src/keys/material.ts'
import { freeLogins } from './logins.ts'
import { newFolder, pin, tokenConfig, writeTokenFiles } from './installation.ts'
import { cloneDatabase } from './postgres.ts'

const dist = join(import.meta.dirname, '../../dist')

export interface StoredDomain {
  readonly id: string
  readonly version: number
  readonly canary: SealedMaterial & { readonly ciphertext: Buffer }
  readonly sealKey: SealedMaterial
}

export interface TestToken {
  readonly directory: string
  readonly config: TokenConfig
  readonly domain: StoredDomain
  readonly ready: AgentReady
  readonly supervisor: AgentSupervisor
  readonly client: HsmClient
  /** Why agents were started, the first included. */
  readonly starts: readonly StartReason[]
  /** What the supervisor has logged. */
  readonly logged: readonly string[]
  /** Ends agent and client and removes the files. */
  remove(): Promise<void>
}

/** Starts an agent on a copy of the installation's token, or on one that holds the domain that is given. */
export async function openToken(changes: Partial<SupervisorOptions> = {}, given?: StoredDomain): Promise<TestToken> {
  // From dist/, since the agent's entry lies beside it; only types come from src/.
  const { AgentSupervisor: Supervisor } = await import(pathToFileURL(join(dist, 'hsm/supervisor.js')).href) as typeof supervisorModule
  const login = await import(pathToFileURL(join(dist, 'hsm/login.js')).href) as typeof loginModule
  const directory = await newFolder('token')
  await writeTokenFiles(directory, inject('installation').directory)
  const domain = given ?? await installedDomain()
  const config = { serial: undefined, libraryParameters: undefined, ...tokenConfig(directory) }
  const client = new HsmClient({ observe: () => undefined })
  const starts: StartReason[] = []
  const logged: string[] = []
  const supervisor = new Supervisor({
    token: config, logins: freeLogins(pin, login), domain, directory: join(directory, 'run'),
    changed: (address: AgentAddress | null) => { client.setAgent(address) },
    started: reason => { starts.push(reason) },
    log: (_level, message) => { logged.push(message) },
    ...changes,
  })
  const remove = async (): Promise<void> => {
    client.close()
    await supervisor.stop()
    await rm(directory, { recursive: true, force: true })
  }
  const ready = await supervisor.start().catch(async (error: unknown) => {
    await remove()
    throw error
  })
  return { directory, config, domain, ready, supervisor, client, starts, logged, remove }
}

/** What the database of the run's installation knows of its domain. */
async function installedDomain(): Promise<StoredDomain> {
  const database = await cloneDatabase(inject('installation').template)
  try {
    return await storedDomain(database.url)
  } finally {
    await database.drop()
  }
}

/** What a database knows of its domain. */
export async function storedDomain(url: string): Promise<StoredDomain> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  try {
    const { rows: [found] } = await client.query<{ id: string; version: number; row: Buffer; mac: Buffer; ciphertext: Buffer; seal_row: Buffer; seal_mac: Buffer }>(
      `SELECT encode(uuid_send(d.id), 'hex') AS id, v.version, v.canary_row AS row, v.canary_mac AS mac, v.canary_ciphertext AS ciphertext,
        k.row AS seal_row, k.mac AS seal_mac FROM domain d, domain_versions v, service_keys k`)
    if (found === undefined) throw new Error('the database has no domain')
    return {
      id: found.id, version: found.version, canary: { row: found.row, mac: found.mac, ciphertext: found.ciphertext }, sealKey: { row: found.seal_row, mac: found.seal_mac },
    }
  } finally {
    await client.end()
  }
}

/** A key to make: symmetric, for encryption, wrapped. */
export const newPlan = (changes: Partial<MaterialPlan> = {}): MaterialPlan => ({
  accountId: '111122223333', region: 'onprem-1', keyId: randomUUID(), materialId: randomBytes(32), backing: 1, origin: 'AWS_KMS', spec: 'SYMMETRIC_DEFAULT',
  usage: 'ENCRYPT_DECRYPT', cipherMode: 'direct', residency: 'wrapped', ckaId: Buffer.alloc(16), ...changes,
})

export const residentPlan = (changes: Partial<MaterialPlan> = {}): MaterialPlan => newPlan({ residency: 'resident', ckaId: randomBytes(16), ...changes })

/**
 * Does something to the token with the PIN and without Trent, in a process of its own: see the table in poke-token.js.
 * Resolves to what the action gave.
 */
export async function poke<Result>(directory: string, action: string, given: object = {}): Promise<Result> {
  const { library, label, env } = tokenConfig(directory)
  const request = JSON.stringify({ library, label, pin, action, given })
  const { stdout } = await promisify(execFile)(process.execPath, [join(import.meta.dirname, 'poke-token.js'), request], { env: { PATH: process.env.PATH, ...env }, timeout: 30_000 })
  return JSON.parse(stdout) as Result
}

/** Process ids of the agents that serve the token in this folder. */
export function agentsOf(directory: string): number[] {
  return readdirSync('/proc').map(Number).filter(pid => {
    if (!Number.isInteger(pid) || pid === 0) return false
    try {
      const isAgent = readFileSync(`/proc/${pid}/cmdline`, 'utf8').startsWith('trent: hsm-agent')
      return isAgent && readFileSync(`/proc/${pid}/environ`, 'utf8').includes(join(directory, 'softhsm2.conf'))
    } catch {
      // Gone since the folder was read, or a zombie, which has neither.
      return false
    }
  })
}

/** The one agent of this token. */
export function agentOf(directory: string): number {
  const [pid, second] = agentsOf(directory)
  if (pid === undefined || second !== undefined) throw new Error(`expected one agent, found ${agentsOf(directory).length}`)
  return pid
}

/** Of an agent that serves and one that stands by, the first: it is the older one, as long as no third drains. */
export function byAge(directory: string): number[] {
  return agentsOf(directory).map(pid => ({ pid, start: startOf(pid) })).sort((a, b) => a.start - b.start).map(({ pid }) => pid)
}

/** Clock ticks from the boot to the start of a process. */
function startOf(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
  return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19])
}

/** Waits until `condition` holds. @throws Error when it does not within `milliseconds` */
export async function until(condition: () => boolean, what: string, milliseconds = 10_000): Promise<void> {
  const deadline = performance.now() + milliseconds
  while (!condition()) {
    if (performance.now() > deadline) throw new Error(`not within ${milliseconds} ms: ${what}`)
    await new Promise(resolve => setTimeout(resolve, 5))
  }
}
