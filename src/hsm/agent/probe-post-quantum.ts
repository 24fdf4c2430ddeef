// The probe's rows of ML-DSA and ML-KEM. node:crypto knows neither before OpenSSL 3.5, so one side of the token is held against the other;
// the tests hold both against an implementation that is not the token's.
import pkcs11 from 'pkcs11js'
import type { Handle, KeyPair } from 'pkcs11js'
import { mlDsaSets, mlKemSets, sharedSecretBytes, type MlDsaSet, type MlKemSet } from '../../keys/post-quantum.ts'
import { secretAttributes } from './encapsulation.ts'
import { sample } from './known-answers.ts'
import { newer, newerKeyTypes } from './newer.ts'
import { WrongAnswer, type ProbeBench } from './probe-bench.ts'
import { mechanisms } from './template.ts'

const signing = [newer.ML_DSA_KEY_PAIR_GEN, newer.ML_DSA]
const encapsulating = [newer.ML_KEM_KEY_PAIR_GEN, newer.ML_KEM]

export function probeMlDsa(bench: ProbeBench): void {
  const pair = (set: MlDsaSet, extractable: boolean): KeyPair =>
    bench.generatePair(mechanisms.mlDsaKeyPairGen(), { VERIFY: true, PARAMETER_SET: mlDsaSets[set].number }, { SIGN: true, EXTRACTABLE: extractable })
  const check = (set: MlDsaSet, privateKey: Handle, publicKey: Handle): void => {
    const { publicBytes, signatureBytes } = mlDsaSets[set]
    const signature = Buffer.from(bench.session.sign(mechanisms.mlDsa(), privateKey, sample, signatureBytes))
    const length = bench.session.get(publicKey, 'VALUE').length
    if (length !== publicBytes || signature.length !== signatureBytes) throw new WrongAnswer(`a public key of ${length} bytes, a signature of ${signature.length}`)
    if (!bench.session.verify(mechanisms.mlDsa(), publicKey, sample, signature)) throw new WrongAnswer('it does not verify')
    signature[signatureBytes >> 1] = (signature[signatureBytes >> 1] ?? 0) ^ 1
    if (bench.session.verify(mechanisms.mlDsa(), publicKey, sample, signature)) throw new WrongAnswer('a changed signature verifies')
  }
  for (const [name, set] of [['ml-dsa-44', 'ML-DSA-44'], ['ml-dsa-65', 'ML-DSA-65'], ['ml-dsa-87', 'ML-DSA-87']] as const) {
    bench.row(name, signing, () => {
      const { publicKey, privateKey } = pair(set, false)
      check(set, privateKey, publicKey)
      return ''
    })
  }
  bench.row('wrap-ml-dsa', signing, () => {
    const { publicKey, privateKey } = pair('ML-DSA-87', true)
    check('ML-DSA-87', bench.wrapAndBack(privateKey, { CLASS: pkcs11.CKO_PRIVATE_KEY, KEY_TYPE: newerKeyTypes.ML_DSA, SIGN: true }), publicKey)
    return ''
  })
  bench.clear()
}

export function probeMlKem(bench: ProbeBench): void {
  const pair = (set: MlKemSet, extractable: boolean): KeyPair =>
    bench.generatePair(mechanisms.mlKemKeyPairGen(), { ENCAPSULATE: true, PARAMETER_SET: mlKemSets[set].number }, { DECAPSULATE: true, EXTRACTABLE: extractable })
  const valueOf = (handle: Handle): Buffer => {
    const value = bench.session.get(handle, 'VALUE')
    bench.session.destroy(handle)
    return value
  }
  const check = (set: MlKemSet, privateKey: Handle, publicKey: Handle): void => {
    const { publicBytes, ciphertextBytes } = mlKemSets[set]
    const there = bench.session.encapsulate(publicKey, secretAttributes, ciphertextBytes)
    const value = valueOf(there.secret)
    const length = bench.session.get(publicKey, 'VALUE').length
    if (length !== publicBytes || there.ciphertext.length !== ciphertextBytes || value.length !== sharedSecretBytes) {
      throw new WrongAnswer(`a public key of ${length} bytes, a ciphertext of ${there.ciphertext.length}, a secret of ${value.length}`)
    }
    if (!valueOf(bench.session.decapsulate(privateKey, secretAttributes, there.ciphertext)).equals(value)) throw new WrongAnswer('another secret')
    there.ciphertext[0] = (there.ciphertext[0] ?? 0) ^ 1
    if (valueOf(bench.session.decapsulate(privateKey, secretAttributes, there.ciphertext)).equals(value)) throw new WrongAnswer('the same secret of a changed ciphertext')
  }
  for (const [name, set] of [['ml-kem-512', 'ML-KEM-512'], ['ml-kem-768', 'ML-KEM-768'], ['ml-kem-1024', 'ML-KEM-1024']] as const) {
    bench.row(name, encapsulating, () => {
      const { publicKey, privateKey } = pair(set, false)
      check(set, privateKey, publicKey)
      return ''
    })
  }
  bench.row('wrap-ml-kem', encapsulating, () => {
    const { publicKey, privateKey } = pair('ML-KEM-1024', true)
    check('ML-KEM-1024', bench.wrapAndBack(privateKey, { CLASS: pkcs11.CKO_PRIVATE_KEY, KEY_TYPE: newerKeyTypes.ML_KEM, DECAPSULATE: true }), publicKey)
    return ''
  })
  bench.clear()
}
