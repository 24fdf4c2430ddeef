// Making a material: a wrapped one is generated, wrapped and destroyed; a resident one is generated under its CKA_ID. Either
// way the row's MAC is made last, over all that the row says.
import { createHash } from 'node:crypto'
import type { Handle } from 'pkcs11js'
import pkcs11 from 'pkcs11js'
import { encodeMaterial, type Material, type SealedMaterial } from '../../keys/material.ts'
import { authenticate, type Domain } from './domain.ts'
import { Fault } from './fault.ts'
import { keyKind, publicAttributes, residentAttributes, residentLabel, wrappableAttributes, type KeyKind } from './key-template.ts'
import type { Profile } from './profile.ts'
import { Refused } from './refused.ts'
import type { Session } from './session.ts'
import { readSpki } from './spki.ts'
import { mechanisms, type Attributes } from './template.ts'

/** `spki`: SubjectPublicKeyInfo in DER, whose SHA-256 the row holds; empty for a secret key. */
export type MadeMaterial = SealedMaterial & { readonly spki: Buffer }

const none = Buffer.alloc(0)

/**
 * Makes the key that `plan` describes; its domain, blob and SPKI are filled in here. `again` says that an earlier attempt may
 * have made the resident object: it is then looked for first (a search costs 20 ms at 1,000 objects, so not otherwise).
 * @throws Refused, Fault
 */
export function makeMaterial(session: Session, profile: Profile, domain: Domain, plan: Material, again: boolean): MadeMaterial {
  const kind = keyKind(plan)
  if (kind === undefined) throw new Refused(`no key of spec ${plan.spec} for ${plan.usage}`)
  const { blob, spki } = plan.residency === 'wrapped' ? makeWrapped(session, domain, kind, plan) : makeResident(session, profile, kind, plan, again)
  const spkiDigest = spki.length === 0 ? none : createHash('sha256').update(spki).digest()
  const row = encodeMaterial({ ...plan, domainId: domain.id, domainVersion: domain.version, spkiDigest, blob })
  return { row, mac: authenticate(session, domain.integrityKey, row), spki }
}

interface Made {
  readonly blob: Buffer
  readonly spki: Buffer
}

function makeWrapped(session: Session, domain: Domain, kind: KeyKind, plan: Material): Made {
  const { key, publicKey } = generate(session, kind, plan, wrappableAttributes(kind))
  try {
    const spki = kind.form === 'pair' && publicKey !== undefined ? readSpki(session, kind.making, publicKey) : none
    return { spki, blob: Buffer.from(session.wrap(mechanisms.wrap(domain.wrapMechanism), domain.domainKey, key)) }
  } finally {
    session.destroy(key)
    if (publicKey !== undefined) session.destroy(publicKey)
  }
}

function makeResident(session: Session, profile: Profile, kind: KeyKind, plan: Material, again: boolean): Made {
  const made = again && findResident(session, plan) !== undefined
    ? { publicKey: kind.form === 'pair' ? findPublic(session, plan) : undefined }
    : generate(session, kind, plan, residentAttributes(kind, profile, plan))
  return { blob: none, spki: kind.form === 'pair' && made.publicKey !== undefined ? readSpki(session, kind.making, made.publicKey) : none }
}

/** `attributes`: of the secret or private key. */
function generate(session: Session, kind: KeyKind, plan: Material, attributes: Attributes): { key: Handle; publicKey: Handle | undefined } {
  if (kind.form === 'secret') return { key: session.generateKey(kind.generate(), attributes), publicKey: undefined }
  const { publicKey, privateKey } = session.generateKeyPair(kind.generate(), publicAttributes(kind, plan), attributes)
  return { key: privateKey, publicKey }
}

/**
 * The one secret or private key with this row's CKA_ID. Finds two to refuse two, and refuses one that was made for another key: a
 * gateway taken over must not have a second row made for an object by naming its CKA_ID.
 * @throws Refused
 */
export function findResident(session: Session, plan: Pick<Material, 'ckaId' | 'keyId'>): Handle | undefined {
  return theOne(session, plan, [pkcs11.CKO_SECRET_KEY, pkcs11.CKO_PRIVATE_KEY])
}

/** The public half of a pair whose private half was found. @throws Refused when it is gone: nothing else tells the public key */
function findPublic(session: Session, plan: Pick<Material, 'ckaId' | 'keyId'>): Handle {
  const handle = theOne(session, plan, [pkcs11.CKO_PUBLIC_KEY])
  if (handle === undefined) throw new Refused(`the public key with CKA_ID ${plan.ckaId.toString('hex')} is gone`)
  return handle
}

function theOne(session: Session, { ckaId, keyId }: Pick<Material, 'ckaId' | 'keyId'>, classes: readonly number[]): Handle | undefined {
  const found = classes.flatMap(keyClass => session.find({ CLASS: keyClass, TOKEN: true, ID: ckaId }, 2))
  const [handle] = found
  if (found.length > 1) throw new Refused(`two keys with CKA_ID ${ckaId.toString('hex')}`)
  if (handle !== undefined && session.get(handle, 'LABEL').toString() !== residentLabel(keyId)) {
    throw new Refused(`the key with CKA_ID ${ckaId.toString('hex')} was made for another KMS key`)
  }
  return handle
}

/** Whether the object of a handle that was found before is still the one of this row. */
export function isResident(session: Session, handle: Handle, { ckaId, keyId }: Pick<Material, 'ckaId' | 'keyId'>): boolean {
  try {
    return session.get(handle, 'ID').equals(ckaId) && session.get(handle, 'LABEL').toString() === residentLabel(keyId)
  } catch (thrown) {
    // Destroyed meanwhile, or a device that fails: the search that follows tells.
    if (thrown instanceof Fault) return false
    throw thrown
  }
}
