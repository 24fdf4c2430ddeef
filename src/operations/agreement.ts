// DeriveSharedSecret: ECDH of a key of ours with the public key of another.
import { KmsError } from '../errors.ts'
import { pointOf } from '../keys/public-key.ts'
import { keySpecs, type KeySpecName } from '../keys/spec.ts'
import { usable } from '../keys/state.ts'
import { blob, enumeration, required } from '../shape/shape.ts'
import { currentOf } from './current-material.ts'
import { dryRun, grantTokens, keyId, recipient } from './members.ts'
import { from, operation } from './operation.ts'
import { noteRecipient, recipientOf, secretFor } from './recipient.ts'

export const DeriveSharedSecret = operation({
  kind: 'use',
  input: {
    KeyId: required(keyId), KeyAgreementAlgorithm: required(enumeration(['ECDH'])), PublicKey: required(blob({ min: 1, max: 8192 })), GrantTokens: grantTokens,
    DryRun: dryRun, Recipient: recipient,
  },
  needs: {
    key: {
      key: from('KeyId'), permission: 'kms:DeriveSharedSecret', usage: 'KEY_AGREEMENT', algorithm: 'KeyAgreementAlgorithm', states: usable, aliases: true,
      otherAccounts: true, grantable: true,
    },
  },
  readOnly: true,
  audit: ['KeyAgreementAlgorithm', 'DryRun'],
  async handle({ input, keys, hsm, notes, settings }) {
    const { key } = keys.key
    // AWS says nothing more of a public key that is none, of another curve, off the curve or at infinity.
    if (!fits(key.spec, input.PublicKey)) throw new KmsError('ValidationException')
    const recipient = recipientOf(settings, input.Recipient)
    noteRecipient(notes, recipient)
    const secret = await hsm.deriveSecret(currentOf(keys.key), input.PublicKey)
    return { KeyId: key.arn, ...secretFor(recipient, 'SharedSecret', secret), KeyAgreementAlgorithm: input.KeyAgreementAlgorithm, KeyOrigin: key.origin }
  },
})

function fits(spec: KeySpecName, spki: Buffer): boolean {
  const { built } = keySpecs[spec]
  return built?.kind === 'ec' && pointOf(built.curve, spki) !== undefined
}
