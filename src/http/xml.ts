// XML on the way out, for the AWS Query protocol. Element names come from our own results; texts may be a caller's.

/**
 * The members of a value as elements, two spaces deeper for each level, each line ended, as STS writes them. Lists become
 * `<member>` elements, Dates ISO 8601 to the second, bytes base64; members that are undefined are left out.
 * Throws TypeError for values that have no text.
 */
export function elements(value: object, indent: string): string {
  if (Array.isArray(value)) return value.map(member => element('member', member, indent)).join('')
  let lines = ''
  for (const [name, member] of Object.entries(value)) if (member !== undefined) lines += element(name, member, indent)
  return lines
}

/** One element with its end of line; `opening` may carry an attribute. */
export function element(name: string, value: unknown, indent: string, opening = name): string {
  if (typeof value === 'object' && value !== null && !(value instanceof Date) && !(value instanceof Uint8Array)) {
    const inner = elements(value, `${indent}  `)
    return inner === '' ? `${indent}<${opening}/>\n` : `${indent}<${opening}>\n${inner}${indent}</${name}>\n`
  }
  return `${indent}<${opening}>${escapeXml(textOf(value))}</${name}>\n`
}

function textOf(value: unknown): string {
  if (typeof value === 'string') return value
  if (typeof value === 'boolean' || Number.isFinite(value)) return String(value)
  if (value instanceof Date) return `${value.toISOString().slice(0, 19)}Z`
  if (value instanceof Uint8Array) return Buffer.from(value).toString('base64')
  throw new TypeError(`an answer cannot hold ${value === null ? 'null' : typeof value}`)
}

const entities = new Map([['&', '&amp;'], ['<', '&lt;'], ['>', '&gt;'], ['"', '&quot;'], ["'", '&apos;'], ['\r', '&#xD;']])

/**
 * Text → text of an element. Error messages quote what the caller sent: unescaped it could close the element and write its own
 * answer. Characters that XML 1.0 cannot hold, escaped or not, become U+FFFD, so that the answer stays readable.
 */
export function escapeXml(text: string): string {
  return text.replace(/[^\t\n -\ud7ff\ue000-\ufffd\u{10000}-\u{10ffff}]|[&<>"']/gu, match => entities.get(match) ?? '\ufffd')
}
