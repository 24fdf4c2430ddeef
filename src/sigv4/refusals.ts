// What a caller is told whose signature does not pass, in AWS's words. The texts that name several faults at once were observed
// on AWS's JSON 1.1 front end; they stand here so that nothing else in this folder holds wording.
import { KmsError } from '../errors.ts'

/** The signature is not the one computed, or something that must be unambiguous is not. Never says which. */
export const mismatch = (): KmsError => new KmsError(
  'InvalidSignatureException',
  'The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method. '
  + 'Consult the service documentation for details.',
)

export const missingToken = (): KmsError => new KmsError('MissingAuthenticationTokenException', 'Missing Authentication Token')

export const unrecognizedClient = (): KmsError =>
  new KmsError('UnrecognizedClientException', 'The security token included in the request is invalid.')

export const invalid = (text: string): KmsError => new KmsError('InvalidSignatureException', text)

export const incomplete = (text: string): KmsError => new KmsError('IncompleteSignatureException', text)
