// `trent hsm rewrap` and `trent hsm retire-version`: a new version of the domain key, every wrapped key under it, and the end of the old one.
// It can be cut off and run again at any point: what is under the new version stays there, and both versions serve until the old one is retired.
import { Option, type Command } from 'commander'
import type { Config } from '../config.ts'
import { StartError } from '../errors.ts'
import type { DomainState, NextDomainKey, SealedRow } from '../hsm/agent/control.ts'
import { readResponse, type DomainResponse } from '../hsm/reseal.ts'
import { decodeMaterial, type SealedMaterial } from '../keys/material.ts'
import { alone, type Pool } from '../store/database.ts'
import { insertDomainVersion, listServiceKeys, sealPurpose, type DomainVersion } from '../store/domain.ts'
import { countByVersion, deleteDomainVersion, materialsUnder, replaceMaterial, replaceServiceKey } from '../store/rewrap.ts'
import { chooseToken, tokenOption } from './choose-token.ts'
import { configured, readConfig, withDatabase } from './configured.ts'
import { readText, writeRequest } from './hsm-add-token.ts'
import { Progress } from './progress.ts'
import { readyDomain } from './ready-domain.ts'
import { readRecoveryKey, withRecoveryKey, type RecoveryOptions } from './recovery-key.ts'
import { ask } from './terminal.ts'
import { runTokenJob, type TokenSite } from './token-job.ts'

interface RewrapOptions extends RecoveryOptions {
  readonly config?: string
  readonly token?: string
  readonly request?: string
  readonly response?: string
  readonly batch: string
}

export const rewrapCommand = (): Command =>
  withRecoveryKey(configured('rewrap', 'Move every wrapped key to a new version of the domain key'))
    .addOption(tokenOption())
    .option('--request <file>', 'writes a request for `trent hsm reseal`: the old domain key has to come from its recovery envelope')
    .option('--response <file>', 'takes the response; makes the new version unless one waits for keys already, then moves the keys')
    .addOption(new Option('--batch <keys>', 'keys that are moved at a time').default('200'))
    .action(async (options: RewrapOptions) => {
      const config = readConfig(options)
      const token = chooseToken(config, options.token)
      const { request, response } = options
      if ((request === undefined) === (response === undefined)) throw new StartError('say --request FILE, or --response FILE once there is a response')
      await withDatabase(config, async pool => {
        if (request !== undefined) {
          await writeRequest({ config, pool, token }, request)
          return
        }
        const given = readResponse(readText(response ?? '', '--response'))
        const done = await alone(pool, 'trent hsm rewrap', async () => {
          await rewrapAll({ config, token, pool, response: given, batch: batchOf(options.batch) }, options)
          return true
        })
        if (done !== true) throw new StartError('another `trent hsm rewrap` is at work on this database')
      })
    })

function batchOf(text: string): number {
  const batch = Number(text)
  if (!Number.isInteger(batch) || batch < 1 || batch > 2_000) throw new StartError(`--batch is '${text}': 1 to 2000 keys are allowed`)
  return batch
}

interface Rewrap extends TokenSite {
  readonly response: DomainResponse
  readonly batch: number
}

async function rewrapAll(rewrap: Rewrap, options: RecoveryOptions): Promise<void> {
  const { pool, response, batch, config } = rewrap
  const { domain, versions, newest } = await readyDomain(pool)
  const id = domain.id.toString('hex')
  if (response.domainId !== id) throw new StartError(`--response is of domain ${response.domainId}, the database's is ${id}`)
  // A second version is one that an earlier run has made: a third waits for the first to be retired.
  const to = versions.length > 1 ? newest.version : await nextVersion(rewrap, id, newest, options)
  await requireVersion(config, pool, id, to)
  const counted = (await countByVersion(pool)).filter(({ version }) => version < to)
  const progress = new Progress(`rewrapped under version ${to}`, counted.reduce((sum, { count }) => sum + count, 0))
  for (const { version } of counted) await moveMaterials(rewrap, { id, from: version, to, batch }, progress)
  progress.end()
  await moveServiceKeys(rewrap, id, to)
  await runTokenJob(rewrap, { type: 'remove-transport-key', domainId: id })
  console.log(`Every key is under version ${to} of the domain key. Restart each host's Trent, so that new keys are made under it too; then \`trent hsm retire-version\` ends the old one.`)
}

/** Makes it on the token and tells the database. Nothing uses it before every token has it. */
async function nextVersion(rewrap: Rewrap, domainId: string, former: DomainVersion, options: RecoveryOptions): Promise<number> {
  if (options.recoveryKey === undefined) throw new StartError('--recovery-key is missing: the new version is wrapped to it as the old one was')
  if (former.recovery === null) throw new StartError('the domain has no recovery envelope (`--no-recovery`): its keys cannot be moved')
  const recoveryKey = await readRecoveryKey(options.recoveryKey, options)
  const version = former.version + 1
  const made = await runTokenJob<NextDomainKey>(rewrap, { type: 'next-domain-key', domainId, version, recoveryKey })
  if (made.recovery.fingerprint !== former.recovery.fingerprint) throw new StartError(`--recovery-key has the fingerprint ${made.recovery.fingerprint}, the domain's integrity key is wrapped to ${former.recovery.fingerprint}: the same recovery key must hold both`)
  const { row, mac, ciphertext } = made.canary
  await insertDomainVersion(rewrap.pool, {
    version,
    // The integrity key stays: see docs/decisions/0023-one-integrity-key-a-domain.md.
    recovery: { fingerprint: made.recovery.fingerprint, domainKey: bytesOf(made.recovery.domainKey), integrityKey: former.recovery.integrityKey },
    canary: { row: bytesOf(row), mac: bytesOf(mac), ciphertext: bytesOf(ciphertext) },
  })
  return version
}

