// GenerateRandom: bytes of the token's random number generator.
import { KmsError } from '../errors.ts'
import { integer } from '../shape/shape.ts'
import { customKeyStoreId, recipient } from './members.ts'
import { operation } from './operation.ts'
import { noteRecipient, recipientOf, secretFor } from './recipient.ts'

export const GenerateRandom = operation({
  kind: 'use',
  input: { NumberOfBytes: integer({ min: 1, max: 1024 }), CustomKeyStoreId: customKeyStoreId, Recipient: recipient },
  needs: {},
  account: [{ permission: 'kms:GenerateRandom' }],
  readOnly: true,
  audit: ['NumberOfBytes', 'CustomKeyStoreId'],
  check({ NumberOfBytes, CustomKeyStoreId }) {
    if (NumberOfBytes === undefined) throw new KmsError('ValidationException', 'NumberOfBytes is required.')
    // There is no custom key store that the id could name.
    if (CustomKeyStoreId !== undefined) throw new KmsError('CustomKeyStoreNotFoundException')
  },
  async handle({ input, hsm, settings, notes }) {
    const recipient = recipientOf(settings, input.Recipient)
    noteRecipient(notes, recipient)
    return secretFor(recipient, 'Plaintext', await hsm.random(input.NumberOfBytes ?? 0))
  },
})
