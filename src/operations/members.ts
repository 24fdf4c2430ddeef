// Members that many operations share, with the bounds of the service's model.
import { blob, boolean, enumeration, integer, list, map, structure, text } from '../shape/shape.ts'

export const keyId = text({ min: 1, max: 2048 })
export const grantTokens = list(text({ min: 1, max: 8192 }), { min: 0, max: 10 })
export const encryptionContext = map(text(), text())
export const encryptionAlgorithm = enumeration(['SYMMETRIC_DEFAULT', 'RSAES_OAEP_SHA_1', 'RSAES_OAEP_SHA_256', 'SM2PKE'])
export const dryRun = boolean()
export const dryRunModifiers = list(enumeration(['IGNORE_CIPHERTEXT']))
export const plaintext = blob({ min: 1, max: 4096, sensitive: true })
export const ciphertextBlob = blob({ min: 1, max: 6144 })
export const limit = integer({ min: 1, max: 1000 })
export const marker = text({ min: 1, max: 1024, pattern: '[\\u0020-\\u00FF]*' })
export const customKeyStoreId = text({ min: 1, max: 64 })
export const policy = text({ min: 1, max: 131072, pattern: '[\\u0009\\u000A\\u000D\\u0020-\\u00FF]+' })
export const description = text({ min: 0, max: 8192 })
export const recipient = structure({
  KeyEncryptionAlgorithm: enumeration(['RSAES_OAEP_SHA_256']),
  AttestationDocument: blob({ min: 1, max: 262144 }),
})

// AWS prints the members of an enumeration in the order of a hash table. The first twelve specs and three usages were recorded in
// that order; where the newer ones stand is not known, they follow.
export const listedKeySpecs = [
  'RSA_2048', 'ECC_NIST_P384', 'ECC_NIST_P256', 'ECC_NIST_P521', 'HMAC_384', 'RSA_3072', 'ECC_SECG_P256K1', 'RSA_4096', 'SYMMETRIC_DEFAULT',
  'HMAC_256', 'HMAC_224', 'HMAC_512', 'SM2', 'ML_DSA_44', 'ML_DSA_65', 'ML_DSA_87', 'ECC_NIST_EDWARDS25519', 'ML_KEM_512', 'ML_KEM_768', 'ML_KEM_1024',
]
export const listedKeyUsages = ['ENCRYPT_DECRYPT', 'SIGN_VERIFY', 'GENERATE_VERIFY_MAC', 'KEY_AGREEMENT', 'ENCAPSULATE_DECAPSULATE']
