// `trent hsm probe`: the probe of a token that need not hold a domain. A stand-in for the domain key is made as the ceremony makes one,
// of session objects.
import { randomBytes } from 'node:crypto'
import type { Handle } from 'pkcs11js'
import { ckrName } from './ckr.ts'
import type { Job, ProbeReport } from './control.ts'
import { domainKeyAttributes } from './domain.ts'
import { Fault } from './fault.ts'
import { unwrapWithTemplate } from './nested-template.ts'
import { probe } from './probe.ts'
import type { Wrapping } from './probe-bench.ts'
import type { Session } from './session.ts'
import { mechanisms } from './template.ts'
import { Fatal, type OpenToken } from './token.ts'
import { tokenUsage } from './usage.ts'
import { chooseWrapMechanism } from './wrap-mechanism.ts'

const transportKeyBits = 2048
const publicExponent = Buffer.from([1, 0, 1])

/** `session` is logged in and stays open. @throws Fatal */
export function probeToken(token: OpenToken, session: Session, { token: { library: path }, extent, sessions }: Extract<Job, { type: 'probe' }>): ProbeReport {
  const { p11, slot, profile } = token
  const info = p11.C_GetTokenInfo(slot.handle)
  const library = p11.C_GetInfo()
  const { capabilities, makes } = probe({ token, extent, wrapping: standIn(session, token, path), sessions })
  const version = ({ major, minor }: { major: number; minor: number }): string => `${major}.${minor}`
  return {
    profile: profile.name, manufacturer: info.manufacturerID.trim(), model: token.model, serial: token.serial,
    library: `${library.libraryDescription.trim()} ${version(library.libraryVersion)}`, firmware: version(info.firmwareVersion),
    usage: tokenUsage(token), capabilities, makes,
  }
}

/** A domain key for this session alone, or why there is none. */
function standIn(session: Session, { profile }: OpenToken, library: string): Wrapping | string {
  try {
    const mechanism = chooseWrapMechanism(session, profile)
    const transport = session.generateKeyPair(
      mechanisms.rsaKeyPairGen(),
      { TOKEN: false, PRIVATE: false, WRAP: true, MODULUS_BITS: transportKeyBits, PUBLIC_EXPONENT: publicExponent },
      { TOKEN: false, PRIVATE: true, SENSITIVE: true, EXTRACTABLE: false, UNWRAP: true },
    )
    const newborn = session.generateKey(mechanisms.aesKeyGen(), { TOKEN: false, PRIVATE: true, SENSITIVE: true, EXTRACTABLE: true, VALUE_LEN: 32 })
    const blob = session.wrap(mechanisms.oaep(profile.oaepHash), transport.publicKey, newborn)
    const unwrapped = unwrapWithTemplate({
      library, session: session.handle, oaepHash: profile.oaepHash, unwrappingKey: transport.privateKey, blob,
      attributes: { ...domainKeyAttributes(profile, mechanism), ID: randomBytes(21), TOKEN: false }, unwrapTemplate: { SENSITIVE: true, EXTRACTABLE: false },
    })
    const key: Handle = session.copy(unwrapped, { TOKEN: false, MODIFIABLE: false })
    return { key, mechanism }
  } catch (thrown) {
    if (thrown instanceof Fatal) return thrown.message
    if (thrown instanceof Fault) return `no domain key can be made: ${thrown.call}: ${ckrName(thrown.ckr)}`
    throw thrown
  }
}
