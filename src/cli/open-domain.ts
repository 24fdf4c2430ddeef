// What every command needs that talks to tokens: the database's domain, the tokens that hold it, one HSM out of all of them. Here it is
// decided whether tokens and database belong together.
import { mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Config } from '../config.ts'
import { StartError } from '../errors.ts'
import type { ProbeExtent } from '../hsm/agent/capability.ts'
import type { TokenUsage } from '../hsm/agent/control.ts'
import { isAlive } from '../hsm/place.ts'
import { HsmPool, poolCanary, type TokenStanding } from '../hsm/pool.ts'
import type { StartReason, SupervisorOptions } from '../hsm/supervisor.ts'
import type { Pool } from '../store/database.ts'
import { listTokenDrains } from '../store/token-drains.ts'
import { readyDomain } from './ready-domain.ts'
import { ServedToken, type ServedDomain } from './served-token.ts'

export interface OpenDomain {
  /** In the order of the configuration. */
  readonly tokens: readonly ServedToken[]
  /** This process's own, for commands. */
  readonly hsm: HsmPool
  standings(): readonly TokenStanding[]
  close(): Promise<void>
}

export interface Hooks {
  /** What is tried of each token besides what its needs are; for a command that uses one key, nothing. */
  readonly extent?: ProbeExtent
  /** What a token tells of its memory and sessions. */
  readonly used?: (token: string, usage: TokenUsage) => void
  /** Whether agents stand by, for tokens that may have two. */
  readonly standby?: boolean
  readonly log: SupervisorOptions['log']
  readonly started: (token: string, reason: StartReason) => void
  readonly changed: (standings: readonly TokenStanding[]) => void
  /** Whether a token is latched, see token-logins.ts. */
  readonly latched?: (token: string, isLatched: boolean) => void
}

/** How long the other tokens may still take once one serves: the start of Trent does not wait for a token that hangs. */
const othersMilliseconds = 5_000
/** How soon a host notices that a token is taken out or given back. */
const drainsMilliseconds = 2_000

/** Starts an agent for each token and proves that its token holds the database's domain. @throws StartError with one sentence when none does */
export async function openDomain(config: Config, pool: Pool, hooks: Hooks): Promise<OpenDomain> {
  const domain = await servedDomain(pool)
  const labels = config.hsm.tokens.map(({ label }) => label)
  requireTokens(config, labels)
  const hsm = new HsmPool({ tokens: labels, canary: () => Promise.resolve(domain.canary), observe: () => undefined, breaker: () => undefined, failedOver: () => undefined })
  const directory = socketDirectory(config.dataDirectory)
  const tokens: ServedToken[] = config.hsm.tokens.map((token, index) => new ServedToken({
    config, token, domain, directory: join(directory, String(index)), log: hooks.log, standby: hooks.standby ?? false, extent: hooks.extent ?? 'safety', pool, started: reason => { hooks.started(token.label, reason) },
    used: usage => { hooks.used?.(token.label, usage) },
    latched: isLatched => { hooks.latched?.(token.label, isLatched) },
    changed: () => {
      hsm.setTokens(standings())
      hooks.changed(standings())
    },
  }))
  const standings = (): TokenStanding[] => tokens.map(({ label, address, draining }) => ({ token: label, address, draining }))
  const lookAtDrains = async (): Promise<void> => {
    const out = new Set((await listTokenDrains(pool)).map(({ label }) => label))
    for (const token of tokens) token.drain(out.has(token.label))
  }
  // With Postgres away a token stays as it was told last.
  const looking = setInterval(() => { lookAtDrains().catch(() => undefined) }, drainsMilliseconds)
  looking.unref()
  const close = async (): Promise<void> => {
    clearInterval(looking)
    hsm.close()
    await Promise.all(tokens.map(token => token.stop()))
    rmSync(directory, { recursive: true, force: true })
  }
  try {
    await lookAtDrains()
    await openFirst(tokens, hooks.log)
    return { tokens, hsm, standings, close }
  } catch (thrown) {
    await close()
    throw thrown
  }
}

/** Resolves once a token serves and the others had a fair chance; those that do not are tried again and again. @throws the first one's StartError */
async function openFirst(tokens: readonly ServedToken[], log: SupervisorOptions['log']): Promise<void> {
  const opened = tokens.filter(token => !token.draining)
  if (opened.length === 0) throw new StartError(`every token is taken out (${tokens.map(({ label }) => label).join(', ')}): give one back with \`trent hsm undrain\``)
  const opening = opened.map(token => token.open())
  await Promise.any(opening).catch(() => opening[0])
  let timer: NodeJS.Timeout | undefined
  const patience = new Promise<void>(resolve => { timer = setTimeout(resolve, othersMilliseconds) })
  await Promise.race([Promise.allSettled(opening), patience])
  clearTimeout(timer)
  opened.forEach((token, index) => {
    void opening[index]?.catch((thrown: unknown) => {
      log('error', 'the token stays out', { token: token.label, reason: thrown instanceof Error ? thrown.message : String(thrown) })
      token.keepTrying()
    })
  })
}

async function servedDomain(pool: Pool): Promise<ServedDomain> {
  const { domain, newest } = await readyDomain(pool)
  return { id: domain.id.toString('hex'), fingerprint: domain.fingerprint, version: newest.version, canary: poolCanary(newest.canary) }
}

/** @throws StartError */
function requireTokens({ keys }: Config, labels: readonly string[]): void {
  if (labels.length === 0) throw new StartError('hsm.tokens is empty: name the token that holds the domain')
  const double = labels.find((label, index) => labels.indexOf(label) !== index)
  if (double !== undefined) throw new StartError(`hsm.tokens names '${double}' twice: logs, metrics and commands tell tokens apart by their labels`)
  if (keys.residency === 'resident' && labels.length > 1) throw new StartError(`keys.residency is 'resident', and hsm.tokens names ${labels.length} tokens: a resident key is on one token alone, so the others could not take its calls`)
}

/** What a token's supervisor puts behind it: index, attempt, generation and worker. */
const pathLimitBytes = 107 - '/15/9999/999999-99'.length

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
