// `trent hsm`: set-up of the token and its domain, and a look at its objects.
import { createHash, createPublicKey, randomUUID, type KeyObject } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { createInterface } from 'node:readline/promises'
import type { Command } from 'commander'
import { Command as Group } from 'commander'
import { readSecretFile, type Config } from '../config.ts'
import { StartError } from '../errors.ts'
import type { DomainResult, TokenObject } from '../hsm/agent/control.ts'
import { runJob, tokenAddress } from '../hsm/agent-process.ts'
import { alone, transaction, type Pool } from '../store/database.ts'
import { confirmDomain, findDomain, insertDomain, insertDomainVersion, insertServiceKey, sealPurpose } from '../store/domain.ts'
import { configured, readConfig, withDatabase } from './configured.ts'
import { alreadyDone, ExitCode } from './exit-code.ts'
import { onlyToken, readPin } from './open-domain.ts'

export const hsmCommand = (): Command =>
  new Group('hsm').description('The token and its domain').addCommand(initTokenCommand()).addCommand(initCommand()).addCommand(objectsCommand())

const initTokenCommand = (): Command =>
  configured('init-token', 'Initialise an empty token and set its user PIN (software tokens; hardware has tools of its own)')
    .requiredOption('--label <label>', 'must be the label of hsm.tokens[0]')
    .requiredOption('--so-pin-file <file>', 'file with the security officer\'s PIN, mode 0600; empty where the token has none (NSS)')
    .action(async (options: { config?: string; label: string; soPinFile: string }) => {
      const token = onlyToken(readConfig(options))
      if (token.label !== options.label) throw new StartError(`--label is '${options.label}', hsm.tokens.label is '${token.label}': initialise the token that is configured`)
      const soPin = readSecretFile(options.soPinFile, '--so-pin-file', 0).toString()
      const { serial } = await runJob<{ serial: string }>(token, { type: 'init-token', token: tokenAddress(token), soPin, pin: readPin(token) })
      console.log(`Token '${token.label}' is initialised; its serial number is ${serial}.`)
    })

interface InitOptions {
  readonly config?: string
  /** Commander's negation: `--no-recovery` makes it false. */
  readonly recovery: boolean
  readonly recoveryKey?: string
  readonly recoveryFingerprint?: string
}

const initCommand = (): Command =>
  configured('init', 'Make the domain and integrity keys of an empty database on the token')
    .option('--recovery-key <file>', 'PEM of the RSA public key that the domain is also wrapped to; its private half belongs offline')
    .option('--recovery-fingerprint <hex>', 'SHA-256 of that key\'s SubjectPublicKeyInfo, typed in from where the key was made')
    .option('--no-recovery', 'make no recovery envelope: losing the last token then is losing every key')
    .action(async (options: InitOptions) => {
      const config = readConfig(options)
      const recovery = await recoveryKey(options)
      await withDatabase(config, async pool => {
        // Two runs at once would remove each other's keys from the token, and one of them would then be declared ready.
        const done = await alone(pool, 'trent hsm init', async () => {
          await initDomain(config, pool, recovery)
          return true
        })
        if (done !== true) throw new StartError('another `trent hsm init` is at work on this database')
      })
    })

/** @throws StartError unless the operator has named a recovery key, or said that there is to be none */
async function recoveryKey(options: InitOptions): Promise<string | null> {
  if (!options.recovery) return null
  if (options.recoveryKey === undefined) throw new StartError('--recovery-key is missing: without one, losing the last token is losing every key (say --no-recovery to go on all the same)')
  const key = readPublicKey(options.recoveryKey)
  const found = createHash('sha256').update(key.export({ type: 'spki', format: 'der' })).digest('hex')
  const typed = (options.recoveryFingerprint ?? await ask('Fingerprint of the recovery key (SHA-256 of its SPKI, 64 hex digits): ')).trim().toLowerCase()
  if (typed !== found) throw new StartError('--recovery-fingerprint is not the fingerprint of --recovery-key: one of the two is not the key that was meant')
  return key.export({ type: 'spki', format: 'pem' }).toString()
}

function readPublicKey(file: string): KeyObject {
  try {
    return createPublicKey(readFileSync(file))
  } catch {
    throw new StartError(`--recovery-key: ${file} is not a public key in PEM`)
  }
}

async function ask(question: string): Promise<string> {
  if (!process.stdin.isTTY) throw new StartError('--recovery-fingerprint is missing, and there is no terminal to ask for it')
  const terminal = createInterface({ input: process.stdin, output: process.stderr })
  try {
    return await terminal.question(question)
  } finally {
    terminal.close()
  }
}

/** The database knows of the domain before the token does: a run that was cut off is found and done again under the same id. */
async function initDomain(config: Config, pool: Pool, recovery: string | null): Promise<void> {
  const token = onlyToken(config)
  const pin = readPin(token)
  const fresh = Buffer.from(randomUUID().replaceAll('-', ''), 'hex')
  await insertDomain(pool, fresh)
  const domain = await findDomain(pool)
  if (domain === undefined) throw new StartError('the domain was removed while it was being made')
  if (domain.state === 'ready') throw new ExitCode(alreadyDone, 'already initialised: this database has a domain')
  const result = await runJob<DomainResult>(token, { type: 'init-domain', token: tokenAddress(token), pin, domainId: domain.id.toString('hex'), recoveryKey: recovery })
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
  configured('objects', 'List the objects on the token').option('--json', 'as JSON').action(async (options: { config?: string; json?: true }) => {
    const token = onlyToken(readConfig(options))
    const objects = await runJob<TokenObject[]>(token, { type: 'objects', token: tokenAddress(token), pin: readPin(token) })
    if (options.json === true) console.log(JSON.stringify(objects))
    else for (const { class: kind, label, id, extractable, modifiable } of objects) console.log([kind.padEnd(8), id.padEnd(42), label, extractable ? 'EXTRACTABLE' : '', modifiable ? '' : 'unmodifiable'].join('  ').trimEnd())
  })
