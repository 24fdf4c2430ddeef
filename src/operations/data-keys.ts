// GenerateDataKey, with and without the plaintext: bytes of the token's random number generator, encrypted under the key.
import { KmsError } from '../errors.ts'
import type { Hsm } from '../hsm/hsm.ts'
import type { KeyEntry } from '../cache/key-entry.ts'
import { encodeContext, type EncryptionContext } from '../keys/context.ts'
import { usable } from '../keys/state.ts'
import { enumeration, integer, required } from '../shape/shape.ts'
import { currentOf } from './current-material.ts'
import { dryRun, encryptionContext, grantTokens, keyId, listedKeySpecs, recipient } from './members.ts'
import { from, operation, type KeyNeed } from './operation.ts'
import { noteRecipient, recipientOf, secretFor } from './recipient.ts'

const lengths = { AES_256: 32, AES_128: 16 } as const

const numberOfBytes = integer({ min: 1, max: 1024 })
// AWS was seen to print the key specs of CreateKey here.
const keySpec = enumeration(['AES_256', 'AES_128'], { listed: listedKeySpecs })

const need = (permission: `kms:${string}`): KeyNeed => ({
  key: from('KeyId'), permission, usage: 'ENCRYPT_DECRYPT', symmetric: true, states: usable, aliases: true, otherAccounts: true, grantable: true,
  context: 'EncryptionContext',
})

interface Size {
  readonly KeySpec?: keyof typeof lengths | undefined
  readonly NumberOfBytes?: number | undefined
}

/** Bytes. @throws ValidationException unless exactly one of the two is given */
function lengthOf({ KeySpec, NumberOfBytes }: Size): number {
  if ((KeySpec === undefined) === (NumberOfBytes === undefined)) throw new KmsError('ValidationException', 'Please specify either number of bytes or key spec.')
  return NumberOfBytes ?? lengths[KeySpec ?? 'AES_256']
}

async function generate(hsm: Hsm, entry: KeyEntry, context: EncryptionContext | undefined, length: number): Promise<{ plaintext: Buffer; blob: Buffer }> {
  const plaintext = await hsm.random(length)
  try {
    return { plaintext, blob: await hsm.encrypt(currentOf(entry), encodeContext(context), plaintext) }
  } catch (thrown) {
    plaintext.fill(0)
    throw thrown
  }
}

export const GenerateDataKey = operation({
  kind: 'use',
  input: {
    KeyId: required(keyId), EncryptionContext: encryptionContext, NumberOfBytes: numberOfBytes, KeySpec: keySpec, GrantTokens: grantTokens,
    Recipient: recipient, DryRun: dryRun,
  },
  needs: { key: need('kms:GenerateDataKey') },
  readOnly: true,
  audit: ['KeySpec', 'NumberOfBytes', 'EncryptionContext', 'DryRun'],
  check(input) {
    lengthOf(input)
  },
  async handle({ input, keys, hsm, notes, settings }) {
    const { key } = keys.key
    const recipient = recipientOf(settings, input.Recipient)
    const { plaintext, blob } = await generate(hsm, keys.key, input.EncryptionContext, lengthOf(input))
    const keyMaterialId = key.currentMaterialId?.toString('hex')
    notes.additionalEventData = { keyMaterialId }
    noteRecipient(notes, recipient)
    return { CiphertextBlob: blob, ...secretFor(recipient, 'Plaintext', plaintext), KeyId: key.arn, ...(recipient === undefined ? { KeyMaterialId: keyMaterialId } : {}) }
  },
})

export const GenerateDataKeyWithoutPlaintext = operation({
  kind: 'use',
  input: {
    KeyId: required(keyId), EncryptionContext: encryptionContext, KeySpec: keySpec, NumberOfBytes: numberOfBytes, GrantTokens: grantTokens, DryRun: dryRun,
  },
  needs: { key: need('kms:GenerateDataKeyWithoutPlaintext') },
  readOnly: true,
  audit: ['KeySpec', 'NumberOfBytes', 'EncryptionContext', 'DryRun'],
  check(input) {
    lengthOf(input)
  },
  async handle({ input, keys, hsm, notes }) {
    const { key } = keys.key
    const { plaintext, blob } = await generate(hsm, keys.key, input.EncryptionContext, lengthOf(input))
    plaintext.fill(0)
    const keyMaterialId = key.currentMaterialId?.toString('hex')
    notes.additionalEventData = { keyMaterialId }
    return { CiphertextBlob: blob, KeyId: key.arn, KeyMaterialId: keyMaterialId }
  },
})
