// The last step of a domain's keys on their way into a token: from an envelope that only this token's transport key opens to token
// objects that can never leave it.
import type { Handle } from 'pkcs11js'
import pkcs11 from 'pkcs11js'
import { domainKeyAttributes, domainKeyId, domainKeyLabel, integrityKeyAttributes, type DomainKeyRole } from './domain.ts'
import { unwrapWithTemplate } from './nested-template.ts'
import type { Profile } from './profile.ts'
import type { Session } from './session.ts'
import { mechanisms, type Attributes } from './template.ts'

export interface Settling {
  readonly session: Session
  readonly profile: Profile
  /** Path, for the call that pkcs11js cannot make. */
  readonly library: string
  readonly domainId: Buffer
  /** The private half of a transport key. */
  readonly transportKey: Handle
}

/** MODIFIABLE=false is refused in C_UnwrapKey, so: a session object with the unwrap template, copied to the token. @throws Fault */
export function settleDomainKey({ session, profile, library, domainId, transportKey }: Settling, version: number, wrapMechanism: number, envelope: Buffer): Handle {
  const unwrapped = unwrapWithTemplate({
    library, session: session.handle, oaepHash: profile.oaepHash, unwrappingKey: transportKey, blob: envelope,
    attributes: { ...domainKeyAttributes(profile, wrapMechanism), ...named(domainId, version, 'domain'), TOKEN: false }, unwrapTemplate: { SENSITIVE: true, EXTRACTABLE: false },
  })
  return settle(session, unwrapped)
}

/** @throws Fault */
export function settleIntegrityKey({ session, profile, domainId, transportKey }: Settling, version: number, envelope: Buffer): Handle {
  const unwrapped = session.unwrap(mechanisms.oaep(profile.oaepHash), transportKey, envelope, { ...integrityKeyAttributes(profile), ...named(domainId, version, 'integrity'), TOKEN: false })
  return settle(session, unwrapped)
}

/** Removes what a run that was cut off has left of one of the two keys. */
export function removeDomainKey(session: Session, domainId: Buffer, version: number, role: DomainKeyRole): void {
  for (const handle of session.find({ CLASS: pkcs11.CKO_SECRET_KEY, LABEL: domainKeyLabel(domainId, version, role) }, 10)) session.destroy(handle)
}

const named = (domainId: Buffer, version: number, role: DomainKeyRole): Attributes => ({
  LABEL: domainKeyLabel(domainId, version, role), ID: domainKeyId(domainId, version, role),
})

function settle(session: Session, unwrapped: Handle): Handle {
  const settled = session.copy(unwrapped, { TOKEN: true, MODIFIABLE: false })
  session.destroy(unwrapped)
  return settled
}
