// Encapsulate, Decapsulate: ML-KEM, both sides in the token.
import { invalidCiphertext } from '../keys/ciphertext.ts'
import { mlKemSets } from '../keys/post-quantum.ts'
import { keySpecs } from '../keys/spec.ts'
import { usable } from '../keys/state.ts'
import { enumeration, required } from '../shape/shape.ts'
import { currentOf } from './current-material.ts'
import { ciphertextBlob, dryRun, grantTokens, keyId } from './members.ts'
import { from, operation, type KeyNeed } from './operation.ts'

/** Where someone has taken it out of the database: the agent refuses it, with the alarm. */
const none = Buffer.alloc(0)

const algorithm = enumeration(['ML_KEM'])
const need = (permission: `kms:${string}`): KeyNeed => ({
  key: from('KeyId'), permission, usage: 'ENCAPSULATE_DECAPSULATE', algorithm: 'EncapsulationAlgorithm', states: usable, aliases: true, otherAccounts: true, grantable: true,
})

export const Encapsulate = operation({
  kind: 'use',
  input: { KeyId: required(keyId), EncapsulationAlgorithm: required(algorithm), GrantTokens: grantTokens, DryRun: dryRun },
  needs: { key: need('kms:Encapsulate') },
  readOnly: true,
  audit: ['EncapsulationAlgorithm', 'DryRun'],
  async handle({ input, keys, hsm }) {
    const { key, spki } = keys.key
    const { secret, ciphertext } = await hsm.encapsulate(currentOf(keys.key), spki ?? none)
    return { KeyId: key.arn, SharedSecret: secret, SharedSecretCiphertextBlob: ciphertext, EncapsulationAlgorithm: input.EncapsulationAlgorithm }
  },
})

export const Decapsulate = operation({
  kind: 'use',
  input: {
    KeyId: required(keyId), SharedSecretCiphertextBlob: required(ciphertextBlob), EncapsulationAlgorithm: required(algorithm), GrantTokens: grantTokens, DryRun: dryRun,
  },
  needs: { key: need('kms:Decapsulate') },
  readOnly: true,
  audit: ['EncapsulationAlgorithm', 'DryRun'],
  async handle({ input, keys, hsm }) {
    const { key } = keys.key
    const { built } = keySpecs[key.spec]
    // All that can be wrong with one: of another key, or altered, it gives a secret that nobody else has (FIPS 203, 6.3).
    if (built?.kind !== 'mlKem' || input.SharedSecretCiphertextBlob.length !== mlKemSets[built.set].ciphertextBytes) throw invalidCiphertext()
    const secret = await hsm.decapsulate(currentOf(keys.key), input.SharedSecretCiphertextBlob)
    return { KeyId: key.arn, SharedSecret: secret, EncapsulationAlgorithm: input.EncapsulationAlgorithm }
  },
})
