import { expect, it } from 'vitest'
import type { CapabilityName } from '../../src/hsm/agent/capability.ts'
import { probeNeeds } from '../../src/hsm/probe-needs.ts'

const needed = (keys: { residency?: 'wrapped' | 'resident'; cipherMode?: 'direct' | 'derived' } = {}, allowWeakToken = false): Map<CapabilityName, string> =>
  new Map(probeNeeds({ hsm: { domainFingerprint: undefined, allowWeakToken, tokens: [] }, keys: { residency: 'wrapped', cipherMode: 'direct', verifySignatures: false, quota: 1, ...keys } }).map(({ capability, because }) => [capability, because]))

it('a token must keep keys from whoever has its PIN, unless a weak one is allowed', () => {
  const secrecy = ['template-enforced', 'not-readable', 'not-wrappable'] as const
  for (const name of secrecy) {
    expect(needed().get(name)).toMatch(/^hsm\.allowWeakToken is false/)
    expect(needed({}, true).has(name)).toBe(false)
  }
})

it('each need names its setting', () => {
  expect(needed().get('aes-gcm-encrypt')).toBe('keys.cipherMode is direct')
  expect(needed().get('kwp')).toBe('keys.residency is wrapped')
  expect(needed().get('sessions')).toMatch(/^hsm\.tokens\.workers /)
  expect(needed().has('derived-mode')).toBe(false)
  expect(needed({ cipherMode: 'derived' }).get('derived-mode')).toBe('keys.cipherMode is derived')
  expect(needed({ cipherMode: 'derived' }).get('wrap-hmac-256')).toBe('keys.cipherMode is derived and keys.residency is wrapped')
  expect(needed({ cipherMode: 'derived', residency: 'resident' }).has('wrap-hmac-256')).toBe(false)
})

it('Trent seals and wraps keys of its own in every mode', () => {
  const least = needed({ cipherMode: 'derived', residency: 'resident' }, true)
  for (const name of ['aes-gcm-encrypt', 'aes-gcm-decrypt', 'aes-gcm-bad-tag', 'kwp', 'wrap-aes', 'hmac-256', 'random'] as const) expect(least.has(name)).toBe(true)
})
