// What a token was found to do. The names are final once an operator greps for them; the words stand in tables and sentences.

/**
 * passed: right by a known answer. failed: refused by the token. wrong: an answer, but not the right one. absent: not in the token's
 * list of mechanisms. unprobed: listed, and not tried.
 */
export const outcomeWords = { passed: 'passed', failed: 'failed', wrong: 'wrong answer', absent: 'not offered', unprobed: 'not probed' } as const
export type CapabilityOutcome = keyof typeof outcomeWords

/** Every capability, in the order of the tables. */
export const capabilityTitles = {
  'template-enforced': 'the domain key unwraps no key as extractable, and cannot be changed',
  'not-readable': 'the value of a key that may not leave is refused',
  'not-wrappable': 'a key that may not leave is not wrapped, by the domain key or another',
  'random': 'C_GenerateRandom',
  'mechanisms-kept': 'a key is used by its CKA_ALLOWED_MECHANISMS alone',
  'aes-gcm-encrypt': 'AES-256-GCM with additional data, opened by OpenSSL',
  'aes-gcm-decrypt': 'AES-256-GCM of a known ciphertext',
  'aes-gcm-bad-tag': 'AES-256-GCM refuses a changed tag, text or additional data',
  'kwp': 'AES key wrap with padding (RFC 5649), both ways with OpenSSL',
  'kwp-bad-blob': 'AES key wrap refuses a changed blob',
  'hmac-224': 'HMAC-SHA-224 (RFC 4231)',
  'hmac-256': 'HMAC-SHA-256 (RFC 4231)',
  'hmac-384': 'HMAC-SHA-384 (RFC 4231)',
  'hmac-512': 'HMAC-SHA-512 (RFC 4231)',
  'wrap-aes': 'an AES-256 key wrapped and back',
  'wrap-hmac-224': 'an HMAC key of 28 bytes wrapped and back',
  'wrap-hmac-256': 'an HMAC key of 32 bytes wrapped and back',
  'wrap-hmac-384': 'an HMAC key of 48 bytes wrapped and back',
  'wrap-hmac-512': 'an HMAC key of 64 bytes wrapped and back',
  'derived-mode': 'message keys of derived mode from a key that only signs',
  'rsa-2048': 'RSA-2048 key pair',
  'rsa-3072': 'RSA-3072 key pair',
  'rsa-4096': 'RSA-4096 key pair',
  'wrap-rsa': 'an RSA private key wrapped and back',
  'rsa-pkcs1-sha-256': 'RSASSA-PKCS1-v1_5 with SHA-256, verified by OpenSSL',
  'rsa-pkcs1-sha-384': 'RSASSA-PKCS1-v1_5 with SHA-384, verified by OpenSSL',
  'rsa-pkcs1-sha-512': 'RSASSA-PKCS1-v1_5 with SHA-512, verified by OpenSSL',
  'rsa-pss-sha-256': 'RSASSA-PSS with SHA-256, verified by OpenSSL',
  'rsa-pss-sha-384': 'RSASSA-PSS with SHA-384, verified by OpenSSL',
  'rsa-pss-sha-512': 'RSASSA-PSS with SHA-512, verified by OpenSSL',
  'rsa-oaep-sha-1': 'RSAES-OAEP with SHA-1 of a ciphertext of OpenSSL',
  'rsa-oaep-sha-256': 'RSAES-OAEP with SHA-256 of a ciphertext of OpenSSL',
  'rsa-raw': 'RSA without padding (CKM_RSA_X_509)',
  'import-oaep-sha-1': 'an AES key comes in by RSAES-OAEP with SHA-1',
  'import-oaep-sha-256': 'an AES key comes in by RSAES-OAEP with SHA-256',
  'import-rsa-aes-sha-1': 'a private key comes in by RSA_AES_KEY_WRAP with SHA-1, in two unwraps',
  'import-rsa-aes-sha-256': 'a private key comes in by RSA_AES_KEY_WRAP with SHA-256, in two unwraps',
  'rsa-aes-key-wrap': 'CKM_RSA_AES_KEY_WRAP, in one unwrap',
  'ec-p256': 'P-256 key pair and ECDSA, verified by OpenSSL',
  'ec-p384': 'P-384 key pair and ECDSA, verified by OpenSSL',
  'ec-p521': 'P-521 key pair and ECDSA, verified by OpenSSL',
  'ec-secp256k1': 'secp256k1 key pair and ECDSA, verified by OpenSSL',
  'wrap-ec-p256': 'a P-256 private key wrapped and back',
  'wrap-ec-p384': 'a P-384 private key wrapped and back',
  'wrap-ec-p521': 'a P-521 private key wrapped and back',
  'wrap-ec-secp256k1': 'a secp256k1 private key wrapped and back',
  'ecdh-p256': 'ECDH on P-256, the same as OpenSSL\'s',
  'ecdh-p384': 'ECDH on P-384, the same as OpenSSL\'s',
  'ecdh-p521': 'ECDH on P-521, the same as OpenSSL\'s',
  'ed25519': 'Ed25519 key pair and signature, verified by OpenSSL',
  'ed25519ph': 'Ed25519ph (RFC 8032), which must not be a pure signature',
  'wrap-ed25519': 'an Ed25519 private key wrapped and back',
  'ml-dsa-44': 'ML-DSA-44 key pair and signature, verified by the token',
  'ml-dsa-65': 'ML-DSA-65 key pair and signature, verified by the token',
  'ml-dsa-87': 'ML-DSA-87 key pair and signature, verified by the token',
  'wrap-ml-dsa': 'an ML-DSA private key wrapped and back',
  'ml-kem-512': 'ML-KEM-512 key pair, both sides of a secret',
  'ml-kem-768': 'ML-KEM-768 key pair, both sides of a secret',
  'ml-kem-1024': 'ML-KEM-1024 key pair, both sides of a secret',
  'wrap-ml-kem': 'an ML-KEM private key wrapped and back',
  'sessions': 'as many sessions as there are threads',
} as const
export type CapabilityName = keyof typeof capabilityTitles

