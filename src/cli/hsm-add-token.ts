// `trent hsm add-token` and `trent hsm reseal`: a further token of the domain. Three steps, of which the middle one belongs on the machine
// of whoever holds the recovery key; what travels between them is in envelopes for one key alone.
import { createPrivateKey, type KeyObject } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import { Command } from 'commander'
import { readSecretFile } from '../config.ts'
import { StartError } from '../errors.ts'
import type { TransportResult } from '../hsm/agent/control.ts'
import { readRequest, readResponse, reseal, spkiFingerprint, type DomainRequest } from '../hsm/reseal.ts'
import type { DomainVersion } from '../store/domain.ts'
import { chooseToken, tokenOption } from './choose-token.ts'
import { configured, readConfig, withDatabase } from './configured.ts'
import { readyDomain } from './ready-domain.ts'
import { confirmFingerprint } from './recovery-key.ts'
import { runTokenJob, type TokenSite } from './token-job.ts'

interface AddOptions {
  readonly config?: string
  readonly token?: string
  readonly request?: string
  readonly response?: string
}

export const addTokenCommand = (): Command =>
  configured('add-token', 'Bring the domain to a further token: write a request, have it answered by `trent hsm reseal`, give the response')
    .addOption(tokenOption())
    .option('--request <file>', 'writes the request: the token\'s transport key and the recovery envelopes of the domain')
    .option('--response <file>', 'takes the response')
    .action(async (options: AddOptions) => {
      const config = readConfig(options)
      const token = chooseToken(config, options.token)
      const { request, response } = options
      if ((request === undefined) === (response === undefined)) throw new StartError('say --request FILE, or --response FILE once there is a response')
      await withDatabase(config, async pool => {
        const site = { config, pool, token }
        if (request !== undefined) await writeRequest(site, request)
        else await takeResponse(site, response ?? '')
      })
    })

/** Makes the token's transport key, unless it has one, and writes the request. */
export async function writeRequest(site: TokenSite, file: string): Promise<void> {
  const { pool, token } = site
  const { domain, versions } = await readyDomain(pool)
  const transport = await runTokenJob<TransportResult>(site, { type: 'transport-key', domainId: domain.id.toString('hex') })
  const request: DomainRequest = {
    format: 'trent/domain-request/1', domainId: domain.id.toString('hex'), token: { label: token.label, serial: transport.serial },
    spki: transport.spki, oaepHash: transport.oaepHash, versions: versions.map(envelopesOf),
  }
  writeNew(file, request)
  console.log(`The request is in ${file}.\nFingerprint of the transport key of token '${token.label}', to be typed in where the recovery key is: ${spkiFingerprint(Buffer.from(transport.spki, 'base64'))}`)
}

function envelopesOf({ version, recovery }: DomainVersion): DomainRequest['versions'][number] {
  if (recovery === null) throw new StartError(`version ${version} of the domain has no recovery envelope (\`--no-recovery\`): its keys cannot be brought to another token`)
  return { version, recoveryFingerprint: recovery.fingerprint, domainKey: recovery.domainKey.toString('base64'), integrityKey: recovery.integrityKey.toString('base64') }
}

/** A file of that name is somebody's. @throws StartError */
function writeNew(file: string, content: object): void {
  try {
    writeFileSync(file, `${JSON.stringify(content, null, 2)}\n`, { mode: 0o600, flag: 'wx' })
  } catch (thrown) {
    throw new StartError(`${file} cannot be written (${thrown instanceof Error && 'code' in thrown ? String(thrown.code) : 'it failed'})`)
  }
}

async function takeResponse(site: TokenSite, file: string): Promise<void> {
  const { pool, token } = site
  const { domain, versions, newest } = await readyDomain(pool)
  const response = readResponse(readText(file, '--response'))
  const id = domain.id.toString('hex')
  if (response.domainId !== id) throw new StartError(`--response is of domain ${response.domainId}, the database's is ${id}`)
  const missing = versions.filter(({ version }) => !response.envelopes.some(envelope => envelope.version === version))
  if (missing.length > 0) throw new StartError(`--response has no envelope of version ${missing.map(({ version }) => version).join(', ')}: the domain key has a new version since the request`)
  const { row, mac, ciphertext } = newest.canary
  const added = await runTokenJob<number[]>(site, {
    type: 'join-domain', domainId: id, fingerprint: domain.fingerprint ?? '',
    envelopes: versions.flatMap(({ version }) => response.envelopes.filter(envelope => envelope.version === version)),
    canary: { row: row.toString('base64'), mac: mac.toString('base64'), ciphertext: ciphertext.toString('base64') },
  })
  console.log(added.length === 0
    ? `Token '${token.label}' held the domain already; it opens the database's canary.`
    : `Token '${token.label}' holds the domain now (version ${added.join(', ')}), and opens the database's canary.`)
}

export function readText(file: string, option: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch {
    throw new StartError(`${option}: ${file} cannot be read`)
  }
}

interface ResealOptions {
  readonly recoveryKey: string
  readonly passphraseFile?: string
  readonly fingerprint?: string
  readonly out: string
}

/** Needs no configuration: it runs where the recovery key is, which should be no host of Trent. */
export const resealCommand = (): Command =>
  new Command('reseal').description('Answer the request of a token with the recovery key: wrap the domain\'s keys to the token\'s transport key')
    .argument('<request>', 'the file of `trent hsm add-token --request`')
    .requiredOption('--recovery-key <file>', 'PEM of the private recovery key, mode 0600')
    .option('--passphrase-file <file>', 'file with the passphrase of that key, mode 0600')
    .option('--fingerprint <hex>', 'fingerprint of the transport key, typed in from the terminal of the host that made the request')
    .requiredOption('--out <file>', 'writes the response')
    .action(async (file: string, options: ResealOptions) => {
      const request = readRequest(readText(file, 'the request'))
      const key = readPrivateKey(options)
      await confirmFingerprint(Buffer.from(request.spki, 'base64'), {
        given: options.fingerprint, option: '--fingerprint', what: `the transport key of token '${request.token.label}' (serial ${request.token.serial})`, of: 'the key in the request',
      })
      writeNew(options.out, reseal(request, key))
      console.log(`The response for token '${request.token.label}' is in ${options.out}.`)
    })

function readPrivateKey({ recoveryKey, passphraseFile }: ResealOptions): KeyObject {
  const pem = readSecretFile(recoveryKey, '--recovery-key')
  const passphrase = passphraseFile === undefined ? undefined : readSecretFile(passphraseFile, '--passphrase-file')
  try {
    return createPrivateKey({ key: pem, ...(passphrase === undefined ? {} : { passphrase }) })
  } catch {
    throw new StartError(`--recovery-key: ${recoveryKey} is no private key in PEM${passphrase === undefined ? ', or it has a passphrase (--passphrase-file)' : ' with that passphrase'}`)
  } finally {
    pem.fill(0)
    passphrase?.fill(0)
  }
}
