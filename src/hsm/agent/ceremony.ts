// Making a domain on a token: both keys are wrapped to the recovery key and to a key of the token, which unwraps its own copy.
import { randomBytes, randomUUID } from 'node:crypto'
import { encodeContext } from '../../keys/context.ts'
import { keyIdBytes } from '../../keys/identifier.ts'
import { decodeMaterial, type Material, type SealedMaterial } from '../../keys/material.ts'
import { canaryPlaintext } from './canary.ts'
import type { DomainResult, NextDomainKey } from './control.ts'
import { domainFingerprint, findDomain, firstVersion, type Domain } from './domain.ts'
import { carryNewKey, makeTransportKey, recoveryRecipient } from './envelope.ts'
import { encryptBlob } from './gcm.ts'
import type { Joining } from './join-domain.ts'
import { keyKind, sealUsage, unwrapAttributes } from './key-template.ts'
import { makeMaterial } from './make-material.ts'
import { removeDomainKey, settleDomainKey, settleIntegrityKey } from './settle.ts'
import { mechanisms } from './template.ts'
import { Fatal } from './token.ts'
import { chooseWrapMechanism } from './wrap-mechanism.ts'

const none = Buffer.alloc(0)

export interface Ceremony extends Joining {
  /** PEM of an RSA public key, or null for --no-recovery. */
  readonly recoveryKey: string | null
}

/** Runs on an empty database only. What an earlier run with the same id left on the token is removed first. */
export function initDomain(ceremony: Ceremony): DomainResult {
  const { session, profile, domainId } = ceremony
  for (const role of ['domain', 'integrity'] as const) removeDomainKey(session, domainId, firstVersion, role)
  const wrapMechanism = chooseWrapMechanism(session, profile)
  const recovery = ceremony.recoveryKey === null ? null : recoveryRecipient(session, ceremony.recoveryKey)
  const transport = makeTransportKey(session)
  const recipients = [transport.publicKey, ...(recovery === null ? [] : [recovery.handle])]
  const [ownDomain = none, recoveryDomain] = carryNewKey(session, profile, recipients)
  const [ownIntegrity = none, recoveryIntegrity] = carryNewKey(session, profile, recipients)
  const settling = { ...ceremony, transportKey: transport.privateKey }
  const domain: Domain = {
    id: domainId, version: firstVersion, wrapMechanism,
    domainKey: settleDomainKey(settling, firstVersion, wrapMechanism, ownDomain),
    integrityKey: settleIntegrityKey(settling, firstVersion, ownIntegrity),
  }
  session.destroy(transport.privateKey)
  return {
    serial: ceremony.serial,
    fingerprint: domainFingerprint(session, domain),
    recovery: recovery === null || recoveryDomain === undefined || recoveryIntegrity === undefined ? null : {
      fingerprint: recovery.fingerprint, domainKey: recoveryDomain.toString('base64'), integrityKey: recoveryIntegrity.toString('base64'),
    },
    canary: makeCanary(ceremony, domain),
    sealKey: base64Of(makeMaterial(session, profile, domain, serviceMaterial(sealUsage), false)),
  }
}

/**
 * A new version of the domain key, wrapped to the recovery key; the integrity key stays. A key of this version that a run cut off has left on the
 * token was never told to the database and is removed. @throws Fatal, Fault
 */
export function nextDomainKey(joining: Joining, version: number, recoveryKey: string): NextDomainKey {
  const { session, profile, domainId } = joining
  removeDomainKey(session, domainId, version, 'domain')
  const wrapMechanism = chooseWrapMechanism(session, profile)
  const recovery = recoveryRecipient(session, recoveryKey)
  const transport = makeTransportKey(session)
  const [own = none, envelope = none] = carryNewKey(session, profile, [transport.publicKey, recovery.handle])
  settleDomainKey({ ...joining, transportKey: transport.privateKey }, version, wrapMechanism, own)
  session.destroy(transport.privateKey)
  const domain = findDomain(session, profile, domainId, version)
  return { recovery: { fingerprint: recovery.fingerprint, domainKey: envelope.toString('base64') }, canary: makeCanary(joining, domain) }
}

/** A wrapped key and a ciphertext under it: what start opens to prove that token and database belong together. */
function makeCanary({ session, profile }: Joining, domain: Domain): DomainResult['canary'] {
  const plan = serviceMaterial('ENCRYPT_DECRYPT')
  const material = makeMaterial(session, profile, domain, plan, false)
  const kind = keyKind(plan)
  if (kind === undefined) throw new Fatal('internal', 'the canary has no kind')
  const { blob } = decodeMaterial(material.row)
  const key = session.unwrap(mechanisms.wrap(domain.wrapMechanism), domain.domainKey, blob, unwrapAttributes(kind, profile))
  const name = { multiRegion: false, keyId: keyIdBytes(plan.keyId), materialId: plan.materialId, backing: plan.backing } as const
  const ciphertext = encryptBlob({ session, profile }, { handle: key, mode: 'direct', name }, encodeContext(undefined), canaryPlaintext)
  session.destroy(key)
  return { ...base64Of(material), ciphertext: ciphertext.toString('base64') }
}

/** A key of Trent's own: no account, no Region, always wrapped. */
function serviceMaterial(usage: string): Material {
  return {
    accountId: '', region: '', keyId: randomUUID(), materialId: randomBytes(32), backing: 1, origin: 'AWS_KMS', spec: 'SYMMETRIC_DEFAULT', usage,
    cipherMode: 'direct', residency: 'wrapped', ckaId: Buffer.alloc(16), domainId: Buffer.alloc(0), domainVersion: 0, spkiDigest: Buffer.alloc(0), blob: Buffer.alloc(0),
  }
}

const base64Of = ({ row, mac }: SealedMaterial): { row: string; mac: string } => ({ row: row.toString('base64'), mac: mac.toString('base64') })
