// Configuration: one YAML file, overridden by TRENT_* variables, to one frozen Config. Each setting is declared once, in the table
// `settings`, with its bounds, unit and default; nothing else in Trent holds a default or reads the environment. What a slip puts into
// the wrong line may be a secret: values of secrets and of file names are never shown, nor is the text of a file that does not parse.
import { closeSync, constants, fstatSync, openSync, readFileSync, readSync } from 'node:fs'
import { isAbsolute, join } from 'node:path'
import { parseDocument } from 'yaml'
import { StartError } from './errors.ts'

/** One setting: `read` answers undefined for what is not allowed; `allowed` says what is. */
interface Setting<T> {
  readonly read: (value: unknown) => T | undefined
  readonly allowed: string
  readonly fallback: T | undefined
  readonly fallbackText: string
  readonly presence: 'always' | 'optional'
  readonly shown: boolean
  readonly description: string
}
interface List<G> {
  readonly item: G
  readonly most: number
  readonly description: string
}
type Value<S> = S extends Setting<infer T> ? T : S extends List<infer G> ? readonly Value<G>[] : { readonly [K in keyof S]: Value<S[K]> }

interface Default<T> {
  /** Absent: the setting must be given. undefined: it may be left out. */
  readonly fallback?: T
  readonly fallbackText?: string
  readonly shown?: boolean
}

function setting<T>(description: string, allowed: string, read: (value: unknown) => T | undefined, given: Default<T>): Setting<T> {
  const { fallback, shown = true, fallbackText = fallback === undefined ? '' : String(fallback) } = given
  return { read, allowed, fallback, fallbackText, presence: 'fallback' in given ? 'optional' : 'always', shown, description }
}

function integer(fallback: number, least: number, most: number, unit: string, description: string): Setting<number> {
  const read = (value: unknown) => {
    const number = typeof value === 'string' && /^\d{1,15}$/.test(value) ? Number(value) : value
    return typeof number === 'number' && Number.isInteger(number) && number >= least && number <= most ? number : undefined
  }
  return setting(description, `a whole number of ${unit} from ${least} to ${most}`, read, { fallback })
}

const flagWords: ReadonlyMap<unknown, boolean> = new Map<unknown, boolean>([[true, true], [false, false], ['true', true], ['false', false]])
function flag<T extends boolean | undefined>(fallback: T, description: string, fallbackText = String(fallback)): Setting<T | boolean> {
  return setting<T | boolean>(description, 'true | false', value => flagWords.get(value), { fallback, fallbackText })
}

const matching = (pattern: RegExp) => (value: unknown) => (typeof value === 'string' && pattern.test(value) ? value : undefined)

function text<T extends string | undefined>(pattern: RegExp, allowed: string, description: string, given: Default<T>): Setting<T> {
  return setting<T>(description, allowed, matching(pattern) as (value: unknown) => T | undefined, given)
}

function choice<const T extends string>(choices: readonly T[], fallback: T, description: string): Setting<T> {
  return setting(description, choices.join(' | '), (value) => choices.find((one) => one === value), { fallback })
}

function path<T extends string | undefined>(description: string, given: Default<T>): Setting<T> {
  const read = (value: unknown) => (typeof value === 'string' && isAbsolute(value) && !value.includes('\0') ? (value as T) : undefined)
  return setting<T>(description, 'an absolute path', read, { ...given, shown: false })
}

function variables(description: string): Setting<Readonly<Record<string, string>>> {
  const read = (value: unknown) => {
    if (!(value instanceof Map) || value.size > 32) return undefined
    const entries = [...value].filter(
      (entry): entry is [string, string] => /^[A-Za-z_][A-Za-z0-9_]{0,63}$/.test(String(entry[0])) && typeof entry[1] === 'string',
    )
    return entries.length < value.size ? undefined : Object.freeze(Object.fromEntries(entries))
  }
  const none = { fallback: Object.freeze({}), fallbackText: 'none', shown: false }
  return setting(description, 'up to 32 variable names, each with a text', read, none)
}

/** A password here would stand in a file of any mode, or in the environment of every process: only urlFile may hold one. */
function databaseUrl(value: unknown): string | undefined {
  return matching(/^postgres(ql)?:\/\/[^\s]{1,2048}$/)(value)
}
function passwordFreeUrl(value: unknown): string | undefined {
  const url = databaseUrl(value)
  return url === undefined || /^[a-z]+:\/\/[^?]*:[^?]*@/.test(url) || /[?&]password=/i.test(url) ? undefined : url
}

