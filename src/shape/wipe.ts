// Plaintext is zeroed by who made it. Strings (the request's JSON, the answer) cannot be: docs/security-model.md says so.

/** Zeroes every Buffer that is a member of an input or output. */
export function wipe(members: object | undefined): void {
  for (const value of Object.values(members ?? {})) if (Buffer.isBuffer(value)) value.fill(0)
}
