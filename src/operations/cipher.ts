// Encrypt, Decrypt, ReEncrypt: plaintext of up to 4,096 bytes under a symmetric key in the HSM, or of what fits under an RSA key, whose
// public half encrypts here.
import type { KeyEntry } from '../cache/key-entry.ts'
import { KmsError } from '../errors.ts'
import { PlaintextTooLong, type ReencryptSide } from '../hsm/hsm.ts'
import { invalidCiphertext, parseCiphertext } from '../keys/ciphertext.ts'
import { encodeContext, type EncryptionContext } from '../keys/context.ts'
import type { Key } from '../keys/key.ts'
import type { SealedMaterial } from '../keys/material.ts'
import { encryptOaep, fitsOaep, oaepLimit } from '../keys/rsa-encryption.ts'
import { isRsaEncryption, type RsaEncryptionAlgorithm } from '../keys/spec.ts'
import { usable } from '../keys/state.ts'
import { currentOf } from './current-material.ts'
import { required } from '../shape/shape.ts'
import { ciphertextBlob, dryRun, dryRunModifiers, encryptionAlgorithm, encryptionContext, grantTokens, keyId, plaintext, recipient } from './members.ts'
import { from, fromCiphertext, operation } from './operation.ts'
import { publicKeyOf } from './public-key-of.ts'
import { noteRecipient, recipientOf, secretFor } from './recipient.ts'

export const Encrypt = operation({
  kind: 'use',
  input: {
    KeyId: required(keyId), Plaintext: required(plaintext), EncryptionContext: encryptionContext, GrantTokens: grantTokens,
    EncryptionAlgorithm: encryptionAlgorithm, DryRun: dryRun,
  },
  needs: {
    key: {
      key: from('KeyId'), permission: 'kms:Encrypt', usage: 'ENCRYPT_DECRYPT', algorithm: 'EncryptionAlgorithm', states: usable,
      aliases: true, otherAccounts: true, grantable: true, context: 'EncryptionContext',
    },
  },
  readOnly: true,
  defaults: { EncryptionAlgorithm: 'SYMMETRIC_DEFAULT' },
  audit: ['EncryptionAlgorithm', 'EncryptionContext', 'DryRun'],
  async handle({ input, keys, hsm, notes }) {
    const { key } = keys.key
    const algorithm = input.EncryptionAlgorithm
    if (isRsaEncryption(algorithm)) {
      refuseContext(algorithm, input.EncryptionContext)
      if (!fitsOaep(key.spec, algorithm, input.Plaintext.length)) throw tooLong(key, algorithm)
      return { CiphertextBlob: encryptOaep(await publicKeyOf(hsm, keys.key), algorithm, input.Plaintext), KeyId: key.arn, EncryptionAlgorithm: algorithm }
    }
    const blob = await hsm.encrypt(currentOf(keys.key), encodeContext(input.EncryptionContext), input.Plaintext)
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
      key: fromCiphertext('CiphertextBlob', 'KeyId'), permission: 'kms:Decrypt', usage: 'ENCRYPT_DECRYPT', algorithm: 'EncryptionAlgorithm', states: usable,
      aliases: true, otherAccounts: true, grantable: true, context: 'EncryptionContext',
    },
  },
  readOnly: true,
  defaults: { EncryptionAlgorithm: 'SYMMETRIC_DEFAULT' },
  audit: ['EncryptionAlgorithm', 'EncryptionContext', 'DryRun', 'DryRunModifiers'],
  check({ CiphertextBlob, KeyId, DryRun, DryRunModifiers }) {
    requireCiphertext('KeyId', CiphertextBlob, KeyId, DryRun, DryRunModifiers)
  },
  async handle({ input, keys, hsm, notes, settings }) {
    const { key } = keys.key
    const algorithm = input.EncryptionAlgorithm
    const recipient = recipientOf(settings, input.Recipient)
    noteRecipient(notes, recipient)
    if (isRsaEncryption(algorithm)) {
      refuseContext(algorithm, input.EncryptionContext)
      const plaintext = await hsm.decryptRsa(currentOf(keys.key), algorithm, input.CiphertextBlob ?? Buffer.alloc(0))
      return { KeyId: key.arn, ...secretFor(recipient, 'Plaintext', plaintext), EncryptionAlgorithm: algorithm }
    }
    const { blob, sealed, keyMaterialId } = openable(keys.key, input.CiphertextBlob)
    const opened = await hsm.decrypt(sealed, encodeContext(input.EncryptionContext), blob)
    notes.additionalEventData = { keyMaterialId, ...notes.additionalEventData }
    return {
      KeyId: key.arn, ...secretFor(recipient, 'Plaintext', opened), EncryptionAlgorithm: input.EncryptionAlgorithm,
      ...(recipient === undefined ? { KeyMaterialId: keyMaterialId } : {}),
    }
  },
})

