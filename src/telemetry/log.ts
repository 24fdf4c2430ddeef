// The log: JSON lines. Nothing secret can pass through it by accident: bytes in any form are replaced by their length, members
// with the name of a secret are dropped, errors are cut to type, message, stack and cause. Messages are plain texts: there is
// no interpolation that would print an argument.
import { types } from 'node:util'
import { pino } from 'pino'
import type { DestinationStream, Logger } from 'pino'

export const logLevels = ['debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const
export type LogLevel = (typeof logLevels)[number]

interface Write {
  (message: string): void
  (fields: object, message?: string): void
}

export interface Log {
  readonly debug: Write
  readonly info: Write
  readonly warn: Write
  readonly error: Write
  readonly fatal: Write
  /** A log whose lines all carry these fields, such as `{ requestId }`. */
  child(fields: object): Log
}

export interface LogOptions {
  readonly level: LogLevel
  /** Which process speaks: 'primary', 'gateway', 'hsm-agent …'. */
  readonly name: string
  /** Standard output unless given. */
  readonly destination?: DestinationStream
}

/** A pino log behind an interface that takes fields and a fixed text, nothing else. */
export function createLog({ level, name, destination }: LogOptions): Log {
  const options = {
    level,
    name,
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label: string) => ({ level: label }) },
    // pino's own would take every plain object with a message for an error; errors are cut down in sanitizeError.
    serializers: { err: (value: unknown) => value },
  }
  return guard(destination === undefined ? pino(options) : pino(options, destination))
}

/** Everything on its way to pino is sanitized here: pino's formatters do not see the fields of a child. */
function guard(inner: Logger): Log {
  const write = (level: Exclude<LogLevel, 'silent'>): Write => (first: string | object, message?: string) => {
    if (!inner.isLevelEnabled(level)) return
    if (typeof first === 'string') inner[level](first)
    else inner[level](sanitizeFields(first), message)
  }
  return {
    debug: write('debug'),
    info: write('info'),
    warn: write('warn'),
    error: write('error'),
    fatal: write('fatal'),
    child: fields => guard(inner.child(sanitizeFields(fields))),
  }
}

/** Names, in lower case and without - and _, whose values never reach the log. */
const secretNames = new Set([
  'pin', 'userpin', 'sopin', 'cookie', 'privatekey', 'signingkey', 'keymaterial', 'granttokens', 'importtoken', 'body',
])
const secretParts = /secret|password|passphrase|plaintext|authorization|sessiontoken|securitytoken/

const most = { depth: 8, members: 100, text: 8192 }

function isSecretName(name: string): boolean {
  const plain = name.toLowerCase().replaceAll(/[-_]/g, '')
  return secretNames.has(plain) || secretParts.test(plain)
}

function sanitizeFields(fields: unknown): Record<string, unknown> {
  if (fields instanceof Error) return { err: sanitize(fields, []) }
  const clean = sanitize(fields, [])
  return typeof clean === 'object' && clean !== null && !Array.isArray(clean) ? { ...clean } : { value: clean }
}

/** A copy without bytes and secrets, of bounded depth and breadth; `path` holds the objects around `value`. */
function sanitize(value: unknown, path: readonly object[]): unknown {
  if (typeof value === 'string') return value.length > most.text ? `${value.slice(0, most.text)}…` : value
  if (typeof value === 'bigint') return value.toString()
  if (typeof value === 'function' || typeof value === 'symbol') return undefined
  if (typeof value !== 'object' || value === null) return value
  const bytes = byteLength(value)
  if (bytes !== undefined) return `[redacted ${bytes} bytes]`
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? null : value.toISOString()
  if (path.includes(value)) return '[circular]'
  if (path.length >= most.depth) return '[too deep]'
  const inner = [...path, value]
  if (value instanceof Error) return sanitizeError(value, inner)
  if (Array.isArray(value)) return sanitizeList(value, inner)
  if (value instanceof Set) return sanitizeList([...value], inner)
  const members = value instanceof Map ? [...value].map(([name, member]) => [String(name), member] as const) : Object.entries(value)
  const kept = members.slice(0, most.members).filter(([name]) => !isSecretName(name))
  return Object.fromEntries(kept.map(([name, member]) => [name, sanitize(member, inner)]))
}

/** The length of anything that holds bytes: views, buffers, and the plain object that a Buffer becomes as JSON. */
function byteLength(value: object): number | undefined {
  if (ArrayBuffer.isView(value) || types.isAnyArrayBuffer(value)) return value.byteLength
  const { type, data } = value as { type?: unknown; data?: unknown }
  return type === 'Buffer' && Array.isArray(data) ? data.length : undefined
}

/** A list of numbers that are all bytes is taken for bytes: it is what Array.from(buffer) leaves. */
function sanitizeList(list: readonly unknown[], path: readonly object[]): unknown {
  const isBytes = list.length >= 8 && list.every(item => typeof item === 'number' && Number.isInteger(item) && item >= 0 && item <= 255)
  if (isBytes) return `[redacted ${list.length} bytes]`
  return list.slice(0, most.members).map(item => sanitize(item, path))
}

/** Own properties of an error are left out: libraries hang requests, queries and configurations on them. */
function sanitizeError(error: Error, path: readonly object[]): object {
  return {
    type: error.name,
    message: sanitize(error.message, path),
    stack: sanitize(error.stack, path),
    ...(error.cause === undefined ? {} : { cause: sanitize(error.cause, path) }),
  }
}
