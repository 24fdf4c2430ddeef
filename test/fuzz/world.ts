// What the cases play on, made anew for each run: keys that no case changes, keys that cases may change, ciphertexts whose plaintext
// is known. A case names them by number, so that the same seed and index make the same request to another run's keys.
import { inject } from 'vitest'
import type { Credentials } from '../support/aws.ts'
import { call, succeeds, type Json } from './case.ts'
import { Connection, encode } from './connection.ts'
import { judge } from './judge.ts'
import { Random } from './random.ts'

export interface WorldKey {
  readonly id: string
  readonly arn: string
}

export interface Blob {
  readonly bytes: Buffer
  readonly plaintext: Buffer
  /** As JSON text: an object would lose what is called __proto__. */
  readonly context: readonly (readonly [string, string])[]
  readonly key: WorldKey
}

export interface World {
  readonly port: number
  /** As the Host header says it. */
  readonly host: string
  readonly admin: Credentials
  /** Has no permission at all. */
  readonly plain: Credentials
  /** Enabled, the first four with an alias `alias/fixed-N`. */
  readonly open: readonly WorldKey[]
  readonly disabled: WorldKey
  /** Keys of another account: one whose policy names ours, one whose policy does not. */
  readonly shared: WorldKey
  readonly closed: WorldKey
  /** Everything is done to these, but their policies always admit the administrator. */
  readonly scratch: readonly WorldKey[]
  /** Whatever policy gets through is put on these. */
  readonly policed: readonly WorldKey[]
  /** Requests whose signature is wrong try to tag this one. */
  readonly canary: WorldKey
  readonly blobs: readonly Blob[]
}

export const contextText = (context: readonly (readonly [string, string])[]): string =>
  `{${context.map(([key, value]) => `${JSON.stringify(key)}:${JSON.stringify(value)}`).join(',')}}`

const contexts: readonly (readonly (readonly [string, string])[])[] = [
  [], [['tenant', 'blue']], [['a', '1'], ['b', '2'], ['c', '3']], [['__proto__', 'x'], ['constructor', 'y']], [['\u{1f600}', 'emoji'], ['\uffff', 'sorts otherwise by UTF-16']],
  [['', 'empty key'], ['empty value', '']], [['toString', '__proto__'], ['length', '0']], [['\u00e9', 'composed'], ['e\u0301', 'decomposed']],
]
const lengths = [1, 2, 15, 16, 17, 31, 32, 33, 64, 100, 255, 1000, 4095, 4096]

/** @throws Error when Trent does not make what is asked */
export async function makeWorld(url: string, seed: number): Promise<World> {
  const { host, port } = new URL(url)
  const { admin, identities, account } = inject('installation')
  const connection = new Connection(Number(port))
  const nothing = { id: '', arn: '' }
  const empty: World = {
    port: Number(port), host, admin, plain: identities.plain, open: [], disabled: nothing, shared: nothing, closed: nothing, scratch: [], policed: [], canary: nothing, blobs: [],
  }
  const ask = async (operation: string, input: Json | string, as = admin): Promise<Json> => {
    const one = call({ ...empty, admin: as }, 'world', operation, input, succeeds(operation))
    const { fault, output } = judge(one, await connection.send(encode(one.request)))
    if (fault !== undefined || output === undefined) throw new Error(`${operation} for the world: ${fault}`)
    return output
  }
  const newKey = async (input: Json = {}, as?: Credentials): Promise<WorldKey> => {
    const { KeyMetadata: { KeyId: id, Arn: arn } } = await ask('CreateKey', input, as) as { KeyMetadata: { KeyId: string; Arn: string } }
    return { id, arn }
  }
  const newKeys = async (count: number): Promise<WorldKey[]> => {
    const keys: WorldKey[] = []
    while (keys.length < count) keys.push(await newKey())
    return keys
  }

  const open = await newKeys(8)
  for (const [index, { id }] of open.slice(0, 4).entries()) await ask('CreateAlias', { AliasName: `alias/fixed-${index}`, TargetKeyId: id })
  const disabled = await newKey()
  await ask('DisableKey', { KeyId: disabled.id })
  const names = [identities.foreign.accountId, account].map(one => `arn:aws:iam::${one}:root`)
  const policy = JSON.stringify({ Version: '2012-10-17', Statement: [{ Effect: 'Allow', Principal: { AWS: names }, Action: 'kms:*', Resource: '*' }] })
  const shared = await newKey({ Policy: policy }, identities.foreign)
  const closed = await newKey({}, identities.foreign)

  const random = new Random(seed, -1)
  const blobs: Blob[] = []
  for (let number = 0; number < 48; number++) {
    const key = random.pick(open)
    const plaintext = random.bytes(random.pick(lengths))
    const context = contexts[number % contexts.length] ?? []
    const input = `{"KeyId":"${key.id}","Plaintext":"${plaintext.toString('base64')}","EncryptionContext":${contextText(context)}}`
    const { CiphertextBlob } = await ask('Encrypt', input) as { CiphertextBlob: string }
    blobs.push({ bytes: Buffer.from(CiphertextBlob, 'base64'), plaintext, context, key })
  }
  const world = { ...empty, open, disabled, shared, closed, scratch: await newKeys(16), policed: await newKeys(8), canary: await newKey(), blobs }
  connection.close()
  return world
}

/** The tags of the canary: none, unless a request with a wrong signature was carried out. */
export async function canaryTags(world: World): Promise<unknown> {
  const connection = new Connection(world.port)
  const one = call(world, 'canary', 'ListResourceTags', { KeyId: world.canary.id }, succeeds('ListResourceTags'))
  const { fault, output } = judge(one, await connection.send(encode(one.request)))
  connection.close()
  if (fault !== undefined) throw new Error(`the canary could not be asked: ${fault}`)
  return output?.Tags
}
