// A further token of a domain. Its domain keys come from the recovery key, never from a token that serves: what serves can wrap none of
// them. The recovery key's holder wraps them to this token's transport key, which lives on the token from the request to the response.
import { createPublicKey } from 'node:crypto'
import type { Handle } from 'pkcs11js'
import pkcs11 from 'pkcs11js'
import { encodeContext } from '../../keys/context.ts'
import { keyIdBytes } from '../../keys/identifier.ts'
import { decodeMaterial } from '../../keys/material.ts'
import { canaryPlaintext } from './canary.ts'
import type { CanaryGiven, DomainEnvelope, DomainState, TransportResult } from './control.ts'
import { domainFingerprint, findDomain, findDomainKey, firstVersion, isAuthentic, type Domain } from './domain.ts'
import { makeTransportKey } from './envelope.ts'
import { Fault } from './fault.ts'
import { decryptBlob } from './gcm.ts'
import { keyKind, unwrapAttributes } from './key-template.ts'
import type { Profile } from './profile.ts'
import type { Session } from './session.ts'
import { removeDomainKey, settleDomainKey, settleIntegrityKey } from './settle.ts'
import { mechanisms } from './template.ts'
import { Fatal } from './token.ts'
import { chooseWrapMechanism } from './wrap-mechanism.ts'

export interface Joining {
  readonly session: Session
  readonly profile: Profile
  readonly library: string
  readonly serial: string
  readonly domainId: Buffer
}

const transportLabel = (domainId: Buffer): string => `trent/transport/${domainId.toString('hex')}`

/** The public half of this token's transport key, which is made now unless an earlier request has. @throws Fault */
export function transportKey({ session, profile, serial, domainId }: Joining): TransportResult {
  const [found] = session.find({ CLASS: pkcs11.CKO_PUBLIC_KEY, LABEL: transportLabel(domainId) }, 1)
  const publicKey = found ?? makeTransportKey(session, transportLabel(domainId)).publicKey
  const number = (name: 'MODULUS' | 'PUBLIC_EXPONENT'): string => session.get(publicKey, name).toString('base64url')
  const spki = createPublicKey({ key: { kty: 'RSA', n: number('MODULUS'), e: number('PUBLIC_EXPONENT') }, format: 'jwk' }).export({ type: 'spki', format: 'der' })
  return { serial, spki: spki.toString('base64'), oaepHash: profile.oaepHash }
}

/** The private half. @throws Fatal 'job' when there has been no request, or it was made by another token */
export function findTransportKey({ session, domainId }: Pick<Joining, 'session' | 'domainId'>): Handle {
  const [handle, second] = session.find({ CLASS: pkcs11.CKO_PRIVATE_KEY, LABEL: transportLabel(domainId) }, 2)
  if (handle === undefined || second !== undefined) throw new Fatal('job', 'the token has no transport key, or more than one: begin anew with --request')
  return handle
}

/** Once it has done its work: envelopes made for it open nowhere any more. */
export function removeTransportKey({ session, domainId }: Pick<Joining, 'session' | 'domainId'>): void {
  for (const keyClass of [pkcs11.CKO_PRIVATE_KEY, pkcs11.CKO_PUBLIC_KEY]) {
    for (const handle of session.find({ CLASS: keyClass, LABEL: transportLabel(domainId) }, 10)) session.destroy(handle)
  }
}

export interface JoinRequest {
  /** What the domain's fingerprint has to be. */
  readonly fingerprint: string
  /** Of all versions that the domain has, the oldest first. */
  readonly envelopes: readonly DomainEnvelope[]
  /** Of the newest version. */
  readonly canary: CanaryGiven
}

/**
 * Brings the keys into the token and proves that they are this domain's; what does not prove it is removed again.
 * Resolves to the versions that the token did not hold before. @throws Fatal 'job' or 'domain', Fault
 */
export function joinDomain(joining: Joining, request: JoinRequest): number[] {
  const { session, profile, domainId } = joining
  const wrapMechanism = chooseWrapMechanism(session, profile)
  const settling = { ...joining, transportKey: findTransportKey(joining) }
  const added: (() => void)[] = []
  const versions: number[] = []
  try {
    const [first] = request.envelopes
    if (first !== undefined && findDomainKey(session, domainId, firstVersion, 'integrity') === undefined) {
      settleIntegrityKey(settling, firstVersion, bytesOf(first.integrityKey))
      added.push(() => { removeDomainKey(session, domainId, firstVersion, 'integrity') })
    }
    for (const { version, domainKey } of request.envelopes) {
      if (findDomainKey(session, domainId, version, 'domain') !== undefined) continue
      settleDomainKey(settling, version, wrapMechanism, bytesOf(domainKey))
      added.push(() => { removeDomainKey(session, domainId, version, 'domain') })
      versions.push(version)
    }
    prove(joining, request)
  } catch (thrown) {
    for (const undo of added.reverse()) undo()
    if (thrown instanceof Fault) throw new Fatal('job', `the token does not take the envelopes (${thrown.message}): were they made for its transport key?`)
    throw thrown
  }
  removeTransportKey(joining)
  return versions
}

/** @throws Fatal 'domain' */
function prove({ session, profile, domainId }: Joining, { fingerprint, envelopes, canary }: JoinRequest): void {
  const newest = envelopes.at(-1)
  if (newest === undefined) throw new Fatal('job', 'the response holds no envelope')
  const domain = findDomain(session, profile, domainId, newest.version)
  const found = domainFingerprint(session, domain)
  if (found !== fingerprint) throw new Fatal('domain', `the keys in the response are of a domain with the fingerprint ${found}, the database's has ${fingerprint}`)
  if (!opensCanary(session, profile, domain, canary)) {
    throw new Fatal('domain', 'the domain key in the response does not open the database\'s canary')
  }
}

function opensCanary(session: Session, profile: Profile, domain: Domain, { row, mac, ciphertext }: CanaryGiven): boolean {
  if (!isAuthentic(session, domain.integrityKey, bytesOf(row), bytesOf(mac))) return false
  const material = decodeMaterial(bytesOf(row))
  const kind = keyKind(material)
  if (kind === undefined) return false
  const name = { multiRegion: false, keyId: keyIdBytes(material.keyId), materialId: material.materialId, backing: material.backing }
  try {
    const handle = session.unwrap(mechanisms.wrap(domain.wrapMechanism), domain.domainKey, material.blob, unwrapAttributes(kind, profile))
    return decryptBlob({ session, profile }, { handle, mode: 'direct', name }, encodeContext(undefined), bytesOf(ciphertext)).equals(canaryPlaintext)
  } catch (thrown) {
    if (thrown instanceof Fault) return false
    throw thrown
  }
}

/** What the token holds of a domain. */
export function domainState({ session, profile, serial, domainId }: Joining, versions: readonly number[]): DomainState {
  const held = versions.filter(version => findDomainKey(session, domainId, version, 'domain') !== undefined)
  const newest = held.at(-1)
  const hasIntegrityKey = findDomainKey(session, domainId, firstVersion, 'integrity') !== undefined
  return { serial, versions: held, fingerprint: newest === undefined || !hasIntegrityKey ? null : domainFingerprint(session, findDomain(session, profile, domainId, newest)) }
}

const bytesOf = (base64: string): Buffer => Buffer.from(base64, 'base64')
