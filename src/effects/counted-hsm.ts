// The HSM as operations get it: every AES-GCM encryption is counted before it is made.
import type { Hsm } from '../hsm/hsm.ts'
import type { Invocations } from './invocations.ts'

export const countedHsm = (hsm: Hsm, invocations: Pick<Invocations, 'take'>): Hsm => ({
  encrypt(material, context, plaintext) {
    const waiting = invocations.take(material)
    return waiting === undefined ? hsm.encrypt(material, context, plaintext) : waiting.then(() => hsm.encrypt(material, context, plaintext))
  },
  reencrypt(source, destination, blob) {
    const waiting = invocations.take(destination.material)
    return waiting === undefined ? hsm.reencrypt(source, destination, blob) : waiting.then(() => hsm.reencrypt(source, destination, blob))
  },
  decrypt: (material, context, blob) => hsm.decrypt(material, context, blob),
  decryptRsa: (material, algorithm, ciphertext) => hsm.decryptRsa(material, algorithm, ciphertext),
  sign: (material, algorithm, signed) => hsm.sign(material, algorithm, signed),
  verify: (material, spki, message, signature) => hsm.verify(material, spki, message, signature),
  encapsulate: (material, spki) => hsm.encapsulate(material, spki),
  decapsulate: (material, ciphertext) => hsm.decapsulate(material, ciphertext),
  deriveSecret: (material, spki) => hsm.deriveSecret(material, spki),
  publicKey: (material, spki) => hsm.publicKey(material, spki),
  mac: (material, message) => hsm.mac(material, message),
  random: length => hsm.random(length),
  create: (plan, again) => hsm.create(plan, again),
  seal: (material, aad, secret) => hsm.seal(material, aad, secret),
  unseal: (material, aad, sealed) => hsm.unseal(material, aad, sealed),
})
