// Ciphertexts, whole and damaged: a blob opens to its plaintext with its own bytes and context, and to nothing with any others.
import type { ErrorCode } from '../../src/errors.ts'
import { call, succeeds, refused, type Case, type Expected, type Json } from './case.ts'
import type { Random } from './random.ts'
import { contextText, type Blob, type World } from './world.ts'

type Context = Blob['context']

interface Damage {
  readonly bytes?: Buffer
  readonly context?: Context
  /** What is beside the blob. */
  readonly keyId?: string
  readonly expected?: Expected
}

/** What may be said of a blob that is not one of ours. */
const damaged: readonly ErrorCode[] = ['InvalidCiphertextException', 'IncorrectKeyException', 'NotFoundException', 'AccessDeniedException']
const invalid = { ...refused('InvalidCiphertextException'), text: null }
/** Version, mode, flags, key id, material id, backing number, IV, ciphertext, tag: lengths of the first seven (direct mode). */
const header = { version: 0, mode: 1, flags: 2, keyId: 3, materialId: 19, backing: 51, iv: 55, sealed: 67 } as const

type Change = (random: Random, blob: Blob, world: World) => Damage

const changedByte = (random: Random, bytes: Buffer, from: number, to: number): Buffer => {
  const copy = Buffer.from(bytes)
  const at = random.between(from, to - 1)
  copy[at] = (copy[at] ?? 0) ^ (1 << random.below(8))
  return copy
}

const changes: Readonly<Record<string, Change>> = {
  'flipped-version-mode-flags': (random, { bytes }) => ({ bytes: changedByte(random, bytes, 0, 3), expected: refused(...damaged) }),
  'flipped-key-id': (random, { bytes }) => ({ bytes: changedByte(random, bytes, header.keyId, header.materialId), expected: refused(...damaged) }),
  'flipped-material-id': (random, { bytes }) => ({ bytes: changedByte(random, bytes, header.materialId, header.backing), expected: invalid }),
  'flipped-backing': (random, { bytes }) => ({ bytes: changedByte(random, bytes, header.backing, header.iv), expected: invalid }),
  'flipped-iv': (random, { bytes }) => ({ bytes: changedByte(random, bytes, header.iv, header.sealed), expected: invalid }),
  'flipped-ciphertext': (random, { bytes }) => ({ bytes: changedByte(random, bytes, header.sealed, bytes.length), expected: invalid }),
  'truncated': (random, { bytes }) => ({ bytes: bytes.subarray(0, random.between(1, bytes.length - 1)), expected: invalid }),
  'extended': (random, { bytes }) => ({ bytes: Buffer.concat([bytes, random.bytes(random.between(1, 64))]), expected: invalid }),
  'cut-in-the-middle': (random, { bytes }) => {
    const at = random.between(header.sealed, bytes.length - 1)
    return { bytes: Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + 1)]), expected: invalid }
  },
  'header-of-another': (random, { bytes, key }, world) => {
    const other = random.pick(world.blobs.filter(one => one.key !== key))
    return { bytes: Buffer.concat([other.bytes.subarray(0, header.sealed), bytes.subarray(header.sealed)]), expected: invalid }
  },
  'key-id-of-another': (random, { bytes, key }, world) => {
    const other = random.pick([...world.open.filter(one => one !== key), world.disabled, world.closed, world.shared])
    const copy = Buffer.from(bytes)
    Buffer.from(other.id.replaceAll('-', ''), 'hex').copy(copy, header.keyId)
    return { bytes: copy, expected: refused('InvalidCiphertextException', ...(other === world.disabled ? ['DisabledException' as const] : []), ...(other === world.closed ? ['AccessDeniedException' as const] : [])) }
  },
  'random-behind-a-right-header': (random, { bytes }) => ({ bytes: Buffer.concat([bytes.subarray(0, header.sealed), random.bytes(random.between(1, 200))]), expected: invalid }),
  'random-bytes': random => ({ bytes: random.bytes(random.between(1, 300)), expected: refused(...damaged) }),
  'longest-random': random => ({ bytes: Buffer.concat([random.bytes(100), Buffer.alloc(6044)]), expected: refused(...damaged) }),
  'zeroes': random => ({ bytes: Buffer.alloc(random.between(1, 300)), expected: refused(...damaged) }),
  'derived-mode': (random, { bytes }) => {
    const copy = Buffer.concat([bytes, random.bytes(4)])
    copy[header.mode] = 2
    return { bytes: copy, expected: refused(...damaged) }
  },
  'whole': () => ({}),
  'context-in-another-order': (random, { context }) => ({ context: random.shuffled(context) }),
  'beside-its-key': (random, { key }) => ({ keyId: random.pick([key.id, key.arn]) }),
  'beside-another-key': (random, { key }, world) => {
    const other = random.pick(world.open.filter(one => one !== key))
    return { keyId: random.pick([other.id, other.arn]), expected: refused('IncorrectKeyException') }
  },
  'context-of-another': (random, { context }, world) => {
    const other = random.pick(world.blobs.filter(one => contextText(one.context) !== contextText(context)))
    return { context: other.context, expected: invalid }
  },
  'context-with-one-more': (random, { context }) => ({ context: [...context, [`more ${random.text(random.below(20))}`, random.text(random.below(20))]], expected: invalid }),
  'context-with-a-changed-value': (random, { context }) => changedContext(context, random, ([key, value]) => [key, `${value}x`]),
  'context-with-a-changed-key': (random, { context }) => changedContext(context, random, ([key, value]) => [`${key} `, value]),
  'context-with-keys-and-values-swapped': (_random, { context }) => changedContext(context, undefined, ([key, value]) => [value, key]),
}

