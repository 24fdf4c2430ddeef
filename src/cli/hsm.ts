// `trent hsm`: set-up of the token and its domain, and a look at its objects.
import { randomUUID } from 'node:crypto'
import type { Command } from 'commander'
import { Command as Group } from 'commander'
import { readSecretFile } from '../config.ts'
import { StartError } from '../errors.ts'
import type { DomainResult, TokenObject } from '../hsm/agent/control.ts'
import { runJob, tokenAddress } from '../hsm/agent-process.ts'
import { alone, transaction } from '../store/database.ts'
import { confirmDomain, findDomain, insertDomain, insertDomainVersion, insertServiceKey, sealPurpose } from '../store/domain.ts'
import { chooseToken, tokenOption } from './choose-token.ts'
import { configured, readConfig, withDatabase } from './configured.ts'
import { alreadyDone, ExitCode } from './exit-code.ts'
import { addTokenCommand, resealCommand } from './hsm-add-token.ts'
import { retireVersionCommand, rewrapCommand } from './hsm-rewrap.ts'
import { drainCommand, statusCommand, undrainCommand } from './hsm-status.ts'
import { readPin } from './login-attempt.ts'
import { probeCommand } from './probe.ts'
import { readRecoveryKey, withRecoveryKey, type RecoveryOptions } from './recovery-key.ts'
import { runTokenJob, type TokenSite } from './token-job.ts'
import { unlatchCommand } from './unlatch.ts'

export const hsmCommand = (): Command =>
  new Group('hsm').description('The token and its domain').addCommand(initTokenCommand()).addCommand(initCommand()).addCommand(objectsCommand())
    .addCommand(addTokenCommand()).addCommand(resealCommand()).addCommand(rewrapCommand()).addCommand(retireVersionCommand())
    .addCommand(statusCommand()).addCommand(drainCommand()).addCommand(undrainCommand()).addCommand(unlatchCommand()).addCommand(probeCommand())

const initTokenCommand = (): Command =>
  configured('init-token', 'Initialise an empty token and set its user PIN (software tokens; hardware has tools of its own)')
    .requiredOption('--label <label>', 'must be the label of one of hsm.tokens')
    .requiredOption('--so-pin-file <file>', 'file with the security officer\'s PIN, mode 0600; empty where the token has none (NSS)')
    .action(async (options: { config?: string; label: string; soPinFile: string }) => {
      const { tokens } = readConfig(options).hsm
      const token = tokens.find(({ label }) => label === options.label)
      if (token === undefined) throw new StartError(`--label is '${options.label}', hsm.tokens.label is ${tokens.map(({ label }) => `'${label}'`).join(' or ') || 'missing'}: initialise the token that is configured`)
      const soPin = readSecretFile(options.soPinFile, '--so-pin-file', 0).toString()
      const { serial } = await runJob<{ serial: string }>(token, { type: 'init-token', token: tokenAddress(token), soPin, pin: readPin(token) })
      console.log(`Token '${token.label}' is initialised; its serial number is ${serial}.`)
    })

interface InitOptions extends RecoveryOptions {
  readonly config?: string
  readonly token?: string
  /** Commander's negation: `--no-recovery` makes it false. */
  readonly recovery: boolean
}

const initCommand = (): Command =>
  withRecoveryKey(configured('init', 'Make the domain and integrity keys of an empty database on the token'))
    .addOption(tokenOption())
    .option('--no-recovery', 'make no recovery envelope: losing the last token then is losing every key')
    .action(async (options: InitOptions) => {
      const config = readConfig(options)
      const recovery = await recoveryKey(options)
      await withDatabase(config, async pool => {
        // Two runs at once would remove each other's keys from the token, and one of them would then be declared ready.
        const done = await alone(pool, 'trent hsm init', async () => {
          await initDomain({ config, pool, token: chooseToken(config, options.token) }, recovery)
          return true
        })
        if (done !== true) throw new StartError('another `trent hsm init` is at work on this database')
      })
    })

/** @throws StartError unless the operator has named a recovery key, or said that there is to be none */
async function recoveryKey(options: InitOptions): Promise<string | null> {
  if (!options.recovery) return null
  if (options.recoveryKey === undefined) throw new StartError('--recovery-key is missing: without one, losing the last token is losing every key (say --no-recovery to go on all the same)')
  return await readRecoveryKey(options.recoveryKey, options)
}

/** The database knows of the domain before the token does: a run that was cut off is found and done again under the same id. */
async function initDomain(site: TokenSite, recovery: string | null): Promise<void> {
  const { pool, token } = site
  readPin(token)
  const fresh = Buffer.from(randomUUID().replaceAll('-', ''), 'hex')
  await insertDomain(pool, fresh)
  const domain = await findDomain(pool)
  if (domain === undefined) throw new StartError('the domain was removed while it was being made')
  if (domain.state === 'ready') throw new ExitCode(alreadyDone, 'already initialised: this database has a domain')
  const result = await runTokenJob<DomainResult>(site, { type: 'init-domain', domainId: domain.id.toString('hex'), recoveryKey: recovery })
  const bytes = (base64: string): Buffer => Buffer.from(base64, 'base64')
  await transaction(pool, async tx => {
    await insertDomainVersion(tx, {
      version: 1,
      recovery: result.recovery === null ? null : { fingerprint: result.recovery.fingerprint, domainKey: bytes(result.recovery.domainKey), integrityKey: bytes(result.recovery.integrityKey) },
      canary: { row: bytes(result.canary.row), mac: bytes(result.canary.mac), ciphertext: bytes(result.canary.ciphertext) },
    })
    await insertServiceKey(tx, { purpose: sealPurpose, version: 1, sealed: { row: bytes(result.sealKey.row), mac: bytes(result.sealKey.mac) } })
    if (!(await confirmDomain(tx, domain.id, result.fingerprint))) throw new ExitCode(alreadyDone, 'already initialised: another run was faster')
  })
  console.log(`The domain is made on token '${token.label}' (serial ${result.serial}).\nIts fingerprint, to pin as hsm.domainFingerprint: ${result.fingerprint}`)
}

const objectsCommand = (): Command =>
  configured('objects', 'List the objects on the token').addOption(tokenOption()).option('--json', 'as JSON').action(async (options: { config?: string; token?: string; json?: true }) => {
    const config = readConfig(options)
    const token = chooseToken(config, options.token)
    // The database knows whether the token may be logged in to.
    const objects = await withDatabase(config, pool => runTokenJob<TokenObject[]>({ config, pool, token }, { type: 'objects' }))
    if (options.json === true) console.log(JSON.stringify(objects))
    else for (const { class: kind, label, id, extractable, modifiable } of objects) console.log([kind.padEnd(8), id.padEnd(42), label, extractable ? 'EXTRACTABLE' : '', modifiable ? '' : 'unmodifiable'].join('  ').trimEnd())
  })
