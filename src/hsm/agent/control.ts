// What primary and agent say to each other on the control socket (file descriptor 3): JSON lines. The PIN comes here, when a login is
// permitted, never in argv or env. JSON strings cannot be zeroed: docs/security-model.md says so.
import { StringDecoder } from 'node:string_decoder'
import type { MakeableKeys } from '../../keys/makeable.ts'
import type { Capability, ProbeExtent, ProbeNeed } from './capability.ts'
import type { PinState } from './pin-state.ts'
import type { Deadlines } from './watch.ts'

export interface TokenAddress {
  readonly label: string
  readonly serial?: string | undefined
  readonly library: string
  readonly libraryParameters?: string | undefined
  readonly profile: string
}

export interface StartMessage {
  readonly type: 'start'
  readonly token: TokenAddress
  readonly domain: { readonly id: string; readonly version: number }
  /** One path a worker: its unix socket. The agent starts fewer where the token gives it no session for each, see worker-sessions.ts. */
  readonly sockets: { readonly hot: readonly string[]; readonly slow: readonly string[] }
  readonly deadlines: Deadlines
  /** How much of the token is tried before it serves, and what it must be able to. */
  readonly probe: { readonly extent: ProbeExtent; readonly needs: readonly ProbeNeed[] }
  readonly keys: KeyLimits
}

/** Of the keys that an agent has open. */
export interface KeyLimits {
  readonly held: number
  /** Milliseconds from its opening to when a key is let go of, however much it is used. */
  readonly lifetime: number
}

/** Unhurried jobs that end the process: set-up and inspection. */
export type Job =
  | { readonly type: 'init-token'; readonly token: TokenAddress; readonly soPin: string; readonly pin: string }
  | { readonly type: 'init-domain'; readonly token: TokenAddress; readonly domainId: string; readonly recoveryKey: string | null }
  | { readonly type: 'objects'; readonly token: TokenAddress }
  /** Without a login. */
  | { readonly type: 'token'; readonly token: TokenAddress }
  | { readonly type: 'probe'; readonly token: TokenAddress; readonly extent: Exclude<ProbeExtent, 'safety'>; readonly sessions: number }
  | DomainJob

/** Jobs on a domain that exists. Buffers are base64, the domain's id is hex. */
export type DomainJob = { readonly token: TokenAddress; readonly domainId: string } & (
  | { readonly type: 'transport-key' }
  | { readonly type: 'join-domain'; readonly fingerprint: string; readonly envelopes: readonly DomainEnvelope[]; readonly canary: CanaryGiven }
  | { readonly type: 'domain-state'; readonly versions: readonly number[] }
  | { readonly type: 'next-domain-key'; readonly version: number; readonly recoveryKey: string }
  | { readonly type: 'rewrap'; readonly from: number; readonly to: number; readonly envelope: string; readonly rows: readonly SealedRow[] }
  | { readonly type: 'remove-transport-key' }
  | { readonly type: 'retire-version'; readonly version: number; readonly newest: number }
)

/** Both keys of one version, wrapped to a transport key by RSA-OAEP. */
export interface DomainEnvelope {
  readonly version: number
  readonly domainKey: string
  readonly integrityKey: string
}

export interface SealedRow {
  readonly row: string
  readonly mac: string
}

export interface CanaryGiven extends SealedRow {
  readonly ciphertext: string
}

export interface TransportResult {
  readonly serial: string
  /** SubjectPublicKeyInfo in DER. */
  readonly spki: string
  readonly oaepHash: 'SHA-1' | 'SHA-256'
}

export interface DomainState {
  readonly serial: string
  /** Those asked for whose domain key the token holds. */
  readonly versions: readonly number[]
  /** Null when it holds none. */
  readonly fingerprint: string | null
}

/** What a new version of the domain key leaves for Postgres. */
export interface NextDomainKey {
  readonly recovery: { readonly fingerprint: string; readonly domainKey: string }
  readonly canary: CanaryGiven
}

/** The answer to `found`: log in with this PIN, unless the token says worse of it than `inSpiteOf`. */
export interface PinMessage {
  readonly type: 'pin'
  readonly pin: string
  readonly inSpiteOf: PinState
}

export type ToAgent =
  | StartMessage
  | Job
  | PinMessage
  /** Clients are told of a successor: serve who is still there, at most so long, then log out and end. */
  | { readonly type: 'drain'; readonly milliseconds: number }