function changedContext(context: Context, random: Random | undefined, change: (pair: readonly [string, string]) => readonly [string, string]): Damage {
  const chosen = random?.below(Math.max(context.length, 1))
  // A context without pairs becomes one with a pair.
  const changed = context.length === 0 ? [['k', 'v'] as const] : context.map((pair, at) => chosen === undefined || at === chosen ? change(pair) : pair)
  return { context: changed, expected: invalid }
}

const names = Object.keys(changes)

export function blobCase(random: Random, world: World): Case {
  const name = random.pick(names)
  const blob = random.pick(world.blobs)
  const { bytes = blob.bytes, context = blob.context, keyId, expected } = changes[name]?.(random, blob, world) ?? {}
  const opens = (output: Json): string | undefined => output.Plaintext === blob.plaintext.toString('base64') ? undefined : 'another plaintext came out'
  if (random.chance(0.2)) return reencryptCase(`blobs/reencrypt-${name}`, { bytes, context, keyId, expected }, blob, random, world)
  const body = `{"CiphertextBlob":"${bytes.toString('base64')}","EncryptionContext":${contextText(context)}${keyId === undefined ? '' : `,"KeyId":"${keyId}"`}}`
  return call(world, `blobs/${name}`, 'Decrypt', body, expected ?? succeeds('Decrypt', opens))
}

/** The same through ReEncrypt; what it makes must open to the same plaintext. */
function reencryptCase(name: string, damage: Damage, blob: Blob, random: Random, world: World): Case {
  const { bytes = blob.bytes, context = blob.context, keyId, expected } = damage
  const destination = random.pick(world.open)
  const source = keyId === undefined ? '' : `,"SourceKeyId":"${keyId}"`
  const body = `{"CiphertextBlob":"${bytes.toString('base64')}","SourceEncryptionContext":${contextText(context)}${source},"DestinationKeyId":"${destination.arn}"}`
  const opens = ({ Plaintext, KeyId }: Json): string | undefined =>
    Plaintext === blob.plaintext.toString('base64') && KeyId === destination.arn ? undefined : 'what ReEncrypt made opens to something else'
  return {
    ...call(world, name, 'ReEncrypt', body, expected ?? succeeds('ReEncrypt')),
    next: ({ CiphertextBlob }) => call(world, `${name}/decrypt`, 'Decrypt', { CiphertextBlob }, succeeds('Decrypt', opens)),
  }
}
