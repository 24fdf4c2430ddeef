/** A plaintext that is too long for the key to which it is to be encrypted again: only the agent sees its length. */
export class TooLong extends Error {
  override readonly name = 'TooLong'
}
