// Recipient asks for the answer encrypted to an enclave whose attestation document has been verified. No root to verify against is
// configured, so the request is refused: answering in clear would hand the caller what only the enclave may see.
import { KmsError } from '../errors.ts'

/** @throws UnsupportedOperationException */
export function refuseRecipient(recipient: object | undefined): void {
  if (recipient !== undefined) throw new KmsError('UnsupportedOperationException', 'No root of trust for attestation documents is configured: Recipient cannot be verified.')
}
