// `trent hsm status`, `drain` and `undrain`: how the tokens of the domain stand, and taking one out for maintenance.
import type { Command } from 'commander'
import type { Config } from '../config.ts'
import { StartError } from '../errors.ts'
import type { Readiness } from '../http/exporter.ts'
import { countByVersion } from '../store/rewrap.ts'
import { deleteTokenDrain, insertTokenDrain, listTokenDrains } from '../store/token-drains.ts'
import type { Pool } from '../store/database.ts'
import { chooseToken } from './choose-token.ts'
import { configured, readConfig, withDatabase } from './configured.ts'
import { alreadyDone, ExitCode } from './exit-code.ts'
import { readyDomain } from './ready-domain.ts'

interface Status {
  readonly domain: { readonly id: string; readonly fingerprint: string | null }
  readonly versions: readonly { readonly version: number; readonly keys: number; readonly recoveryFingerprint: string | null; readonly madeAt: Date }[]
  readonly tokens: readonly { readonly label: string; readonly drainedSince: Date | null }[]
  /** What the Trent of this host says of the tokens; null when none answers. */
  readonly host: string | null
}

const askMilliseconds = 3_000

export const statusCommand = (): Command =>
  configured('status', 'Show the domain, the versions of its key, and how the tokens stand').option('--json', 'as JSON')
    .action(async (options: { config?: string; json?: true }) => {
      const config = readConfig(options)
      const status = await withDatabase(config, pool => statusOf(config, pool))
      console.log(options.json === true ? JSON.stringify(status) : printed(status))
    })

async function statusOf(config: Config, pool: Pool): Promise<Status> {
  const { domain, versions } = await readyDomain(pool)
  const counts = new Map((await countByVersion(pool)).map(({ version, count }) => [version, count]))
  const drains = new Map((await listTokenDrains(pool)).map(({ label, since }) => [label, since]))
  return {
    domain: { id: domain.id.toString('hex'), fingerprint: domain.fingerprint },
    versions: versions.map(({ version, recovery, createdAt }) => ({ version, keys: counts.get(version) ?? 0, recoveryFingerprint: recovery?.fingerprint ?? null, madeAt: createdAt })),
    tokens: config.hsm.tokens.map(({ label }) => ({ label, drainedSince: drains.get(label) ?? null })),
    host: await ofThisHost(config),
  }
}

async function ofThisHost({ private: { host, port } }: Config): Promise<string | null> {
  try {
    const answer = await fetch(`http://${host.includes(':') ? `[${host}]` : host}:${port}/readyz?verbose`, { signal: AbortSignal.timeout(askMilliseconds) })
    return (await answer.json() as Readiness).checks['token']?.detail ?? null
  } catch {
    return null
  }
}

function printed({ domain, versions, tokens, host }: Status): string {
  return [
    `domain ${domain.id}`,
    `fingerprint ${domain.fingerprint}`,
    ...versions.map(({ version, keys, recoveryFingerprint, madeAt }) => `version ${version} of the domain key, made ${madeAt.toISOString()}: ${keys} keys, ${recoveryFingerprint === null ? 'NO recovery envelope' : `recovery key ${recoveryFingerprint}`}`),
    ...tokens.map(({ label, drainedSince }) => `token ${label}: ${drainedSince === null ? 'in' : `out since ${drainedSince.toISOString()}`}`),
    `on this host: ${host ?? 'no Trent answers on the private port'}`,
  ].join('\n')
}

export const drainCommand = (): Command =>
  configured('drain', 'Take a token out, on all hosts: it gets no new calls, and its agents end when what is under way is answered')
    .argument('<label>', 'its label').option('--last', 'also when no other token is left: nothing can be encrypted or decrypted then')
    .action(async (label: string, options: { config?: string; last?: true }) => {
      const config = readConfig(options)
      chooseToken(config, label)
      await withDatabase(config, async pool => {
        const out = new Set((await listTokenDrains(pool)).map(drain => drain.label))
        if (options.last !== true && config.hsm.tokens.every(token => token.label === label || out.has(token.label))) throw new StartError(`'${label}' is the last token that is in: without it nothing can be encrypted or decrypted (say --last to go on all the same)`)
        if (!(await insertTokenDrain(pool, label))) throw new ExitCode(alreadyDone, `token '${label}' is out already`)
      })
      console.log(`Token '${label}' is out. Every host notices within a few seconds; its agents end once what is under way is answered.`)
    })

export const undrainCommand = (): Command =>
  configured('undrain', 'Give a token back that was taken out with `drain`').argument('<label>', 'its label').action(async (label: string, options: { config?: string }) => {
    await withDatabase(readConfig(options), async pool => {
      if (!(await deleteTokenDrain(pool, label))) throw new ExitCode(alreadyDone, `token '${label}' is not out`)
    })
    console.log(`Token '${label}' is in again.`)
  })