/** The token before its login. */
export interface TokenFound {
  readonly serial: string
  readonly pinState: PinState
  /** Whether 'usual' means that no wrong PIN was given since the last login, or that the token does not tell. */
  readonly revealsPinState: boolean
}

/**
 * barred: not tried, for what the token says. failed: with an answer that says nothing of the PIN. unclear: with one that may, on a token
 * that does not reveal. `ckr` is the name of the return value.
 */
export type LoginOutcome =
  | { readonly outcome: 'good' }
  | { readonly outcome: 'barred'; readonly pinState: PinState }
  | { readonly outcome: 'refused'; readonly ckr: string }
  | { readonly outcome: 'failed' | 'unclear'; readonly ckr: string }

export interface AgentReady {
  readonly type: 'ready'
  readonly serial: string
  readonly model: string
  readonly library: string
  /** SHA-256 in hex, see domain.ts. */
  readonly fingerprint: string
  /** Whether an extractable unwrap and a change of CKA_DECRYPT, on the domain key or a copy of it, were all refused. */
  readonly templateEnforced: boolean
  /** How many of the sockets it was given it listens on, from the first of each lane on. */
  readonly workers: { readonly hot: number; readonly slow: number }
  /** What was tried at this start. */
  readonly capabilities: readonly Capability[]
  /** The keys that the token can make and use; null where the start tried too little to say. */
  readonly makes: MakeableKeys | null
  readonly usage?: TokenUsage | undefined
}

/** Bytes and sessions of this process's application; null for what the token does not tell. */
export interface TokenUsage {
  readonly publicMemory: { readonly free: number | null; readonly total: number | null }
  readonly privateMemory: { readonly free: number | null; readonly total: number | null }
  readonly sessions: { readonly all: number | null; readonly readWrite: number | null }
}

/** What an agent says of itself four times a second. */
export interface AgentUse {
  readonly rssBytes: number
  /** C_UnwrapKey since its start. */
  readonly unwraps: number
  /** Now and then, what the token tells of its memory and sessions. */
  readonly usage?: TokenUsage | undefined
}

/** What `trent hsm probe` prints. */
export interface ProbeReport {
  readonly profile: string
  readonly manufacturer: string
  readonly model: string
  readonly serial: string
  /** Its description and version. */
  readonly library: string
  readonly firmware: string
  readonly usage: TokenUsage | undefined
  readonly capabilities: readonly Capability[]
  readonly makes: MakeableKeys | null
}

export type FatalCode = 'library' | 'token' | 'pin' | 'domain' | 'job' | 'internal'

export type FromAgent =
  | AgentReady
  | ({ readonly type: 'found' } & TokenFound)
  | ({ readonly type: 'login' } & LoginOutcome)
  | ({ readonly type: 'alive' } & AgentUse)
  | { readonly type: 'overrun'; readonly worker: number; readonly deadlineClass: string }
  /** The token or the login is lost for this process: it is to be replaced. */
  | { readonly type: 'sick'; readonly reason: string }
  /** Someone has sent it SIGTERM: it serves on until it is told to drain, for a while. */
  | { readonly type: 'asked' }
  | { readonly type: 'done'; readonly result: unknown }
  | { readonly type: 'fatal'; readonly code: FatalCode; readonly message: string }

/** What the domain ceremony hands back: all of it goes to Postgres. Buffers are base64. */
export interface DomainResult {
  readonly serial: string
  readonly fingerprint: string
  readonly recovery: { readonly fingerprint: string; readonly domainKey: string; readonly integrityKey: string } | null
  readonly canary: CanaryGiven
  readonly sealKey: SealedRow
}

export interface TokenObject {
  readonly class: 'secret' | 'private' | 'public' | 'other'
  readonly label: string
  /** CKA_ID in hex. */
  readonly id: string
  readonly extractable: boolean
  readonly modifiable: boolean
}

/** Cuts the stream into JSON lines; the peer is our own process, a broken line ends it. */
export class LineReader {
  #rest = ''
  /** A PIN may hold a character whose bytes come in two chunks: read wrong, it would cost the token a login attempt. */
  readonly #decoder = new StringDecoder('utf8')

  push(chunk: Buffer): string[] {
    const lines = (this.#rest + this.#decoder.write(chunk)).split('\n')
    this.#rest = lines.pop() ?? ''
    return lines.filter(line => line !== '')
  }
}
