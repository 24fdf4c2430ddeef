// Encrypt, Decrypt: plaintext of up to 4,096 bytes under a symmetric key in the HSM.
import { KmsError } from '../errors.ts'
import { invalidCiphertext, parseCiphertext } from '../keys/ciphertext.ts'
import { encodeContext } from '../keys/context.ts'
import { required } from '../shape/shape.ts'
import { ciphertextBlob, dryRun, dryRunModifiers, encryptionAlgorithm, encryptionContext, grantTokens, keyId, plaintext, recipient } from './members.ts'
import { from, fromCiphertext, operation } from './operation.ts'
import { refuseRecipient } from './recipient.ts'

export const Encrypt = operation({
  kind: 'use',
  input: {
    KeyId: required(keyId), Plaintext: required(plaintext), EncryptionContext: encryptionContext, GrantTokens: grantTokens,
    EncryptionAlgorithm: encryptionAlgorithm, DryRun: dryRun,
  },
  needs: {
    key: {
      key: from('KeyId'), permission: 'kms:Encrypt', usage: 'ENCRYPT_DECRYPT', algorithm: 'EncryptionAlgorithm', states: ['Enabled'],
      aliases: true, otherAccounts: true, grantable: true, context: 'EncryptionContext',
    },
  },
  readOnly: true,
  defaults: { EncryptionAlgorithm: 'SYMMETRIC_DEFAULT' },
  audit: ['EncryptionAlgorithm', 'EncryptionContext', 'DryRun'],
  async handle({ input, keys, hsm, notes }) {
    const { key, current } = keys.key
    if (current === undefined) throw new KmsError('KeyUnavailableException')
    const blob = await hsm.encrypt(current, encodeContext(input.EncryptionContext), input.Plaintext)
    notes.additionalEventData = { keyMaterialId: key.currentMaterialId?.toString('hex') }
    return { CiphertextBlob: blob, KeyId: key.arn, EncryptionAlgorithm: input.EncryptionAlgorithm }
  },
})

export const Decrypt = operation({
  kind: 'use',
  input: {
    CiphertextBlob: ciphertextBlob, EncryptionContext: encryptionContext, GrantTokens: grantTokens, KeyId: keyId,
    EncryptionAlgorithm: encryptionAlgorithm, Recipient: recipient, DryRun: dryRun, DryRunModifiers: dryRunModifiers,
  },
  needs: {
    key: {
      key: fromCiphertext('CiphertextBlob', 'KeyId'), permission: 'kms:Decrypt', usage: 'ENCRYPT_DECRYPT', algorithm: 'EncryptionAlgorithm', states: ['Enabled'],
      aliases: true, otherAccounts: true, grantable: true, context: 'EncryptionContext',
    },
  },
  readOnly: true,
  defaults: { EncryptionAlgorithm: 'SYMMETRIC_DEFAULT' },
  audit: ['EncryptionAlgorithm', 'EncryptionContext', 'DryRun', 'DryRunModifiers'],
  check({ CiphertextBlob, KeyId, Recipient, DryRun, DryRunModifiers = [] }) {
    refuseRecipient(Recipient)
    const ignoresCiphertext = DryRunModifiers.includes('IGNORE_CIPHERTEXT')
    if (ignoresCiphertext && DryRun !== true) throw new KmsError('ValidationException', 'DryRunModifiers can only be specified when DryRun is true.')
    if (CiphertextBlob === undefined && !ignoresCiphertext) throw new KmsError('ValidationException', "1 validation error detected: Value null at 'ciphertextBlob' failed to satisfy constraint: Member must not be null")
    if (CiphertextBlob === undefined && KeyId === undefined) throw new KmsError('ValidationException', 'KeyId is required when CiphertextBlob is not specified.')
  },
  async handle({ input, keys, hsm, notes }) {
    const { key, material } = keys.key
    if (input.CiphertextBlob === undefined) throw invalidCiphertext()
    const { header } = parseCiphertext(input.CiphertextBlob)
    const sealed = material(header.materialId, header.backing)
    // The blob names a material that the key does not have: forged or damaged, like any other wrong byte of it.
    if (sealed === undefined) throw invalidCiphertext()
    const opened = await hsm.decrypt(sealed, encodeContext(input.EncryptionContext), input.CiphertextBlob)
    const keyMaterialId = header.materialId.toString('hex')
    notes.additionalEventData = { keyMaterialId }
    return { KeyId: key.arn, Plaintext: opened, EncryptionAlgorithm: input.EncryptionAlgorithm, KeyMaterialId: keyMaterialId }
  },
})
