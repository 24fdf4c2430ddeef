import { KmsError } from '../../src/errors.ts'

export const mismatchText = 'The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key '
  + 'and signing method. Consult the service documentation for details.'

/** The type and text that a call is refused with; fails when it is not refused by a KmsError. */
export function refusal(call: () => unknown): { code: string, text: string | undefined } {
  try {
    call()
  } catch (error) {
    if (error instanceof KmsError) return { code: error.code, text: error.text }
    throw error
  }
  throw new Error('the call was not refused')
}
