// The capability probe: what a token can do, by known answers, since lists of mechanisms were measured to say too much (a mechanism
// that answers wrongly) and the same number to mean two things. All of it on session objects of sessions of its own: nothing is left.
import pkcs11 from 'pkcs11js'
import { ckrName } from './ckr.ts'
import type { Capability, ProbeExtent } from './capability.ts'
import { ckrOf } from './fault.ts'
import { makeableKeys } from './makeable.ts'
import { Missing, ProbeBench, type Wrapping } from './probe-bench.ts'
import { probeCurve, probeEd25519 } from './probe-ec.ts'
import { probeMlDsa, probeMlKem } from './probe-post-quantum.ts'
import { probeRsa } from './probe-rsa.ts'
import { probeDerivedMode, probeGcm, probeHmac, probeHmacWrap, probeKeyWrap, probeRandom, probeSecrecy, probeWrapping } from './probe-secret.ts'
import { probeSessions } from './probe-sessions.ts'
import type { MakeableKeys } from '../../keys/makeable.ts'
import { Fatal, openSession, type OpenToken } from './token.ts'

export interface ProbeOrder {
  readonly token: OpenToken
  readonly extent: ProbeExtent
  /** The key that wraps all others. A reason in words where there is none. */
  readonly wrapping: Wrapping | string
  /** How many sessions an agent takes besides the one of its main thread. */
  readonly sessions: number
}

export interface Probed {
  readonly capabilities: readonly Capability[]
  /** Null where not enough was tried to say. */
  readonly makes: MakeableKeys | null
}

/** @throws Fatal when the token cannot be asked at all */
export function probe({ token, extent, wrapping, sessions }: ProbeOrder): Probed {
  const bench = new ProbeBench({
    openSession: () => openSession(token), profile: token.profile, offered: mechanismsOf(token),
    wrapping: () => {
      if (typeof wrapping === 'string') throw new Missing(wrapping)
      return wrapping
    },
  })
  try {
    probeSecrecy(bench)
    if (extent === 'safety') return { capabilities: bench.ordered(), makes: null }
    probeBasics(bench)
    probeUses(bench, extent === 'whole', largestRsaKey(token))
    probeSessions(bench, token, sessions)
    return { capabilities: bench.ordered(), makes: makeableKeys(bench.found) }
  } finally {
    bench.close()
  }
}

/** What every start stands on. */
function probeBasics(bench: ProbeBench): void {
  probeRandom(bench)
  probeGcm(bench)
  probeKeyWrap(bench)
  probeHmac(bench, 256)
}

function probeUses(bench: ProbeBench, deep: boolean, largestBits: number): void {
  for (const bits of [224, 384, 512] as const) probeHmac(bench, bits)
  probeWrapping(bench)
  for (const bits of [224, 256, 384, 512] as const) probeHmacWrap(bench, bits)
  probeDerivedMode(bench)
  probeRsa(bench, deep, largestBits)
  for (const curve of ['p256', 'p384', 'p521', 'secp256k1'] as const) probeCurve(bench, curve)
  probeEd25519(bench)
  probeMlDsa(bench)
  probeMlKem(bench)
}

function mechanismsOf({ p11, slot }: OpenToken): ReadonlySet<number> {
  try {
    return new Set(p11.C_GetMechanismList(slot.handle))
  } catch (thrown) {
    throw new Fatal('token', `the token does not list its mechanisms (${ckrName(ckrOf(thrown))})`)
  }
}

/** Bits; 0 where the token makes no RSA keys. */
function largestRsaKey({ p11, slot }: OpenToken): number {
  try {
    return p11.C_GetMechanismInfo(slot.handle, pkcs11.CKM_RSA_PKCS_KEY_PAIR_GEN).maxKeySize
  } catch {
    return 0
  }
}
