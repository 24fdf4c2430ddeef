// Making a domain on a token. Both keys are born as extractable session objects, wrapped at once to the RSA key of the token
// and to the recovery key, and destroyed; the token then unwraps its own copy, which can never leave it.
import { createHash, createPublicKey, randomBytes, randomUUID, type KeyObject } from 'node:crypto'
import type { Handle } from 'pkcs11js'
import pkcs11 from 'pkcs11js'
import { encodeContext } from '../../keys/context.ts'
import { keyIdBytes } from '../../keys/identifier.ts'
import { decodeMaterial, type Material, type SealedMaterial } from '../../keys/material.ts'
import { canaryPlaintext } from './canary.ts'
import type { DomainResult } from './control.ts'
import { domainFingerprint, domainKeyAttributes, domainKeyId, domainKeyLabel, integrityKeyAttributes, type Domain, type DomainKeyRole } from './domain.ts'
import { encryptBlob } from './gcm.ts'
import { keyKind, sealUsage, unwrapAttributes } from './key-template.ts'
import { makeMaterial } from './make-material.ts'
import { unwrapWithTemplate } from './nested-template.ts'
import type { Profile } from './profile.ts'
import type { Session } from './session.ts'
import { mechanisms, type Attributes } from './template.ts'
import { Fatal } from './token.ts'
import { chooseWrapMechanism } from './wrap-mechanism.ts'

const domainVersion = 1
const transportKeyBits = 3072
const publicExponent = Buffer.from([1, 0, 1])

export interface Ceremony {
  readonly session: Session
  readonly profile: Profile
  readonly library: string
  readonly serial: string
  readonly domainId: Buffer
  /** PEM of an RSA public key, or null for --no-recovery. */
  readonly recoveryKey: string | null
}

/** Runs on an empty database only. What an earlier run with the same id left on the token is removed first. */
export function initDomain(ceremony: Ceremony): DomainResult {
  const { session, profile, domainId } = ceremony
  removeRemains(session, domainId)
  const wrapMechanism = chooseWrapMechanism(session, profile)
  const recovery = ceremony.recoveryKey === null ? null : recoveryRecipient(session, ceremony.recoveryKey)
  const transport = session.generateKeyPair(
    mechanisms.rsaKeyPairGen(),
    { TOKEN: false, PRIVATE: false, WRAP: true, ENCRYPT: false, VERIFY: false, MODULUS_BITS: transportKeyBits, PUBLIC_EXPONENT: publicExponent },
    { TOKEN: false, PRIVATE: true, SENSITIVE: true, EXTRACTABLE: false, UNWRAP: true, DECRYPT: false, SIGN: false },
  )
  const carry = (): { own: Buffer; recovery: Buffer | null } => {
    const newborn = session.generateKey(mechanisms.aesKeyGen(), { TOKEN: false, PRIVATE: true, SENSITIVE: true, EXTRACTABLE: true, VALUE_LEN: 32, ENCRYPT: false, DECRYPT: false })
    try {
      const own = session.wrap(mechanisms.oaep(profile.oaepHash), transport.publicKey, newborn)
      return { own, recovery: recovery === null ? null : session.wrap(mechanisms.oaep(profile.oaepHash), recovery.handle, newborn) }
    } finally {
      session.destroy(newborn)
    }
  }
  const domainEnvelope = carry()
  const integrityEnvelope = carry()
  const domain: Domain = {
    id: domainId, version: domainVersion, wrapMechanism,
    domainKey: settleDomainKey(ceremony, wrapMechanism, transport.privateKey, domainEnvelope.own),
    integrityKey: settleIntegrityKey(ceremony, transport.privateKey, integrityEnvelope.own),
  }
  session.destroy(transport.privateKey)
  return {
    serial: ceremony.serial,
    fingerprint: domainFingerprint(session, domain),
    recovery: recovery === null || domainEnvelope.recovery === null || integrityEnvelope.recovery === null ? null : {
      fingerprint: recovery.fingerprint, domainKey: domainEnvelope.recovery.toString('base64'), integrityKey: integrityEnvelope.recovery.toString('base64'),
    },
    canary: makeCanary(ceremony, domain),
    sealKey: base64Of(makeMaterial(session, profile, domain, serviceMaterial(sealUsage), false)),
  }
}

/** MODIFIABLE=false is refused in C_UnwrapKey, so: a session object with the unwrap template, copied to the token. */
function settleDomainKey(ceremony: Ceremony, wrapMechanism: number, transportKey: Handle, envelope: Buffer): Handle {
  const { session, profile } = ceremony
  const unwrapped = unwrapWithTemplate({
    library: ceremony.library, session: session.handle, oaepHash: profile.oaepHash, unwrappingKey: transportKey, blob: envelope,
    attributes: { ...domainKeyAttributes(profile, wrapMechanism), ...named(ceremony, 'domain'), TOKEN: false }, unwrapTemplate: { SENSITIVE: true, EXTRACTABLE: false },
  })
  return settle(session, unwrapped)
}

function settleIntegrityKey(ceremony: Ceremony, transportKey: Handle, envelope: Buffer): Handle {
  const { session, profile } = ceremony
  const unwrapped = session.unwrap(mechanisms.oaep(profile.oaepHash), transportKey, envelope, { ...integrityKeyAttributes(profile), ...named(ceremony, 'integrity'), TOKEN: false })
  return settle(session, unwrapped)
}

const named = ({ domainId }: Ceremony, role: DomainKeyRole): Attributes => ({
  LABEL: domainKeyLabel(domainId, domainVersion, role), ID: domainKeyId(domainId, domainVersion, role),
})

function settle(session: Session, unwrapped: Handle): Handle {
  const settled = session.copy(unwrapped, { TOKEN: true, MODIFIABLE: false })
  session.destroy(unwrapped)
  return settled
}

function removeRemains(session: Session, domainId: Buffer): void {
  for (const role of ['domain', 'integrity'] as const) {
    for (const handle of session.find({ CLASS: pkcs11.CKO_SECRET_KEY, LABEL: domainKeyLabel(domainId, domainVersion, role) }, 10)) session.destroy(handle)
  }
}

function recoveryRecipient(session: Session, pem: string): { handle: Handle; fingerprint: string } {
  const key = readRecoveryKey(pem)
  const { n, e } = key.export({ format: 'jwk' })
  if (n === undefined || e === undefined) throw new Fatal('job', '--recovery-key: no RSA key')
  const handle = session.create({
    CLASS: pkcs11.CKO_PUBLIC_KEY, KEY_TYPE: pkcs11.CKK_RSA, TOKEN: false, PRIVATE: false, WRAP: true,
    MODULUS: Buffer.from(n, 'base64url'), PUBLIC_EXPONENT: Buffer.from(e, 'base64url'),
  })
  return { handle, fingerprint: createHash('sha256').update(key.export({ type: 'spki', format: 'der' })).digest('hex') }
}

function readRecoveryKey(pem: string): KeyObject {
  const key = createPublicKey(pem)
  const bits = key.asymmetricKeyDetails?.modulusLength ?? 0
  if (key.asymmetricKeyType !== 'rsa' || bits < 3072 || bits > 8192) throw new Fatal('job', '--recovery-key: an RSA key of 3072 to 8192 bits is needed')
  return key
}

/** A wrapped key and a ciphertext under it: what start opens to prove that token and database belong together. */
function makeCanary({ session, profile }: Ceremony, domain: Domain): DomainResult['canary'] {
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
