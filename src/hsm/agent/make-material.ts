// Making a material: a wrapped one is generated, wrapped and destroyed; a resident one is generated under its CKA_ID. Either
// way the row's MAC is made last, over all that the row says.
import type { Handle } from 'pkcs11js'
import pkcs11 from 'pkcs11js'
import { encodeMaterial, type Material, type SealedMaterial } from '../../keys/material.ts'
import { authenticate, type Domain } from './domain.ts'
import { Fault } from './fault.ts'
import { keyKind, residentAttributes, residentLabel, wrappableAttributes } from './key-template.ts'
import type { Profile } from './profile.ts'
import { Refused } from './refused.ts'
import type { Session } from './session.ts'
import { mechanisms } from './template.ts'

/**
 * Makes the key that `plan` describes; its domain, blob and SPKI are filled in here. `again` says that an earlier attempt may
 * have made the resident object: it is then looked for first (a search costs 20 ms at 1,000 objects, so not otherwise).
 * @throws Refused, Fault
 */
export function makeMaterial(session: Session, profile: Profile, domain: Domain, plan: Material, again: boolean): SealedMaterial {
  const kind = keyKind(plan)
  if (kind === undefined) throw new Refused(`no key of spec ${plan.spec} for ${plan.usage}`)
  let blob = Buffer.alloc(0)
  if (plan.residency === 'wrapped') {
    const key = session.generateKey(kind.generate(), wrappableAttributes(kind))
    try {
      blob = Buffer.from(session.wrap(mechanisms.wrap(domain.wrapMechanism), domain.domainKey, key))
    } finally {
      session.destroy(key)
    }
  } else if (!again || findResident(session, plan) === undefined) {
    session.generateKey(kind.generate(), residentAttributes(kind, profile, plan))
  }
  const row = encodeMaterial({ ...plan, domainId: domain.id, domainVersion: domain.version, spkiDigest: Buffer.alloc(0), blob })
  return { row, mac: authenticate(session, domain.integrityKey, row) }
}

/**
 * The one secret or private key with this row's CKA_ID. Finds two to refuse two, and refuses one that was made for another key: a
 * gateway taken over must not have a second row made for an object by naming its CKA_ID.
 * @throws Refused
 */
export function findResident(session: Session, { ckaId, keyId }: Pick<Material, 'ckaId' | 'keyId'>): Handle | undefined {
  const found = [pkcs11.CKO_SECRET_KEY, pkcs11.CKO_PRIVATE_KEY].flatMap(keyClass => session.find({ CLASS: keyClass, TOKEN: true, ID: ckaId }, 2))
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