type Optional = string | undefined
const optional = { fallback: undefined }
const host = /^[A-Za-z0-9._:-]{1,253}$/
const tokenSettings = {
  label: text<string>(/^[\x20-\x7e]{1,32}$/, '1 to 32 printable ASCII characters', 'Label of the token', {}),
  serial: text<Optional>(/^[\x20-\x7e]{1,16}$/, '1 to 16 printable ASCII characters', 'Serial number, where labels repeat', optional),
  library: path<string>('The vendor\'s PKCS#11 library', {}),
  libraryParameters: text<Optional>(/^[^\0]{1,1024}$/, '1 to 1024 characters', 'pReserved of C_Initialize (NSS)', {
    ...optional,
    shown: false,
  }),
  profile: text<string>(/^[a-z0-9-]{1,32}$/, '1 to 32 of a-z, 0-9 and -', 'What is known of this kind of token', { fallback: 'generic' }),
  pinFile: path<string>('File with the user PIN, mode 0600', {}),
  pinVersion: integer(1, 1, 1_000_000, 'changes', 'Number of the PIN in that file: raise it with each change of the PIN, on every host'),
  env: variables('Variables for this token\'s process alone, such as SOFTHSM2_CONF'),
  workers: integer(2, 1, 64, 'threads', 'Threads that use keys of this token, besides a third as many (at least one) for what is slow; 16 to 32 on a network HSM'),
  standby: flag<boolean | undefined>(undefined, 'Whether a second agent is kept logged in, ready to serve when the first one dies', 'as the profile says'),
}

/** Every setting of Trent. */
export const settings = {
  region: text<string>(/^[a-z0-9-]{1,32}$/, '1 to 32 of a-z, 0-9 and -', 'The Region in ARNs and signatures', { fallback: 'onprem-1' }),
  dataDirectory: path<string>('Journal and sockets of this host', { fallback: '/var/lib/trent' }),
  listen: {
    host: text<string>(host, 'an address or host name', 'Where the API listens', { fallback: '127.0.0.1' }),
    port: integer(8470, 0, 65_535, 'ports (0: any free one)', 'Port of the API'),
  },
  private: {
    host: text<string>(host, 'an address or host name', 'Where metrics and health listen', { fallback: '127.0.0.1' }),
    port: integer(8471, 0, 65_535, 'ports (0: any free one)', 'Port of metrics and health'),
  },
  database: {
    url: setting<Optional>('URL of Postgres', 'postgres://… without a password (database.urlFile may hold one)', passwordFreeUrl, {
      ...optional,
      shown: false,
    }),
    urlFile: path<Optional>('File with the URL of Postgres, mode 0600; may hold the password', optional),
    poolSize: integer(10, 1, 100, 'connections', 'Connections of each gateway process'),
  },
  gateway: { processes: integer(1, 1, 64, 'processes', 'Gateway processes that share the port') },
  http: {
    bodyLimitBytes: integer(1_048_576, 65_536, 16_777_216, 'bytes', 'Longest request body'),
    maxConnections: integer(10_000, 1, 1_000_000, 'connections', 'Open client connections of each gateway process'),
  },
  hsm: {
    domainFingerprint: text<Optional>(/^[0-9a-f]{64}$/, '64 of 0-9 and a-f', 'SHA-256 that the token\'s domain must have', optional),
    allowWeakToken: flag(false, 'Whether a token may serve that lets whoever has its PIN unwrap keys as extractable, or read or wrap keys that may not leave it'),
    tokens: { item: tokenSettings, most: 16, description: 'The tokens of the domain, first choice first' } as List<typeof tokenSettings>,
  },
  keys: {
    residency: choice(['wrapped', 'resident'], 'wrapped', 'Where key material lives: wrapped in Postgres, or on the token; what a single token makes and cannot wrap lives on it in any case'),
    cipherMode: choice(['direct', 'derived'], 'direct', 'How new symmetric keys encrypt: in the HSM with counted invocations, or by message keys derived in the HSM'),
    verifySignatures: flag(false, 'Whether each new signature is verified with the public key before it is answered: shows a fault of the token or its library'),
    quota: integer(100_000, 1, 100_000_000, 'keys', 'Keys an account may have, in any state'),
  },
  attestation: {
    rootsFile: path<Optional>('Certificates in PEM that are trusted to attest enclaves (AWS Nitro\'s root, or another maker\'s): without them Recipient is refused', optional),
    maxAgeSeconds: integer(300, 10, 86_400, 'seconds', 'How old an attestation document may be'),
  },
  cache: { maxStaleSeconds: integer(60, 0, 3_600, 'seconds', 'How long cached rows serve while Postgres is away') },
  audit: {
    directory: path<Optional>('The audit journal', { fallback: undefined, fallbackText: '<dataDirectory>/journal' }),
    segmentBytes: integer(16_777_216, 1_048_576, 1_073_741_824, 'bytes', 'Size of a journal segment'),
    segments: integer(8, 2, 1_024, 'segments', 'Segments of each process; all full: no answers until they are shipped'),
  },
  log: { level: choice(['fatal', 'error', 'warn', 'info', 'debug', 'trace'], 'info', 'Least severity that is logged') },
}

