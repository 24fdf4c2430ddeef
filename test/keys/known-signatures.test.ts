// Signatures that others have published: whatever node:crypto and our own reading of digests agree on, these say whether they are right.
import { createHash } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { derSignature } from '../../src/keys/ecdsa.ts'
import { ecSpki, edwardsSpki, readPublicKey, type PublicKey } from '../../src/keys/public-key.ts'
import { verifyMessage, verifySigned } from '../../src/keys/signature.ts'
import { digestSigning } from '../../src/keys/spec.ts'

const hex = (text: string): Buffer => Buffer.from(text, 'hex')
function publicKey(spki: Buffer): PublicKey {
  const read = readPublicKey(spki)
  if (read === undefined) throw new Error('no public key')
  return read
}

describe('RFC 6979, appendix A.2, of "sample"', () => {
  it.each([
    [
      'ECC_NIST_P256', 'P-256', 'ECDSA_SHA_256',
      '60FED4BA255A9D31C961EB74C6356D68C049B8923B61FA6CE669622E60F29FB67903FE1008B8BC99A41AE9E95628BC64F2F1B20C2D7E9F5177A3C294D4462299',
      'EFD48B2AACB6A8FD1140DD9CD45E81D69D2C877B56AAF991C34D0EA84EAF3716F7CB1C942D657C41D436C7A1B6E29F65F3E900DBB9AFF4064DC4AB2F843ACDA8',
    ],
    [
      'ECC_NIST_P384', 'P-384', 'ECDSA_SHA_384',
      'EC3A4E415B4E19A4568618029F427FA5DA9A8BC4AE92E02E06AAE5286B300C64DEF8F0EA9055866064A254515480BC138015D9B72D7D57244EA8EF9AC0C621896708A59367F9DFB9F54CA84B3F1C9DB1288B231C3AE0D4FE7344FD2533264720',
      '94EDBB92A5ECB8AAD4736E56C691916B3F88140666CE9FA73D64C4EA95AD133C81A648152E44ACF96E36DD1E80FABE4699EF4AEB15F178CEA1FE40DB2603138F130E740A19624526203B6351D0A3A94FA329C145786E679E7B82C71A38628AC8',
    ],
  ] as const)('%s', (spec, curve, algorithm, point, signature) => {
    const key = publicKey(ecSpki(curve, hex(`04${point}`)))
    const message = Buffer.from('sample')
    const digest = createHash(digestSigning[algorithm].hash).update(message).digest()
    const given = derSignature(hex(signature))
    expect(verifyMessage(key, algorithm, message, given)).toBe(true)
    expect(verifySigned(spec, key, algorithm, digest, given)).toBe(true)
    expect(verifyMessage(key, algorithm, Buffer.from('test'), given)).toBe(false)
  })
})

it('RFC 8032, section 7.1, test 2: ECC_NIST_EDWARDS25519', () => {
  const key = publicKey(edwardsSpki(hex('3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c')))
  const signature = hex('92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00')
  expect(verifySigned('ECC_NIST_EDWARDS25519', key, 'ED25519_SHA_512', hex('72'), signature)).toBe(true)
  expect(verifySigned('ECC_NIST_EDWARDS25519', key, 'ED25519_SHA_512', hex('73'), signature)).toBe(false)
})
