// The domain on a token: one AES-256 key that wraps all else, and one HMAC key that authenticates material rows. Both are
// token objects named by the domain's id and version; both were made together by the ceremony.
import { createHash, timingSafeEqual } from 'node:crypto'
import type { Handle } from 'pkcs11js'
import pkcs11 from 'pkcs11js'
import { Fault } from './fault.ts'
import type { Profile } from './profile.ts'
import type { Session } from './session.ts'
import { mechanismList, mechanisms, type Attributes } from './template.ts'
import { Fatal } from './token.ts'
import { isTransient } from './transient.ts'
import { chooseWrapMechanism } from './wrap-mechanism.ts'

export interface Domain {
  /** 16 bytes. */
  readonly id: Buffer
  readonly version: number
  readonly domainKey: Handle
  readonly integrityKey: Handle
  /** The token's AES key wrap with padding (RFC 5649). */
  readonly wrapMechanism: number
}

export type DomainKeyRole = 'domain' | 'integrity'

/** The version of a domain as it is made, and of its integrity key for ever: see docs/decisions/0023-one-integrity-key-a-domain.md. */
export const firstVersion = 1

export const uuidBytes = (uuid: string): Buffer => Buffer.from(uuid.replaceAll('-', ''), 'hex')

export const domainKeyLabel = (id: Buffer, version: number, role: DomainKeyRole): string => `trent/${role}/${id.toString('hex')}/${version}`

/** 21 bytes: never a CKA_ID of key material, which has 16. */
export function domainKeyId(id: Buffer, version: number, role: DomainKeyRole): Buffer {
  const tail = Buffer.alloc(5)
  tail.writeUInt32BE(version)
  tail[4] = role === 'domain' ? 1 : 2
  return Buffer.concat([id, tail])
}

/** Wraps and unwraps, nothing else: a key that could also decrypt would open its own blobs with ECB. */
export const domainKeyAttributes = (profile: Profile, wrapMechanism: number): Omit<Attributes, 'LABEL'> => ({
  CLASS: pkcs11.CKO_SECRET_KEY, KEY_TYPE: pkcs11.CKK_AES, PRIVATE: true, SENSITIVE: true, EXTRACTABLE: false, WRAP: true, UNWRAP: true,
  ENCRYPT: false, DECRYPT: false, SIGN: false, VERIFY: false, DERIVE: false,
  ...(profile.allowedMechanisms ? { ALLOWED_MECHANISMS: mechanismList(wrapMechanism) } : {}),
})

export const integrityKeyAttributes = (profile: Profile): Omit<Attributes, 'LABEL'> => ({
  CLASS: pkcs11.CKO_SECRET_KEY, KEY_TYPE: pkcs11.CKK_GENERIC_SECRET, PRIVATE: true, SENSITIVE: true, EXTRACTABLE: false, WRAP: false, UNWRAP: false,
  ENCRYPT: false, DECRYPT: false, SIGN: true, VERIFY: false, DERIVE: false,
  ...(profile.allowedMechanisms ? { ALLOWED_MECHANISMS: mechanismList(pkcs11.CKM_SHA256_HMAC) } : {}),
})

/** @throws Fatal 'domain' when the token does not hold exactly one of each. A missing domain key is never made at start. */
export function findDomain(session: Session, profile: Profile, id: Buffer, version: number): Domain {
  const one = (role: DomainKeyRole, of: number): Handle => {
    const handle = findDomainKey(session, id, of, role)
    if (handle === undefined) throw new Fatal('domain', `the token does not hold the ${role} key of this database's domain ${id.toString('hex')} (version ${of}): the database belongs to another token`)
    return handle
  }
  return { id, version, domainKey: one('domain', version), integrityKey: one('integrity', firstVersion), wrapMechanism: chooseWrapMechanism(session, profile) }
}

/** The domain key of any version that this token holds, or the integrity key. @throws Fatal 'domain' when there are two */
export function findDomainKey(session: Session, id: Buffer, version: number, role: DomainKeyRole): Handle | undefined {
  const [handle, second] = session.find({ CLASS: pkcs11.CKO_SECRET_KEY, LABEL: domainKeyLabel(id, version, role) }, 2)
  if (second !== undefined) throw new Fatal('domain', `the token holds two ${role} keys of domain ${id.toString('hex')} (version ${version})`)
  return handle
}

/** HMAC-SHA-256 under the integrity key, 32 bytes. */
export const authenticate = (session: Session, integrityKey: Handle, bytes: Buffer): Buffer =>
  Buffer.from(session.sign(mechanisms.hmacSha256(), integrityKey, bytes, 32))

/** Whether `mac` is the row's: recomputed and compared in constant time, since C_Verify's error codes differ between vendors. */
export function isAuthentic(session: Session, integrityKey: Handle, row: Buffer, mac: Buffer): boolean {
  return mac.length === 32 && timingSafeEqual(authenticate(session, integrityKey, row), mac)
}

/** What an operator pins: tells one domain from another without telling anything of its keys. 64 hex digits. */
export function domainFingerprint(session: Session, domain: Domain): string {
  const proof = authenticate(session, domain.integrityKey, Buffer.concat([Buffer.from('trent/domain/1'), domain.id]))
  return createHash('sha256').update('trent/domain-fingerprint/1').update(proof).digest('hex')
}

/**
 * How the token lets whoever has the PIN at wrapped keys: by an unwrap as extractable, or a change of CKA_DECRYPT, on the domain key or
 * on the way into a copy of it. Empty where all are refused; otherwise PIN and a database copy together read wrapped keys.
 * @throws Fault when the token only failed, which is no refusal
 */
export function templateBreaches(session: Session, { domainKey, wrapMechanism }: Pick<Domain, 'domainKey' | 'wrapMechanism'>): string[] {
  const wrap = mechanisms.wrap(wrapMechanism)
  const sample = session.generateKey(mechanisms.aesKeyGen(), { TOKEN: false, SENSITIVE: true, EXTRACTABLE: true, VALUE_LEN: 32 })
  const blob = session.wrap(wrap, domainKey, sample)
  session.destroy(sample)
  const secret: Attributes = { CLASS: pkcs11.CKO_SECRET_KEY, KEY_TYPE: pkcs11.CKK_AES, TOKEN: false }
  const breaches: string[] = []
  if (succeeds(() => { session.destroy(session.unwrap(wrap, domainKey, blob, { ...secret, SENSITIVE: false, EXTRACTABLE: true })) })) breaches.push('unwraps as extractable')
  if (succeeds(() => { session.set(domainKey, { DECRYPT: true }) })) {
    // Never leave the door open that was just found open.
    session.set(domainKey, { DECRYPT: false })
    breaches.push('CKA_DECRYPT can be set')
  }
  if (succeeds(() => { session.destroy(session.copy(domainKey, { TOKEN: false, DECRYPT: true })) })) breaches.push('CKA_DECRYPT can be set in a copy')
  return breaches
}

function succeeds(run: () => void): boolean {
  try {
    run()
    return true
  } catch (thrown) {
    if (thrown instanceof Fault && !isTransient(thrown.ckr)) return false
    throw thrown
  }
}