type Given = Value<typeof settings>
export type TokenConfig = Value<typeof tokenSettings>
/** What the file and the environment said, complete. `database.url` may hold the password: it belongs into the driver and nowhere else. */
export type Config = Omit<Given, 'database' | 'audit'> & {
  readonly database: { readonly url: string, readonly poolSize: number }
  readonly audit: Omit<Given['audit'], 'directory'> & { readonly directory: string }
}

/** Where a value comes from: the file's tree below one setting, and the variables by setting path. */
interface Source {
  readonly variables: Map<string, string>
  readonly read: Set<string>
}

const isSetting = (node: object): node is Setting<unknown> => 'read' in node
const isList = (node: object): node is List<object> => 'item' in node
const variableName = (path: string) => `TRENT_${path.replace(/\./g, '_').replace(/(?<=[a-z])(?=[A-Z])/g, '_').toUpperCase()}`
const refusal = (name: string, found: string, allowed: string) => `${name}: found ${found}; allowed is ${allowed}`
const show = (value: unknown) => (value instanceof Map ? 'a group' : Array.isArray(value) ? 'a list' : JSON.stringify(value).slice(0, 80))

function readSetting(node: Setting<unknown>, path: string, value: unknown, source: Source): unknown {
  const name = variableName(path)
  const variable = source.variables.get(name)
  source.read.add(name)
  const found = variable ?? value
  const called = variable === undefined ? path : `${name} (${path})`
  if (found === undefined || found === null) {
    if (node.presence === 'always') throw new StartError(`${called} is missing; allowed is ${node.allowed}`)
    return node.fallback
  }
  const result = node.read(found)
  if (result === undefined) throw new StartError(refusal(called, node.shown ? show(found) : 'something else', node.allowed))
  return result
}

function readNode(node: object, path: string, value: unknown, source: Source): unknown {
  if (isSetting(node)) return readSetting(node, path, value, source)
  if (isList(node)) {
    const list = value ?? []
    if (!Array.isArray(list) || list.length > node.most) throw new StartError(refusal(path, show(value), `a list of up to ${node.most}`))
    return Object.freeze(list.map((one: unknown, at) => readNode(node.item, `${path}[${at}]`, one, source)))
  }
  if (value !== undefined && value !== null && !(value instanceof Map)) {
    throw new StartError(refusal(path || 'The configuration', 'something else', 'a group of settings'))
  }
  const given = value instanceof Map ? (value as Map<unknown, unknown>) : new Map<unknown, unknown>()
  const below = (key: string) => (path === '' ? key : `${path}.${key}`)
  for (const key of given.keys()) {
    if (!Object.hasOwn(node, String(key))) throw new StartError(`${below(String(key).slice(0, 80))} is not a setting of Trent`)
  }
  const read = Object.entries(node).map(([key, child]) => [key, readNode(child as object, below(key), given.get(key), source)] as const)
  return Object.freeze(Object.fromEntries(read))
}

