// Set-up and inspection: jobs that a command starts in an agent process of their own, and that end it.
import type { Handle, PKCS11 } from 'pkcs11js'
import pkcs11 from 'pkcs11js'
import { initDomain, nextDomainKey } from './ceremony.ts'
import { ckrName } from './ckr.ts'
import type { DomainJob, Job, TokenFound, TokenObject } from './control.ts'
import { uuidBytes } from './domain.ts'
import { ckrOf } from './fault.ts'
import { domainState, joinDomain, removeTransportKey, transportKey, type Joining } from './join-domain.ts'
import { logIn, type LoginDesk } from './login.ts'
import { pinStateOf } from './pin-state.ts'
import { probeToken } from './probe-job.ts'
import { retireVersion, rewrap } from './rewrap.ts'
import { Fatal, findToken, initializedTokens, loadLibrary, openSession, profileOf } from './token.ts'

const objectLimit = 100_000
const labelBytes = 32

/** @throws Fatal, Fault */
export async function runJob(job: Job, desk: LoginDesk): Promise<unknown> {
  if (job.type === 'init-token') return initToken(job)
  const token = findToken(job.token)
  if (job.type === 'token') {
    const { flags } = token.p11.C_GetTokenInfo(token.slot.handle)
    return { serial: token.serial, pinState: pinStateOf(flags), revealsPinState: token.profile.revealsPinState } satisfies TokenFound
  }
  const session = openSession(token)
  await logIn(token, session, desk)
  if (job.type === 'objects') return listObjects(session)
  if (job.type === 'probe') return probeToken(token, session, job)
  const joining = { session, profile: token.profile, library: job.token.library, serial: token.serial, domainId: uuidBytes(job.domainId) }
  return job.type === 'init-domain' ? initDomain({ ...joining, recoveryKey: job.recoveryKey }) : runDomainJob(joining, job)
}

function runDomainJob(joining: Joining, job: DomainJob): unknown {
  switch (job.type) {
    case 'transport-key': return transportKey(joining)
    case 'join-domain': return joinDomain(joining, job)
    case 'domain-state': return domainState(joining, job.versions)
    case 'next-domain-key': return nextDomainKey(joining, job.version, job.recoveryKey)
    case 'remove-transport-key': return removeTransportKey(joining)
    case 'retire-version': return retireVersion(joining, job.version, job.newest)
    case 'rewrap': {
      const rows = job.rows.map(({ row, mac }) => ({ row: Buffer.from(row, 'base64'), mac: Buffer.from(mac, 'base64') }))
      return rewrap(joining, { from: job.from, to: job.to, envelope: Buffer.from(job.envelope, 'base64'), rows })
        .map(({ row, mac }) => ({ row: row.toString('base64'), mac: mac.toString('base64') }))
    }
  }
}

/** Initialises the first uninitialised slot's token, as its profile says. Never touches one that is initialised. */
function initToken(job: Extract<Job, { type: 'init-token' }>): { serial: string } {
  const { initialisation, name } = profileOf(job.token)
  if (initialisation === 'vendor') throw new Fatal('token', `hsm.tokens.profile '${name}': its tokens are initialised with the vendor's own tools`)
  const module = loadLibrary(job.token)
  if (initializedTokens(module).some(({ label }) => label === job.token.label)) throw new Fatal('token', `a token with the label '${job.token.label}' exists already`)
  const slots = module.getSlots(true)
  for (let i = 0; i < slots.length; i++) {
    const slot = slots.items(i)
    const found = slot.getToken()
    if ((found.flags & pkcs11.CKF_TOKEN_INITIALIZED) !== 0) continue
    // Such a token has its name from the start.
    if (initialisation === 'pin' && found.label.trim() !== job.token.label) continue
    try {
      // The library reads 32 bytes: a shorter label would bring heap bytes into the token's name.
      if (initialisation === 'token') module.lib.C_InitToken(slot.handle, job.soPin, job.token.label.padEnd(labelBytes))
      setUserPin(module.lib, initialisation === 'pin' ? slot.handle : findToken(job.token).slot.handle, job)
    } catch (thrown) {
      throw new Fatal('token', `the token cannot be initialised (${ckrName(ckrOf(thrown))})`)
    }
    return { serial: findToken(job.token).serial }
  }
  throw new Fatal('token', `${job.token.library} has no slot with an uninitialised token`)
}

function setUserPin(p11: PKCS11, slot: Handle, job: Extract<Job, { type: 'init-token' }>): void {
  const session = p11.C_OpenSession(slot, pkcs11.CKF_SERIAL_SESSION | pkcs11.CKF_RW_SESSION)
  p11.C_Login(session, pkcs11.CKU_SO, job.soPin)
  p11.C_InitPIN(session, job.pin)
  p11.C_Logout(session)
  p11.C_CloseSession(session)
}

const classNames = new Map<number, TokenObject['class']>([
  [pkcs11.CKO_SECRET_KEY, 'secret'], [pkcs11.CKO_PRIVATE_KEY, 'private'], [pkcs11.CKO_PUBLIC_KEY, 'public'],
])

function listObjects(session: ReturnType<typeof openSession>): TokenObject[] {
  const flag = (bytes: Buffer): boolean => bytes[0] === 1
  return session.find({ TOKEN: true }, objectLimit).map(handle => {
    const name = classNames.get(Number(session.get(handle, 'CLASS').readBigUInt64LE())) ?? 'other'
    const isKey = name === 'secret' || name === 'private'
    return {
      class: name, label: session.get(handle, 'LABEL').toString(), id: session.get(handle, 'ID').toString('hex'),
      extractable: isKey && flag(session.get(handle, 'EXTRACTABLE')), modifiable: flag(session.get(handle, 'MODIFIABLE')),
    }
  })
}