/** @throws StartError naming the tokens that could not open what is moved */
async function requireVersion(config: Config, pool: Pool, domainId: string, version: number): Promise<void> {
  const lacking: string[] = []
  for (const token of config.hsm.tokens) {
    const { versions } = await runTokenJob<DomainState>({ config, pool, token }, { type: 'domain-state', domainId, versions: [version] })
    if (!versions.includes(version)) lacking.push(`'${token.label}'`)
  }
  if (lacking.length > 0) throw new StartError(`version ${version} of the domain key is made, but not yet on ${lacking.join(', ')}: bring it there with \`trent hsm add-token\`, then run this again`)
}

async function moveMaterials(rewrap: Rewrap, move: { id: string; from: number; to: number; batch: number }, progress: Progress): Promise<void> {
  for (;;) {
    const rows = await materialsUnder(rewrap.pool, move.from, move.batch)
    if (rows.length === 0) return
    const moved = await moveRows(rewrap, move, rows)
    let replaced = 0
    for (const [index, next] of moved.entries()) {
      const former = rows[index]
      if (former !== undefined && await replaceMaterial(rewrap.pool, former, next)) replaced++
    }
    if (replaced === 0) throw new StartError('the keys change under the rewrap: is another one at work?')
    progress.advance(replaced)
  }
}

async function moveServiceKeys(rewrap: Rewrap, id: string, to: number): Promise<void> {
  for (const { sealed } of await listServiceKeys(rewrap.pool, sealPurpose)) {
    const from = decodeMaterial(sealed.row).domainVersion
    if (from >= to) continue
    const [next] = await moveRows(rewrap, { id, from, to }, [sealed])
    if (next !== undefined) await replaceServiceKey(rewrap.pool, sealed, next)
  }
}

async function moveRows(rewrap: Rewrap, { id, from, to }: { id: string; from: number; to: number }, rows: readonly SealedMaterial[]): Promise<SealedMaterial[]> {
  const envelope = rewrap.response.envelopes.find(({ version }) => version === from)?.domainKey
  if (envelope === undefined) throw new StartError(`--response has no envelope of version ${from}: make a new request`)
  const moved = await runTokenJob<SealedRow[]>(rewrap, {
    type: 'rewrap', domainId: id, from, to, envelope,
    rows: rows.map(({ row, mac }) => ({ row: row.toString('base64'), mac: mac.toString('base64') })),
  })
  return moved.map(({ row, mac }) => ({ row: bytesOf(row), mac: bytesOf(mac) }))
}

const bytesOf = (base64: string): Buffer => Buffer.from(base64, 'base64')

export const retireVersionCommand = (): Command =>
  configured('retire-version', 'Destroy an old version of the domain key on all tokens, and its recovery envelope: backups that hold keys under it are then worth nothing')
    .argument('<version>', 'the old version')
    .option('--confirm <text>', 'the words "retire version N", typed in')
    .action(async (text: string, options: { config?: string; confirm?: string }) => {
      const config = readConfig(options)
      const version = Number(text)
      await withDatabase(config, async pool => { await retire(config, pool, version, options.confirm) })
    })

async function retire(config: Config, pool: Pool, version: number, confirmed: string | undefined): Promise<void> {
  const { domain, versions, newest: { version: newest } } = await readyDomain(pool)
  if (!versions.some(one => one.version === version)) throw new StartError(`the domain key has no version ${version}: there are ${versions.map(one => one.version).join(', ')}`)
  if (version === newest) throw new StartError(`version ${version} is the newest: it is in use`)
  const left = (await countByVersion(pool)).find(one => one.version === version)?.count ?? 0
  const sealed = (await listServiceKeys(pool, sealPurpose)).some(key => decodeMaterial(key.sealed.row).domainVersion === version)
  if (left > 0 || sealed) throw new StartError(`${left} keys are still under version ${version}: run \`trent hsm rewrap\` first`)
  const words = `retire version ${version}`
  if ((confirmed ?? await ask(`Type "${words}" to destroy it: `, '--confirm')).trim() !== words) throw new StartError('nothing is destroyed')
  // The database last: a run that is cut off finds the version there and goes on.
  const removed: string[] = []
  for (const token of config.hsm.tokens) {
    const done = await runTokenJob<boolean>({ config, pool, token }, { type: 'retire-version', domainId: domain.id.toString('hex'), version, newest })
    if (done) removed.push(token.label)
  }
  if (!(await deleteDomainVersion(pool, version))) throw new StartError(`version ${version} is destroyed on ${removed.join(', ')}, but a key was made under it meanwhile: it is lost`)
  console.log(`Version ${version} of the domain key is destroyed on ${removed.length === 0 ? 'no token (none held it)' : removed.join(', ')}, and its recovery envelope is deleted.`)
}
