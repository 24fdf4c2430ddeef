// The tokens of a run, all of one SoftHSM domain, so that a key of one opens on each: copies of one token, filled up with objects, and one
// behind the module of test/chaos, which makes each PKCS#11 call take as long as a network HSM's.
import { randomBytes, randomInt, randomUUID } from 'node:crypto'
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type * as Token from '../../src/cli/dev/token.ts'
import type { TokenConfig } from '../../src/config.ts'
import type { DomainResult } from '../../src/hsm/agent/control.ts'
import type * as AgentProcess from '../../src/hsm/agent-process.ts'
import type { Logins } from '../../src/hsm/login.ts'
import { buildModule } from '../../test/support/chaos-module.ts'
import { built } from '../built.ts'
import { startRaw } from './raw.ts'

export interface BenchToken {
  readonly directory: string
  readonly library: string
  readonly label: string
  readonly pin: string
  readonly domain: { readonly id: string; readonly version: number }
  readonly env: Readonly<Record<string, string>>
  /** Milliseconds that each PKCS#11 call takes besides its own time, from now on. Only behind the module of test/chaos. */
  delay(milliseconds: number): void
}

const label = 'trent-bench'

/** A new token with a domain in a folder of its own below `parent`. */
export async function makeToken(parent: string): Promise<BenchToken> {
  const { softhsmLibrary } = await built<typeof Token>('cli/dev/token')
  const { runJob, tokenAddress } = await built<typeof AgentProcess>('hsm/agent-process')
  mkdirSync(parent, { recursive: true })
  const directory = mkdtempSync(join(parent, 'trent-bench-hsm-'))
  mkdirSync(join(directory, 'tokens'), { mode: 0o700 })
  const pin = String(randomInt(10 ** 11, 10 ** 12))
  const id = randomUUID()
  const token: BenchToken = { directory, library: softhsmLibrary(), label, pin, domain: { id, version: 1 }, env: softhsmEnv(directory), delay: () => undefined }
  const config = tokenConfig(token, 1)
  await runJob(config, { type: 'init-token', token: tokenAddress(config), soPin: randomBytes(12).toString('hex'), pin })
  await runJob<DomainResult>(config, { type: 'init-domain', token: tokenAddress(config), domainId: id, recoveryKey: null }, withPin(pin))
  return token
}

export const tokenConfig = ({ directory, library, env }: BenchToken, workers: number): TokenConfig =>
  ({ label, serial: undefined, library, libraryParameters: undefined, profile: 'softhsm', pinFile: join(directory, 'no-file'), env, workers, pinVersion: 1, standby: false })

/** Logins to a token of the benchmark's own, whose PIN is right: nobody keeps count. */
export const withPin = (pin: string): Logins => ({
  ask: () => Promise.resolve({ pin, inSpiteOf: 'usual', deadline: performance.now() + 30_000, end: () => Promise.resolve(undefined) }),
  reopened: () => new Promise(() => undefined),
  settled: () => Promise.resolve(),
})

function softhsmEnv(directory: string): Record<string, string> {
  const config = join(directory, 'softhsm2.conf')
  writeFileSync(config, `directories.tokendir = ${join(directory, 'tokens')}\nobjectstore.backend = file\nlog.level = ERROR\n`)
  return { SOFTHSM2_CONF: config }
}

function copyOf(token: BenchToken): BenchToken {
  const directory = mkdtempSync(join(token.directory, '../trent-bench-hsm-'))
  cpSync(join(token.directory, 'tokens'), join(directory, 'tokens'), { recursive: true })
  return { ...token, directory, env: softhsmEnv(directory) }
}

/**
 * A copy of a token with so many resident objects besides the domain's two; those that the token has count. SoftHSM takes 10 ms to make one,
 * and keeps each in a file: all but the first of the added ones are copies of its file.
 */
export async function filledCopy(token: BenchToken, present: number, objects: number): Promise<BenchToken> {
  const copy = copyOf(token)
  const added = objects - present
  if (added <= 0) return copy
  const [store] = readdirSync(join(copy.directory, 'tokens'))
  const folder = join(copy.directory, 'tokens', store ?? '')
  const files = (): string[] => readdirSync(folder).filter(name => name.endsWith('.object'))
  const before = new Set(files())
  const raw = await startRaw(copy, 0)
  await raw.makeFiller()
  await raw.stop()
  const [filler] = files().filter(name => !before.has(name))
  if (filler === undefined) throw new Error('the token has made no object')
  const bytes = readFileSync(join(folder, filler))
  for (let i = 1; i < added; i++) writeFileSync(join(folder, `${randomUUID()}.object`), bytes, { mode: 0o600 })
  return copy
}

/** A copy of a token behind the module of test/chaos. */
export async function delayedCopy(token: BenchToken): Promise<BenchToken> {
  const copy = copyOf(token)
  const control = join(copy.directory, 'chaos')
  const delay = (milliseconds: number): void => {
    writeFileSync(`${control}.new`, milliseconds === 0 ? '' : `latency * ${Math.round(milliseconds * 1000)} 0\n`)
    renameSync(`${control}.new`, control)
  }
  delay(0)
  return { ...copy, library: await buildModule(), env: { ...copy.env, TRENT_CHAOS_MODULE: token.library, TRENT_CHAOS_CONTROL: control }, delay }
}

export function removeToken({ directory }: BenchToken): void {
  if (existsSync(directory)) rmSync(directory, { recursive: true, force: true })
}
