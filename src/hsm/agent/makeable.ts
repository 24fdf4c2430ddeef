// From what a token was found to do to the keys that it can make and use.
import type { MakeableKey, MakeableKeys } from '../../keys/makeable.ts'
import { has, type Capability, type CapabilityName } from './capability.ts'

/** One way of making a key and using it in every algorithm of its usage; `wrap` is what a wrapped key needs besides. */
interface Way {
  readonly use: readonly CapabilityName[]
  readonly wrap: CapabilityName
}

const signing: readonly CapabilityName[] = [
  'rsa-pkcs1-sha-256', 'rsa-pkcs1-sha-384', 'rsa-pkcs1-sha-512', 'rsa-pss-sha-256', 'rsa-pss-sha-384', 'rsa-pss-sha-512',
]
const rsaSigning = (size: CapabilityName): Way[] => [{ use: [size, ...signing], wrap: 'wrap-rsa' }]
/** Where a token lacks an OAEP, it does raw RSA and the agent unpads. */
const rsaDecryption = (size: CapabilityName): Way[] => [
  { use: [size, 'rsa-oaep-sha-1', 'rsa-oaep-sha-256'], wrap: 'wrap-rsa' }, { use: [size, 'rsa-raw'], wrap: 'wrap-rsa' },
]

const ways: Readonly<Partial<Record<MakeableKey, readonly Way[]>>> = {
  'SYMMETRIC_DEFAULT/ENCRYPT_DECRYPT': [
    { use: ['aes-gcm-encrypt', 'aes-gcm-decrypt', 'aes-gcm-bad-tag'], wrap: 'wrap-aes' }, { use: ['derived-mode'], wrap: 'wrap-hmac-256' },
  ],
  'HMAC_224/GENERATE_VERIFY_MAC': [{ use: ['hmac-224'], wrap: 'wrap-hmac-224' }],
  'HMAC_256/GENERATE_VERIFY_MAC': [{ use: ['hmac-256'], wrap: 'wrap-hmac-256' }],
  'HMAC_384/GENERATE_VERIFY_MAC': [{ use: ['hmac-384'], wrap: 'wrap-hmac-384' }],
  'HMAC_512/GENERATE_VERIFY_MAC': [{ use: ['hmac-512'], wrap: 'wrap-hmac-512' }],
  'RSA_2048/SIGN_VERIFY': rsaSigning('rsa-2048'),
  'RSA_3072/SIGN_VERIFY': rsaSigning('rsa-3072'),
  'RSA_4096/SIGN_VERIFY': rsaSigning('rsa-4096'),
  'RSA_2048/ENCRYPT_DECRYPT': rsaDecryption('rsa-2048'),
  'RSA_3072/ENCRYPT_DECRYPT': rsaDecryption('rsa-3072'),
  'RSA_4096/ENCRYPT_DECRYPT': rsaDecryption('rsa-4096'),
  'ECC_NIST_P256/SIGN_VERIFY': [{ use: ['ec-p256'], wrap: 'wrap-ec-p256' }],
  'ECC_NIST_P384/SIGN_VERIFY': [{ use: ['ec-p384'], wrap: 'wrap-ec-p384' }],
  'ECC_NIST_P521/SIGN_VERIFY': [{ use: ['ec-p521'], wrap: 'wrap-ec-p521' }],
  'ECC_SECG_P256K1/SIGN_VERIFY': [{ use: ['ec-secp256k1'], wrap: 'wrap-ec-secp256k1' }],
  'ECC_NIST_P256/KEY_AGREEMENT': [{ use: ['ec-p256', 'ecdh-p256'], wrap: 'wrap-ec-p256' }],
  'ECC_NIST_P384/KEY_AGREEMENT': [{ use: ['ec-p384', 'ecdh-p384'], wrap: 'wrap-ec-p384' }],
  'ECC_NIST_P521/KEY_AGREEMENT': [{ use: ['ec-p521', 'ecdh-p521'], wrap: 'wrap-ec-p521' }],
  'ECC_NIST_EDWARDS25519/SIGN_VERIFY': [{ use: ['ed25519'], wrap: 'wrap-ed25519' }],
  'ML_DSA_44/SIGN_VERIFY': [{ use: ['ml-dsa-44'], wrap: 'wrap-ml-dsa' }],
  'ML_DSA_65/SIGN_VERIFY': [{ use: ['ml-dsa-65'], wrap: 'wrap-ml-dsa' }],
  'ML_DSA_87/SIGN_VERIFY': [{ use: ['ml-dsa-87'], wrap: 'wrap-ml-dsa' }],
  'ML_KEM_512/ENCAPSULATE_DECAPSULATE': [{ use: ['ml-kem-512'], wrap: 'wrap-ml-kem' }],
  'ML_KEM_768/ENCAPSULATE_DECAPSULATE': [{ use: ['ml-kem-768'], wrap: 'wrap-ml-kem' }],
  'ML_KEM_1024/ENCAPSULATE_DECAPSULATE': [{ use: ['ml-kem-1024'], wrap: 'wrap-ml-kem' }],
}

/** Larger RSA keys take seconds to make: at a start they stand on what RSA-2048 has shown and on the sizes that the token tells. */
const onTrust: ReadonlySet<CapabilityName> = new Set(['rsa-3072', 'rsa-4096'])

export function makeableKeys(found: readonly Capability[]): MakeableKeys {
  const usable = (name: CapabilityName): boolean =>
    has(found, name) || (onTrust.has(name) && has(found, 'rsa-2048') && found.some(one => one.name === name && one.outcome === 'unprobed'))
  const keys = Object.entries(ways) as [MakeableKey, readonly Way[]][]
  const those = (works: (way: Way) => boolean): MakeableKey[] => keys.filter(([, every]) => every.some(works)).map(([key]) => key)
  return {
    wrapped: those(({ use, wrap }) => [...use, wrap].every(usable)),
    resident: those(({ use }) => use.every(usable)),
  }
}
