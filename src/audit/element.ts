// Values of a request or an answer as CloudTrail spells them in requestParameters and responseElements.
// Source: AWS KMS developer guide, "Examples of AWS KMS log entries".

const dateFormat = new Intl.DateTimeFormat('en-US', { dateStyle: 'medium', timeStyle: 'medium', timeZone: 'UTC' })

/**
 * Members of structures begin in lower case (`tagKey`, `aWSAccountId`), dates read `Aug 10, 2022, 10:38:27 PM` in UTC. A Map is the
 * caller's own (an encryption context): its names stay as they are, `__proto__` too. Bytes are never shown.
 */
export function element(value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return value
  if (value instanceof Map) return Object.fromEntries(value)
  // Newer ICU data put a narrow no-break space before AM and PM.
  if (value instanceof Date) return dateFormat.format(value).replaceAll('\u202f', ' ')
  if (Array.isArray(value)) return value.map(element)
  if (value instanceof Uint8Array) return undefined
  return Object.fromEntries(Object.entries(value).map(([name, member]) => [name.charAt(0).toLowerCase() + name.slice(1), element(member)]))
}