export const ReEncrypt = operation({
  kind: 'use',
  input: {
    CiphertextBlob: ciphertextBlob, SourceEncryptionContext: encryptionContext, SourceKeyId: keyId, DestinationKeyId: required(keyId),
    DestinationEncryptionContext: encryptionContext, SourceEncryptionAlgorithm: encryptionAlgorithm,
    DestinationEncryptionAlgorithm: encryptionAlgorithm, GrantTokens: grantTokens, DryRun: dryRun, DryRunModifiers: dryRunModifiers,
  },
  needs: {
    source: {
      key: fromCiphertext('CiphertextBlob', 'SourceKeyId'), permission: 'kms:ReEncryptFrom', usage: 'ENCRYPT_DECRYPT', algorithm: 'SourceEncryptionAlgorithm',
      states: usable, aliases: true, otherAccounts: true, grantable: true, context: 'SourceEncryptionContext',
    },
    destination: {
      key: from('DestinationKeyId'), permission: 'kms:ReEncryptTo', usage: 'ENCRYPT_DECRYPT', algorithm: 'DestinationEncryptionAlgorithm',
      states: usable, aliases: true, otherAccounts: true, grantable: true, context: 'DestinationEncryptionContext',
    },
  },
  readOnly: true,
  defaults: { SourceEncryptionAlgorithm: 'SYMMETRIC_DEFAULT', DestinationEncryptionAlgorithm: 'SYMMETRIC_DEFAULT' },
  audit: ['SourceEncryptionAlgorithm', 'SourceEncryptionContext', 'DestinationEncryptionAlgorithm', 'DestinationEncryptionContext', 'DryRun', 'DryRunModifiers'],
  check({ CiphertextBlob, SourceKeyId, DryRun, DryRunModifiers }) {
    requireCiphertext('SourceKeyId', CiphertextBlob, SourceKeyId, DryRun, DryRunModifiers)
  },
  async handle({ input, keys, hsm, notes }) {
    const { source, destination } = keys
    const blob = input.CiphertextBlob ?? Buffer.alloc(0)
    const from = sourceSide(source, input.SourceEncryptionAlgorithm, input.SourceEncryptionContext, blob)
    const to = destinationSide(destination, input.DestinationEncryptionAlgorithm, input.DestinationEncryptionContext)
    const made = await hsm.reencrypt(from.side, to.side, blob).catch((thrown: unknown) => {
      throw thrown instanceof PlaintextTooLong && isRsaEncryption(input.DestinationEncryptionAlgorithm) ? tooLong(destination.key, input.DestinationEncryptionAlgorithm) : thrown
    })
    notes.additionalEventData = { sourceKeyMaterialId: from.keyMaterialId, destinationKeyMaterialId: to.keyMaterialId }
    return {
      CiphertextBlob: made, SourceKeyId: source.key.arn, KeyId: destination.key.arn,
      SourceEncryptionAlgorithm: input.SourceEncryptionAlgorithm, DestinationEncryptionAlgorithm: input.DestinationEncryptionAlgorithm,
      SourceKeyMaterialId: from.keyMaterialId, DestinationKeyMaterialId: to.keyMaterialId,
    }
  },
})

/** One side of ReEncrypt, and the name of its material where AWS gives it. */
interface Side {
  readonly side: ReencryptSide
  readonly keyMaterialId: string | undefined
}

function sourceSide(entry: KeyEntry, algorithm: string | undefined, context: EncryptionContext | undefined, blob: Buffer): Side {
  if (isRsaEncryption(algorithm)) return rsaSide(entry, algorithm, context)
  const { sealed, keyMaterialId } = openable(entry, blob)
  return { side: { material: sealed, context: encodeContext(context) }, keyMaterialId }
}

function destinationSide(entry: KeyEntry, algorithm: string | undefined, context: EncryptionContext | undefined): Side {
  if (isRsaEncryption(algorithm)) return rsaSide(entry, algorithm, context)
  return { side: { material: currentOf(entry), context: encodeContext(context) }, keyMaterialId: entry.key.currentMaterialId?.toString('hex') }
}

function rsaSide(entry: KeyEntry, algorithm: RsaEncryptionAlgorithm, context: EncryptionContext | undefined): Side {
  refuseContext(algorithm, context)
  return { side: { material: currentOf(entry), algorithm, spki: entry.spki ?? Buffer.alloc(0) }, keyMaterialId: undefined }
}

/** RSA has no additional authenticated data. AWS refuses a context too; its text is not known. @throws ValidationException */
function refuseContext(algorithm: string, context: EncryptionContext | undefined): void {
  if (context !== undefined && context.size > 0) throw new KmsError('ValidationException', `EncryptionContext is not supported with algorithm ${algorithm}.`)
}

const tooLong = ({ spec }: Key, algorithm: RsaEncryptionAlgorithm): KmsError =>
  new KmsError('ValidationException', `Algorithm ${algorithm} and key spec ${spec} cannot encrypt data larger than ${oaepLimit(spec, algorithm)} bytes.`)

/** @throws InvalidCiphertextException when the blob names a material that the key does not have: forged or damaged, like any other wrong byte */
function openable(entry: KeyEntry, blob: Buffer | undefined): { blob: Buffer; sealed: SealedMaterial; keyMaterialId: string } {
  if (blob === undefined) throw invalidCiphertext()
  const { header } = parseCiphertext(blob)
  const sealed = entry.material(header.materialId, header.backing)
  if (sealed === undefined) throw invalidCiphertext()
  return { blob, sealed, keyMaterialId: header.materialId.toString('hex') }
}

/** The ciphertext may be left out only where a dry run says that it does not count, and then the key must be named. @throws ValidationException */
function requireCiphertext(
  keyMember: string, blob: Buffer | undefined, key: string | undefined, dryRunAsked: boolean | undefined, modifiers: readonly string[] = [],
): void {
  const ignored = modifiers.includes('IGNORE_CIPHERTEXT')
  if (ignored && dryRunAsked !== true) throw new KmsError('ValidationException', 'DryRunModifiers can only be specified when DryRun is true.')
  if (blob === undefined && !ignored) throw new KmsError('ValidationException', "1 validation error detected: Value null at 'ciphertextBlob' failed to satisfy constraint: Member must not be null")
  if (blob === undefined && key === undefined) throw new KmsError('ValidationException', `${keyMember} is required when CiphertextBlob is not specified.`)
}
