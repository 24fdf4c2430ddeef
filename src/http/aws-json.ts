// AWS JSON 1.1 on the way out: which headers stand on every answer, how results and errors become bytes. Nothing here knows
// Express; the listener hands over node's own response. Headers and bodies are as in exchanges recorded from AWS KMS.
import type { ServerResponse } from 'node:http'
import type { ErrorCode, KmsError } from '../errors.ts'

const json11 = 'application/x-amz-json-1.1'

/** AWS's front end spells the member `message`; only an access denial has a capital M. */
const capitalMessage: ReadonlySet<ErrorCode> = new Set<ErrorCode>(['AccessDeniedException'])

/** Whether a request's Content-Type names AWS JSON 1.1; parameters such as a charset may follow. */
export function isJson11(contentType: string | undefined): boolean {
  if (contentType === json11) return true
  if (contentType === undefined) return false
  const [type = ''] = contentType.split(';', 1)
  return type.trim().toLowerCase() === json11
}

/**
 * Answers 200. `result` undefined is an operation without an output shape: its body has no bytes; an empty output shape is `{}`.
 */
export function sendResult(response: ServerResponse, requestId: string, result: object | undefined): void {
  send(response, requestId, 200, result === undefined ? '' : encodeResult(result))
}

/** Answers with an error's status and `{"__type":...}`; without a member for the text where AWS sends none. */
export function sendError(response: ServerResponse, requestId: string, error: KmsError): void {
  send(response, requestId, error.status, encodeError(error))
}

/** Answers a body that is not read to its end with its error: the connection ends with the answer. */
export function sendUnread(response: ServerResponse, requestId: string, error: KmsError): void {
  response.shouldKeepAlive = false
  sendError(response, requestId, error)
}

/** Answers a Content-Type that is no AWS JSON 1.1: 404, and XML, since no protocol was agreed on. */
export function sendUnknownProtocol(response: ServerResponse, requestId: string): void {
  const body = '<UnknownOperationException/>\n'
  response.writeHead(404, ['x-amzn-RequestId', requestId, 'Content-Type', 'text/xml', 'Content-Length', String(body.length)])
  response.end(body)
}

function send(response: ServerResponse, requestId: string, status: number, body: string): void {
  response.writeHead(status, [
    'x-amzn-RequestId', requestId,
    'Cache-Control', 'no-cache, no-store, must-revalidate, private',
    'Expires', '0',
    'Pragma', 'no-cache',
    'Content-Type', json11,
    'Content-Length', String(Buffer.byteLength(body)),
  ])
  response.end(body)
}

function encodeError(error: KmsError): string {
  const type = JSON.stringify(error.code)
  if (error.text === undefined) return `{"__type":${type}}`
  return `{"__type":${type},"${capitalMessage.has(error.code) ? 'Message' : 'message'}":${JSON.stringify(error.text)}}`
}

/**
 * A handler's result → JSON text. Bytes leave as base64, Dates as epoch seconds with a fraction, Maps as objects; members that
 * are undefined are left out. JSON.stringify with a replacer would first turn every Buffer into a list of numbers.
 * Throws TypeError for what has no place in a result: functions, bigints, NaN and holes in lists.
 */
export function encodeResult(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(value)
  if (typeof value === 'boolean') return value ? 'true' : 'false'
  if (typeof value === 'number' && Number.isFinite(value)) return String(value)
  if (typeof value === 'object' && value !== null) return encodeObject(value)
  throw new TypeError(`a result cannot hold ${value === null ? 'null' : typeof value}`)
}

function encodeObject(value: object): string {
  if (value instanceof Uint8Array) return `"${Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString('base64')}"`
  if (value instanceof Date) return epochSeconds(value)
  if (Array.isArray(value)) return `[${value.map(encodeResult).join(',')}]`
  let text = '{'
  for (const [name, member] of value instanceof Map ? value : Object.entries(value)) {
    if (member !== undefined) text += `${text === '{' ? '' : ','}${JSON.stringify(name)}:${encodeResult(member)}`
  }
  return `${text}}`
}

function epochSeconds(date: Date): string {
  const seconds = date.getTime() / 1000
  if (Number.isNaN(seconds)) throw new TypeError('a result cannot hold an invalid Date')
  return seconds.toFixed(3)
}
