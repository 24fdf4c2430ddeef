// What an STS operation must say. It is given a caller whose signature has been verified, and answers members for XML.
import type { Caller } from '../identity/caller.ts'

export interface StsOperation {
  /** CloudTrail's readOnly. */
  readonly readOnly: boolean
  handle(caller: Caller): Readonly<Record<string, string>>
}
