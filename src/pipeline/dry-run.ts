// Dry runs: requests that want to know whether they would succeed.
import { KmsError } from '../errors.ts'
import type { ParsedInput } from '../operations/operation.ts'

/** Whether the request asks about permission and key alone: a ciphertext in it, if any, does not count. */
export const ignoresCiphertext = (input: ParsedInput): boolean =>
  input.DryRun === true && Array.isArray(input.DryRunModifiers) && input.DryRunModifiers.includes('IGNORE_CIPHERTEXT')

export const dryRunSucceeded = (): KmsError => new KmsError('DryRunOperationException', 'The request would have succeeded, but the DryRun option is set.')
