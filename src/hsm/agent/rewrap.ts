// From one version of the domain key to the next: every wrapped key is opened under the old one and wrapped under the new one, inside the
// token. The old key that serves can not do that (what it unwraps can never be wrapped again), so for this run alone it comes from its
// recovery envelope as a session object that may only unwrap.
import type { Handle } from 'pkcs11js'
import pkcs11 from 'pkcs11js'
import { decodeMaterial, encodeMaterial, type Material, type SealedMaterial } from '../../keys/material.ts'
import { authenticate, findDomain, findDomainKey, isAuthentic, type Domain } from './domain.ts'
import { findTransportKey, type Joining } from './join-domain.ts'
import { keyKind, unwrapAttributes } from './key-template.ts'
import type { Profile } from './profile.ts'
import type { Session } from './session.ts'
import { mechanisms } from './template.ts'
import { Fatal } from './token.ts'

export interface RewrapRequest {
  readonly from: number
  readonly to: number
  /** The old domain key, wrapped to the token's transport key. */
  readonly envelope: Buffer
  readonly rows: readonly SealedMaterial[]
}

/** The rows as they are under the new version, in their order. @throws Fatal 'job' for a row that is not authentic or not of the old version; Fault */
export function rewrap(joining: Joining, { from, to, envelope, rows }: RewrapRequest): SealedMaterial[] {
  const { session, profile, domainId } = joining
  const domain = findDomain(session, profile, domainId, to)
  const former = session.unwrap(mechanisms.oaep(profile.oaepHash), findTransportKey(joining), envelope, {
    CLASS: pkcs11.CKO_SECRET_KEY, KEY_TYPE: pkcs11.CKK_AES, TOKEN: false, PRIVATE: true, SENSITIVE: true, EXTRACTABLE: false, UNWRAP: true, WRAP: false, ENCRYPT: false, DECRYPT: false,
  })
  try {
    return rows.map(row => rewrapOne({ session, profile, domain, from, former }, row))
  } finally {
    session.destroy(former)
  }
}

interface Rewrapping {
  readonly session: Session
  readonly profile: Profile
  readonly domain: Domain
  readonly from: number
  /** The old domain key, which may only unwrap. */
  readonly former: Handle
}

function rewrapOne(rewrapping: Rewrapping, { row, mac }: SealedMaterial): SealedMaterial {
  const { session, domain, from } = rewrapping
  if (!isAuthentic(session, domain.integrityKey, row, mac)) throw new Fatal('job', 'a material row in the database is not authentic: see hsm_material_refused_total, and restore that row before going on')
  const material = decodeMaterial(row)
  if (!material.domainId.equals(domain.id) || material.domainVersion !== from) throw new Fatal('job', `the row of key ${material.keyId} is not of version ${from} of the domain key`)
  // A key that lives on the token is under no domain key: only its row says a version.
  const blob = material.residency === 'resident' ? material.blob : carryOver(rewrapping, material)
  const renewed = encodeMaterial({ ...material, domainVersion: domain.version, blob })
  return { row: renewed, mac: authenticate(session, domain.integrityKey, renewed) }
}

function carryOver({ session, profile, domain, former }: Rewrapping, material: Material): Buffer {
  const kind = keyKind(material)
  if (kind === undefined) throw new Fatal('job', `this version of Trent has no key of spec ${material.spec} for ${material.usage}`)
  const wrap = mechanisms.wrap(domain.wrapMechanism)
  const key = session.unwrap(wrap, former, material.blob, { ...unwrapAttributes(kind, profile), EXTRACTABLE: true })
  try {
    return session.wrap(wrap, domain.domainKey, key)
  } finally {
    session.destroy(key)
  }
}

/** Takes the key of a version from the token, for good. @throws Fatal 'job' when it holds no newer one */
export function retireVersion({ session, domainId }: Joining, version: number, newest: number): boolean {
  if (version >= newest || findDomainKey(session, domainId, newest, 'domain') === undefined) throw new Fatal('job', `the token does not hold version ${newest} of the domain key: nothing is removed`)
  const handle = findDomainKey(session, domainId, version, 'domain')
  if (handle !== undefined) session.destroy(handle)
  return handle !== undefined
}