export interface Capability {
  readonly name: CapabilityName
  readonly outcome: CapabilityOutcome
  /** What was measured besides, the PKCS#11 function and CKR of a refusal, or what was wrong; may be empty. */
  readonly detail: string
  readonly milliseconds: number
}

/** How much is tried: that keys stay secret, what a token can be used for, and that with what takes seconds. */
export type ProbeExtent = 'safety' | 'usual' | 'whole'

/** A capability that a setting cannot do without. */
export interface ProbeNeed {
  readonly capability: CapabilityName
  /** The rest of the sentence before what was found: the setting and its value. */
  readonly because: string
}

/** What keeps keys from whoever has the PIN. */
export const secrecy = ['template-enforced', 'not-readable', 'not-wrappable'] as const satisfies readonly CapabilityName[]

/** What of it did not pass. */
export const weaknesses = (found: readonly Capability[]): CapabilityName[] => secrecy.filter(name => !has(found, name))

export const has = (found: readonly Capability[], name: CapabilityName): boolean =>
  found.some(capability => capability.name === name && capability.outcome === 'passed')

/** `47 of 61 capabilities; not: a, b`; what was not tried counts neither way. */
export function summaryOf(found: readonly Capability[]): string {
  const tried = found.filter(({ outcome }) => outcome !== 'unprobed')
  const not = tried.filter(({ outcome }) => outcome !== 'passed').map(({ name }) => name)
  return `${tried.length - not.length} of ${tried.length} capabilities${not.length === 0 ? '' : `; not: ${not.join(', ')}`}`
}

/** The first need that the probe refutes, as a sentence; undefined where all that was tried of them passed. */
export function unmet(token: string, found: readonly Capability[], needs: readonly ProbeNeed[]): string | undefined {
  for (const { capability, because } of needs) {
    const one = found.find(({ name, outcome }) => name === capability && outcome !== 'passed' && outcome !== 'unprobed')
    if (one !== undefined) {
      return `${because}: token '${token}' does not pass ${capability} (${capabilityTitles[capability]}): ${outcomeWords[one.outcome]}${one.detail === '' ? '' : `, ${one.detail}`}`
    }
  }
  return undefined
}
