// What a deployment's settings ask of a token: the agent refuses to serve one whose probe refutes any of it.
import type { Config } from '../config.ts'
import { secrecy, type CapabilityName, type ProbeNeed } from './agent/capability.ts'

const weak = 'hsm.allowWeakToken is false, so that a token must keep keys from whoever has its PIN'
const symmetric: readonly CapabilityName[] = ['aes-gcm-encrypt', 'aes-gcm-decrypt', 'aes-gcm-bad-tag']

/** In the order in which they are reported. */
export function probeNeeds({ hsm, keys }: Pick<Config, 'hsm' | 'keys'>): readonly ProbeNeed[] {
  const need = (because: string, ...names: CapabilityName[]): ProbeNeed[] => names.map(capability => ({ capability, because }))
  return [
    ...need(keys.cipherMode === 'direct' ? 'keys.cipherMode is direct' : 'access keys are sealed by AES-GCM, whatever keys.cipherMode is', ...symmetric),
    ...need(keys.residency === 'wrapped' ? 'keys.residency is wrapped' : 'keys of Trent\'s own are wrapped, whatever keys.residency is', 'kwp', 'wrap-aes'),
    ...need('material rows are authenticated by HMAC-SHA-256', 'hmac-256'),
    ...need('IVs and key ids come from the token', 'random'),
    ...(keys.cipherMode === 'derived' ? need('keys.cipherMode is derived', 'derived-mode') : []),
    ...(keys.cipherMode === 'derived' && keys.residency === 'wrapped' ? need('keys.cipherMode is derived and keys.residency is wrapped', 'wrap-hmac-256') : []),
    ...need('hsm.tokens.workers asks for more sessions than there are', 'sessions'),
    ...(hsm.allowWeakToken ? [] : need(weak, ...secrecy)),
  ]
}
