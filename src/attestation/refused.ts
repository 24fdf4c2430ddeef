/** An attestation document that is not to be believed. Its text says why: the document is its sender's own, and no secret. */
export class AttestationRefused extends Error {
  override readonly name = 'AttestationRefused'
}
