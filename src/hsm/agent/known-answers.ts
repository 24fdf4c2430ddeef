// Inputs and answers that are known from elsewhere. None of these keys is used for anything else.

const hex = (digits: string): Buffer => Buffer.from(digits, 'hex')

/** McGrew and Viega, "The Galois/Counter Mode of Operation", appendix B, test case 16. */
export const gcmAnswer = {
  key: hex('feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308'),
  iv: hex('cafebabefacedbaddecaf888'),
  aad: hex('feedfacedeadbeeffeedfacedeadbeefabaddad2'),
  plaintext: hex('d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39'),
  /** Ciphertext and tag. */
  sealed: hex('522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f66276fc6ece0f4e1768cddf8853bb2d551b'),
} as const

/** RFC 4231, test case 6: the one with a key that is long enough for every token and every hash. */
export const hmacAnswer = {
  key: Buffer.alloc(131, 0xaa),
  data: Buffer.from('Test Using Larger Than Block-Size Key - Hash Key First'),
  224: hex('95e9a0db962095adaebe9b2d6f0dbce2d499f112f2d2b7273fa6870e'),
  256: hex('60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54'),
  384: hex('4ece084485813e9088d2c63a041bc5b44f9ef1012a2b588f3cd11f05033ac4c60c2ef6ab4030fe8296248df163f44952'),
  512: hex('80b24263c7c1a3ebb71493c1dd7be8b49b46d1f41b4aeec1121b013783f8f3526b56d037e05f2598bd0fd2215d6a1e5295e64f73f63f0aec8b915a985d786598'),
} as const

/** RFC 8017, section 9.2, note 1: DER of a DigestInfo up to the digest. */
export const digestInfo = {
  256: hex('3031300d060960864801650304020105000420'),
  384: hex('3041300d060960864801650304020205000430'),
  512: hex('3051300d060960864801650304020305000440'),
} as const

/** What is signed, wrapped and encrypted where any text will do. */
export const sample = Buffer.from('trent/probe/1')

/** DER of the named curves' object identifiers, and what node:crypto calls the curves. */
export const curves = {
  'p256': { oid: hex('06082a8648ce3d030107'), jwk: 'P-256', node: 'prime256v1', bytes: 32, hash: 'sha256' },
  'p384': { oid: hex('06052b81040022'), jwk: 'P-384', node: 'secp384r1', bytes: 48, hash: 'sha384' },
  'p521': { oid: hex('06052b81040023'), jwk: 'P-521', node: 'secp521r1', bytes: 66, hash: 'sha512' },
  'secp256k1': { oid: hex('06052b8104000a'), jwk: 'secp256k1', node: 'secp256k1', bytes: 32, hash: 'sha256' },
} as const

/** Ed25519ph: RFC 8032, section 7.3. */
export const ed25519phAnswer = {
  publicKey: hex('ec172b93ad5e563bf4932c70e1245034c35467ef2efd4d64ebf819683467e2bf'),
  message: Buffer.from('abc'),
  signature: hex('98a70222f0b8121aa9d30f813d683f809e462b469c7ff87639499bb94e6dae4131f85042463c2a355a2003d062adf5aaa10b8c61e636062aaad11c2a26083406'),
} as const
