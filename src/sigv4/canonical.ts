// The canonical request of Signature Version 4 for every service but S3: the path is encoded once more on top of the client's own
// encoding, the query is decoded and encoded anew and sorted. All strings are latin1, one character a byte, as node reads a request.
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
import { incomplete } from './refusals.ts'

/** More parameters than any AWS query API takes; sorting them is work done before anyone is authenticated. */
const maxParameters = 1000

const hex = (byte: number): string => byte.toString(16).toUpperCase().padStart(2, '0')
const unreserved = /^[A-Za-z0-9\-._~]*$/
const unreservedPath = /^[A-Za-z0-9\-._~/]*$/
const encoded = Array.from({ length: 256 }, (_, byte) => unreserved.test(String.fromCharCode(byte)) ? String.fromCharCode(byte) : `%${hex(byte)}`)

export interface Parameter {
  /** Canonically encoded. */
  readonly name: string
  /** Canonically encoded. */
  readonly value: string
}

/** Path and query of a request line's target, split at the first question mark; no query is the empty string. */
export function splitUrl(url: string): { path: string, query: string } {
  const mark = url.indexOf('?')
  return mark < 0 ? { path: url, query: '' } : { path: url.slice(0, mark), query: url.slice(mark + 1) }
}

/**
 * The canonical paths a signer may have signed: normalised (SDKs, CLI, aws4) and, where that differs, as it stands (Go).
 * Who routes by a signed path takes normalizePath of it: both signatures mean that resource.
 */
export function canonicalPaths(path: string): readonly string[] {
  const normal = normalizePath(path)
  return normal === path ? [encodePath(path)] : [encodePath(normal), encodePath(path)]
}

/** Without empty, `.` and `..` segments; a last slash stays unless nothing is before it. Percent escapes are not looked into. */
export function normalizePath(path: string): string {
  if (path === '' || path === '/') return '/'
  if (!path.includes('//') && !path.includes('/.')) return path
  const segments: string[] = []
  for (const segment of path.split('/')) {
    if (segment === '..') segments.pop()
    else if (segment !== '' && segment !== '.') segments.push(segment)
  }
  const trailing = path.endsWith('/') && segments.length > 0 ? '/' : ''
  return `/${segments.join('/')}${trailing}`
}

function encodePath(path: string): string {
  if (unreservedPath.test(path)) return path
  let out = ''
  for (let index = 0; index < path.length; index++) out += path[index] === '/' ? '/' : encoded[path.charCodeAt(index) & 0xff] ?? ''
  return out
}

/**
 * The parameters of a query in the order they stand, canonically encoded; an empty piece between two & is none.
 * @throws IncompleteSignatureException for more than a thousand.
 */
export function parseQuery(query: string): Parameter[] {
  if (query === '') return []
  const pieces = query.split('&', maxParameters + 1)
  if (pieces.length > maxParameters) throw incomplete('Too many query-string parameters.')
  return pieces.filter(piece => piece !== '').map(piece => {
    const equals = piece.indexOf('=')
    return equals < 0
      ? { name: encodeComponent(piece), value: '' }
      : { name: encodeComponent(piece.slice(0, equals)), value: encodeComponent(piece.slice(equals + 1)) }
  })
}

/** Sorted by encoded name, then by encoded value: not by the pair as text, where `-` (0x2d) of a longer name would sort before `=`. */
export function canonicalQuery(parameters: readonly Parameter[], omitted?: string): string {
  return parameters.filter(({ name }) => name !== omitted)
    .sort((a, b) => compare(a.name, b.name) || compare(a.value, b.value))
    .map(({ name, value }) => `${name}=${value}`).join('&')
}

const compare = (a: string, b: string): number => a < b ? -1 : a > b ? 1 : 0

/**
 * Percent-decodes byte by byte and encodes again, so that every spelling of a parameter has one canonical form. `+` is a space, as
 * form parsers read it: were it %2B, a `+` could be put in the place of a signed %2B and change what the parser sees.
 */
export function encodeComponent(text: string): string {
  if (unreserved.test(text)) return text
  let out = ''
  for (let index = 0; index < text.length; index++) {
    const code = text.charCodeAt(index)
    const escaped = code === 0x25 ? hexPair(text, index + 1) : -1
    if (escaped >= 0) index += 2
    out += code === 0x2b ? '%20' : encoded[escaped >= 0 ? escaped : code & 0xff] ?? ''
  }
  return out
}

/** The value of a canonically encoded component, one character a byte. */
export function decodeComponent(canonical: string): string {
  if (!canonical.includes('%')) return canonical
  return canonical.replaceAll(/%([0-9A-F]{2})/g, (_, pair: string) => String.fromCharCode(Number.parseInt(pair, 16)))
}

function hexPair(text: string, index: number): number {
  const high = hexDigit(text.charCodeAt(index))
  const low = hexDigit(text.charCodeAt(index + 1))
  return high < 0 || low < 0 ? -1 : high * 16 + low
}

function hexDigit(code: number): number {
  if (code >= 0x30 && code <= 0x39) return code - 0x30
  const lower = code | 0x20
  return lower >= 0x61 && lower <= 0x66 ? lower - 0x57 : -1
}