function readYaml(file: string): unknown {
  let bytes: string
  try {
    bytes = readFileSync(file, 'utf8')
  } catch (error) {
    throw new StartError(`The configuration ${file} cannot be read (${(error as NodeJS.ErrnoException).code})`)
  }
  const document = parseDocument(bytes, { prettyErrors: true, stringKeys: true })
  const fault = document.errors[0]
  if (fault) throw new StartError(`The configuration ${file} is not YAML: ${fault.code} in line ${fault.linePos?.[0].line ?? 1}`)
  try {
    return document.toJS({ mapAsMap: true, maxAliasCount: 16 })
  } catch {
    throw new StartError(`The configuration ${file} has aliases that lead nowhere or multiply`)
  }
}

/**
 * Kubernetes gives each container TRENT_PORT, TRENT_SERVICE_HOST and so on for a Service called trent; TRENT_TEST_* is the test run's;
 * TRENT_CONFIG names the file.
 */
const foreignVariable = /^TRENT_(CONFIG|PORT|TEST_.*|(.*_)?SERVICE_(HOST|PORT.*)|(.*_)?PORT_\d+_(TCP|UDP).*)$/

/** Reads file and variables. @throws StartError with one sentence: the setting, what was found, what is allowed. */
export function loadConfig(options: { file?: string | undefined, env: NodeJS.ProcessEnv }): Config {
  const ours = Object.entries(options.env).filter(([name]) => name.startsWith('TRENT_') && !foreignVariable.test(name))
  const source: Source = { variables: new Map(ours as [string, string][]), read: new Set() }
  const given = readNode(settings, '', options.file === undefined ? undefined : readYaml(options.file), source) as Given
  const unknown = [...source.variables.keys()].find((name) => !source.read.has(name) || /\[/.test(name))
  if (unknown) throw new StartError(`The variable ${unknown} is not a setting of Trent`)

  const { url, urlFile, poolSize } = given.database
  if (url !== undefined && urlFile !== undefined) throw new StartError('database.url and database.urlFile are both set; allowed is one')
  const secretUrl = urlFile === undefined ? url : databaseUrl(readSecretFile(urlFile, 'database.urlFile').toString())
  if (secretUrl === undefined) {
    const missing = urlFile === undefined
    throw new StartError(missing ? 'database.urlFile is missing' : refusal('database.urlFile', 'something else', 'postgres://…'))
  }
  const audit = Object.freeze({ ...given.audit, directory: given.audit.directory ?? join(given.dataDirectory, 'journal') })
  return Object.freeze({ ...given, database: Object.freeze({ url: secretUrl, poolSize }), audit })
}

/**
 * Reads a secret (PIN, URL with password) of `least` to 65,536 bytes, without its one closing line break; who asked zeroes the Buffer.
 * The checks look at the opened file: nobody can swap it between check and read. Links are followed, as Kubernetes mounts secrets so.
 * @throws StartError that names the setting and the file, never the content.
 */
export function readSecretFile(path: string, setting: string, least: 0 | 1 = 1): Buffer {
  let file: number
  try {
    file = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK)
  } catch (error) {
    throw new StartError(`${setting}: ${path} cannot be read (${(error as NodeJS.ErrnoException).code})`)
  }
  try {
    const { mode, uid, size } = fstatSync(file)
    const me = process.geteuid?.() ?? uid
    if ((mode & constants.S_IFMT) !== constants.S_IFREG) throw new StartError(`${setting}: ${path} is not a regular file`)
    if ((mode & 0o077) !== 0) throw new StartError(`${setting}: ${path} has mode ${(mode & 0o777).toString(8)}; allowed is 600 or stricter`)
    if (uid !== me && uid !== 0) throw new StartError(`${setting}: ${path} belongs to user ${uid}; allowed are ${me} and root`)
    if (size < least || size > 65_536) throw new StartError(`${setting}: ${path} holds ${size} bytes; allowed are ${least} to 65536`)
    const bytes = Buffer.alloc(size)
    const length = readSync(file, bytes, 0, size, 0)
    const end = bytes[length - 1] !== 0x0a ? length : bytes[length - 2] === 0x0d ? length - 2 : length - 1
    if (end < least) throw new StartError(`${setting}: ${path} is empty`)
    return bytes.subarray(0, Math.max(end, 0))
  } finally {
    closeSync(file)
  }
}

/** The environment of this process, for loadConfig and for children: the one place that reads it. */
export const environment = (): NodeJS.ProcessEnv => process.env
