// Numbers of PKCS#11 v3.0 and v3.2 that pkcs11js does not name.
export const newer = {
  RSA_AES_KEY_WRAP: 0x1054, EC_EDWARDS_KEY_PAIR_GEN: 0x1055, EDDSA: 0x1057, ML_KEM_KEY_PAIR_GEN: 0x0f, ML_KEM: 0x17, ML_DSA_KEY_PAIR_GEN: 0x1c, ML_DSA: 0x1d,
} as const

export const newerKeyTypes = { EC_EDWARDS: 0x40, ML_KEM: 0x49, ML_DSA: 0x4a } as const
