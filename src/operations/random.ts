// GenerateRandom: bytes of the token's random number generator.
import { KmsError } from '../errors.ts'
import { integer } from '../shape/shape.ts'
import { customKeyStoreId, recipient } from './members.ts'
import { operation } from './operation.ts'
import { refuseRecipient } from './recipient.ts'

export const GenerateRandom = operation({
  kind: 'use',
  input: { NumberOfBytes: integer({ min: 1, max: 1024 }), CustomKeyStoreId: customKeyStoreId, Recipient: recipient },
  needs: {},
  account: [{ permission: 'kms:GenerateRandom' }],
  readOnly: true,
  audit: ['NumberOfBytes', 'CustomKeyStoreId'],
  check({ NumberOfBytes, CustomKeyStoreId, Recipient }) {
    if (NumberOfBytes === undefined) throw new KmsError('ValidationException', 'NumberOfBytes is required.')
    // There is no custom key store that the id could name.
    if (CustomKeyStoreId !== undefined) throw new KmsError('CustomKeyStoreNotFoundException')
    refuseRecipient(Recipient)
  },
  async handle({ input, hsm }) {
    return { Plaintext: await hsm.random(input.NumberOfBytes ?? 0) }
  },
})
