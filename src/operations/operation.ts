// What a declaration of an operation must say. Everything that decides over security stands in the literal: input, where keys
// are named, permission, usage, states, what the audit record shows. `kind` decides what the handler is given, so the rules of
// the house are types: no HSM work inside a transaction, no rows on the hot path.
import type { AttestationTrust } from '../attestation/document.ts'
import type { Caller } from '../identity/caller.ts'
import type { Hsm, MaterialPlan } from '../hsm/hsm.ts'
import type { KeyEntry } from '../cache/key-entry.ts'
import type { MaterialMode } from '../keys/ciphertext.ts'
import type { Locale } from '../keys/identifier.ts'
import type { MakeableKeys } from '../keys/makeable.ts'
import type { KeyUsage } from '../keys/spec.ts'
import type { KeyState } from '../keys/state.ts'
import { compile } from '../shape/parse.ts'
import type { Infer, Shapes } from '../shape/shape.ts'
import type { Db } from '../store/database.ts'
import type { KeyPairs } from './key-pairs.ts'

/** Where a request names a key. */
export type KeySource =
  | { readonly kind: 'member'; readonly member: string }
  /** The ciphertext names its key; `member` may name it too, and must then name the same. */
  | { readonly kind: 'ciphertext'; readonly blob: string; readonly member: string }

export const from = (member: string): KeySource => ({ kind: 'member', member })
export const fromCiphertext = (blob: string, member: string): KeySource => ({ kind: 'ciphertext', blob, member })

export interface KeyNeed {
  readonly key: KeySource
  readonly permission: `kms:${string}`
  /** undefined: any usage. */
  readonly usage?: KeyUsage
  /** Whether only SYMMETRIC_DEFAULT keys will do. */
  readonly symmetric?: boolean
  /** Member that holds the algorithm, checked against the key's spec after the usage. */
  readonly algorithm?: string
  readonly states: readonly KeyState[] | 'any'
  /** Whether an alias may stand where the key is named. */
  readonly aliases: boolean
  /** Whether the key may be another account's. */
  readonly otherAccounts: boolean
  /** Whether a grant may allow it. */
  readonly grantable: boolean
  /** Member that holds the encryption context. */
  readonly context?: string
}

export type Needs = Readonly<Record<string, KeyNeed>>

/** What a handler tells the audit record beyond what the declaration says. */
export interface Notes {
  additionalEventData?: Readonly<Record<string, unknown>>
  responseElements?: Readonly<Record<string, unknown>>
  /** Keys that did not exist when the request came. */
  resources?: readonly { readonly accountId: string; readonly arn: string }[]
}

export type Output = object | undefined

interface Given<Input, Keys extends string> {
  readonly input: Input
  readonly caller: Caller
  readonly locale: Locale
  readonly keys: Readonly<Record<Keys, KeyEntry>>
  readonly notes: Notes
  readonly settings: Settings
}

/** Settings that operations depend on. */
export interface Settings {
  /** Of a new key, where the token can have it so. */
  readonly residency: 'wrapped' | 'resident'
  /** How many tokens hold the domain. */
  readonly tokens: number
  /** Whether every token makes Ed25519ph. */
  readonly ed25519Prehash: boolean
  readonly cipherMode: MaterialMode
  /** Whether each new signature is verified before it is answered. */
  readonly verifySignatures: boolean
  /** Keys an account may have. */
  readonly keyQuota: number
  /** The keys that every token which serves can make and use; null while no agent has said. */
  readonly makes: MakeableKeys | null
  /** What attestation documents are held against; null: none is believed. */
  readonly attestation: AttestationTrust | null
}

interface ReadGiven<Input, Keys extends string> extends Given<Input, Keys> { readonly db: Db }
interface UseGiven<Input, Keys extends string> extends Given<Input, Keys> { readonly hsm: Hsm; readonly pairs: KeyPairs }
interface WriteGiven<Input, Keys extends string> extends Given<Input, Keys> { readonly tx: Db }
interface ProvisionGiven<Input, Keys extends string> extends Given<Input, Keys> {
  readonly tx: Db
  /** Writes down what the HSM is to make; it is made once the transaction is through, see effects/. */
  readonly plan: (material: MaterialPlan) => Promise<void>
}

interface Contract<Members extends Shapes, Input, Keys extends string> {
  readonly input: Members
  readonly needs: Readonly<Record<Keys, KeyNeed>>
  /** Aliases that the operation makes, moves or removes: IAM alone allows it, on the alias. */
  readonly alias?: { readonly member: string; readonly permission: `kms:${string}` }
  /** For operations on the account rather than a key: IAM alone allows them. */
  readonly account?: readonly AccountNeed<Input>[]
  /** CloudTrail's readOnly. */
  readonly readOnly: boolean
  /** What a member is when it is not sent: it then counts as sent, in conditions and in the record. */
  readonly defaults?: Partial<Input>
  /** Members that requestParameters shows, besides those that name keys. Never plaintext, ciphertext or grant tokens. */
  readonly audit: readonly (keyof Members & string)[]
  /** Rules across members, with AWS's own texts. @throws ValidationException and others */
  readonly check?: (input: Input) => void
}

interface AccountNeed<Input> {
  readonly permission: `kms:${string}`
  /** Whether the request needs it; always, where it is not said. */
  readonly when?: (input: Input) => boolean
  /** 'creation': AWS's text then names no resource. */
  readonly subject?: 'account' | 'creation'
}

export type Kind = 'read' | 'use' | 'write' | 'provision'

type Handlers<Input, Keys extends string> =
  | { readonly kind: 'read'; handle(given: ReadGiven<Input, Keys>): Promise<Output> }
  | { readonly kind: 'use'; handle(given: UseGiven<Input, Keys>): Promise<Output> }
  | { readonly kind: 'write'; handle(given: WriteGiven<Input, Keys>): Promise<Output> }
  | { readonly kind: 'provision'; handle(given: ProvisionGiven<Input, Keys>): Promise<Output> }

export type Declaration<Members extends Shapes, Keys extends string> = Contract<Members, Infer<Members>, Keys> & Handlers<Infer<Members>, Keys>

/** A declaration as the pipeline takes it: the parser is compiled, and the types that tied its parts together have done their work. */
export type Operation = Contract<Shapes, ParsedInput, string> & Handlers<ParsedInput, string> & {
  readonly parse: (body: Uint8Array) => ParsedInput
  /** Members of requestParameters, with their names in CloudTrail, which begin in lower case. */
  readonly shown: readonly { readonly member: string; readonly name: string }[]
}

/** Parsed and checked: members by name. */
export type ParsedInput = Readonly<Record<string, unknown>>

export function operation<const Members extends Shapes, const Keys extends string = never>(declaration: Declaration<Members, Keys>): Operation {
  const parser = compile(declaration.input)
  const defaults = Object.entries(declaration.defaults ?? {})
  const parse = (body: Uint8Array): ParsedInput => {
    const input: Record<string, unknown> = { ...parser.parse(body) }
    for (const [name, value] of defaults) input[name] ??= value
    return input
  }
  // The parser makes exactly Infer<Input>, and resolve() exactly the keys of `needs`: no type can follow them through a table.
  return { ...declaration, parse, shown: shownMembers(declaration.needs, declaration.audit) } as unknown as Operation
}

function shownMembers(needs: Needs, audit: readonly string[]): Operation['shown'] {
  const members = new Set([...Object.values(needs).map(need => need.key.member), ...audit])
  return [...members].map(member => ({ member, name: member.charAt(0).toLowerCase() + member.slice(1) }))
}
