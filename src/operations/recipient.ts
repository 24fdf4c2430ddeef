// Recipient: the secret of an answer goes, encrypted, to an enclave whose attestation document has been verified, and to nobody else.
import { AttestationRefused } from '../attestation/refused.ts'
import { verifyDocument, type Attested } from '../attestation/document.ts'
import { KmsError } from '../errors.ts'
import { envelopedData } from '../keys/enveloped-data.ts'
import type { Notes, Settings } from './operation.ts'

interface Recipient {
  readonly KeyEncryptionAlgorithm?: string | undefined
  readonly AttestationDocument?: Buffer | undefined
}

/** Registers that CloudTrail shows, besides the first, which is the image's digest. */
const shownRegisters = [1, 2, 3, 4, 8]

/**
 * Whom the answer is for; undefined: the caller.
 * @throws UnsupportedOperationException where no root is configured; ValidationException for a document that is not to be believed
 */
export function recipientOf({ attestation }: Pick<Settings, 'attestation'>, recipient: Recipient | undefined): Attested | undefined {
  if (recipient === undefined) return undefined
  // Answering in clear would hand the caller what only the enclave may see.
  if (attestation === null) throw new KmsError('UnsupportedOperationException', 'No root of trust for attestation documents is configured: Recipient cannot be verified.')
  if (recipient.AttestationDocument === undefined || recipient.KeyEncryptionAlgorithm === undefined) {
    throw new KmsError('ValidationException', 'Recipient needs both KeyEncryptionAlgorithm and AttestationDocument.')
  }
  try {
    return verifyDocument(recipient.AttestationDocument, attestation, new Date())
  } catch (thrown) {
    if (thrown instanceof AttestationRefused) throw new KmsError('ValidationException', `The attestation document is not valid: ${thrown.message}.`)
    throw thrown
  }
}

/** The member of an answer that holds its secret, or what the recipient alone can open, and then the secret is wiped. */
export function secretFor(recipient: Attested | undefined, name: 'Plaintext' | 'PrivateKeyPlaintext' | 'SharedSecret', secret: Buffer): Readonly<Record<string, Buffer>> {
  if (recipient === undefined) return { [name]: secret }
  try {
    return { CiphertextForRecipient: envelopedData(recipient.publicKey, secret) }
  } finally {
    secret.fill(0)
  }
}

/** As CloudTrail tells of it. */
export function noteRecipient(notes: Notes, recipient: Attested | undefined): void {
  if (recipient === undefined) return
  const { moduleId, pcrs } = recipient
  const register = (number: number): string | undefined => pcrs.get(number)?.toString('hex')
  notes.additionalEventData = {
    ...notes.additionalEventData,
    recipient: {
      attestationDocumentModuleId: moduleId, attestationDocumentEnclaveImageDigest: register(0),
      ...Object.fromEntries(shownRegisters.map(number => [`attestationDocumentEnclavePCR${number}`, register(number)])),
    },
  }
}
