// What a piece of code refuses with: a KmsError and nothing else.
import { KmsError } from '../../src/errors.ts'

/** The code and text of the KmsError that `act` throws, or undefined if it returns. Anything else that it throws goes on. */
export function refusal(act: () => unknown): { code: string; text: string | undefined } | undefined {
  try {
    act()
    return undefined
  } catch (error) {
    if (!(error instanceof KmsError)) throw error
    return { code: error.code, text: error.text }
  }
}
