// Requests made from the operations' own declarations: valid, with one violation, with many. A violation's answer is known
// exactly where test/support/probes.ts knows it, by class otherwise.
import { createHash } from 'node:crypto'
import type { ErrorCode } from '../../src/errors.ts'
import { bare } from '../../src/shape/shape.ts'
import { boundProbes, typeProbes, type Probe } from '../support/probes.ts'
import { call, type Case, type Expected, type Json } from './case.ts'
import { anyOperation, built, refusedNames, validDraft } from './inputs.ts'
import type { Random } from './random.ts'
import { ofAnotherType } from './values.ts'
import type { World } from './world.ts'

/** After the signature and before anything else: one of these, or the request is right. */
export function validCase(random: Random, world: World): Case {
  const { operation, input, must, may, blob } = validDraft(random, world, anyOperation(random))
  const nobody = random.chance(0.03)
  if (nobody) must.add('AccessDeniedException')
  const errors: ErrorCode[] = [...must, ...may]
  const right: Pick<Expected, 'result' | 'holds'> = must.size > 0 ? {} : {
    result: operation,
    ...(operation === 'Decrypt' && blob !== undefined ? { holds: output => output.Plaintext === blob.plaintext.toString('base64') ? undefined : 'another plaintext came out' } : {}),
  }
  const one = call(nobody ? { ...world, admin: world.plain } : world, `valid/${operation}`, operation, input, { ...right, errors })
  if (operation === 'Encrypt') return { ...one, next: output => decryptAgain(random, world, input, output) }
  // An alias that moves between the look-up and the change is answered KMSInternalException, so that clients try again.
  if (typeof input.AliasName === 'string') return { ...one, about: input.AliasName }
  if ('Marker' in (built.get(operation)?.input ?? {})) return { ...one, next: output => nextPage(random, world, operation, input, output) }
  return one
}

/** The page after, by the marker that came, or by one that was made from it. */
function nextPage(random: Random, world: World, operation: string, input: Json, { NextMarker }: Json): Case | undefined {
  if (typeof NextMarker !== 'string') return undefined
  const bytes = Buffer.from(NextMarker, 'base64')
  // Behind the version and eight bytes that bind it to its listing stands what the page before ended with.
  const last = random.chance(0.5) ? Buffer.from(random.text(random.between(1, 60))) : random.bytes(random.between(1, 60))
  const binding = random.chance(0.5) ? bytes.subarray(1, 9) : bindingOf(world, operation, input, last)
  const made = Buffer.concat([bytes.subarray(0, 1), binding, last])
  const whole = random.chance(0.4)
  const Marker = whole ? NextMarker : made.toString('base64')
  return call(world, `valid/${operation}/next`, operation, { ...input, Marker }, { result: operation, errors: whole ? [] : ['InvalidMarkerException'] })
}

/** What Encrypt made must open again, the pairs of its context in another order. */
function decryptAgain(random: Random, world: World, { Plaintext, EncryptionContext }: Json, { CiphertextBlob, KeyId }: Json): Case {
  const pairs = random.shuffled(Object.entries(EncryptionContext as Record<string, string> | undefined ?? {}))
  const context = pairs.map(([key, value]) => `${JSON.stringify(key)}:${JSON.stringify(value)}`).join(',')
  const holds = (output: Json): string | undefined => output.Plaintext === Plaintext && output.KeyId === KeyId ? undefined : 'it opens to something else'
  return call(world, 'valid/Encrypt/decrypt', 'Decrypt', `{"CiphertextBlob":${JSON.stringify(CiphertextBlob)},"EncryptionContext":{${context}}}`, { result: 'Decrypt', holds, errors: [] })
}

/** As whoever has read the source can make it: nothing in a marker is secret. */
function bindingOf({ open }: World, operation: string, { KeyId, ResourceOwners = ['SELF'] }: Json, last: Buffer): Buffer {
  const account = open[0]?.arn.split(':')[4]
  const listings: Readonly<Record<string, readonly unknown[]>> = {
    ListKeys: ['ListKeys', account, ...[...new Set(ResourceOwners as string[])].sort()], ListAliases: ['ListAliases', account, KeyId ?? ''], ListResourceTags: ['ListResourceTags', KeyId],
  }
  return createHash('sha256').update(JSON.stringify(listings[operation])).update(last).digest().subarray(0, 8)
}

interface Probes {
  readonly types: readonly Probe[]
  readonly bounds: readonly Probe[]
  /** Of more than this many characters, and rarely sent. */
  readonly long: readonly Probe[]
}
const longCharacters = 8_000

const probes: ReadonlyMap<string, Probes> = new Map([...built].map(([name, { input }]) => {
  const isLong = ({ value }: Probe): boolean => (JSON.stringify(value)?.length ?? 0) > longCharacters
  const bounds = boundProbes(input)
  return [name, { types: typeProbes(input), bounds: bounds.filter(one => !isLong(one)), long: bounds.filter(isLong) }]
}))

function probeOf(random: Random, { types, bounds, long }: Probes): Probe & { readonly code: ErrorCode } | undefined {
  const from = random.weighted([[5, types], [5, bounds], [0.1, long]] as const)
  return from.length === 0 ? undefined : { ...random.pick(from), code: from === types ? 'SerializationException' : 'ValidationException' }
}

export function oneViolation(random: Random, world: World): Case {
  const name = random.pick([...built.keys()])
  const { input } = validDraft(random, world, name)
  const probe = random.chance(0.7) ? probeOf(random, probes.get(name) ?? { types: [], bounds: [], long: [] }) : undefined
  if (probe !== undefined) {
    const { member, value, text, code } = probe
    return call(world, `one/${name}.${member}`, name, { ...input, [member]: value }, { errors: [code], text })
  }
  const [member, shape] = random.pick(Object.entries(built.get(name)?.input ?? {}))
  return call(world, `one/${name}.${member}-type`, name, { ...input, [member]: ofAnotherType(random, bare(shape)) }, { errors: ['SerializationException'] })
}

export function manyViolations(random: Random, world: World): Case {
  const name = random.pick([...built.keys()])
  const { input } = validDraft(random, world, name)
  const found = probes.get(name) ?? { types: [], bounds: [], long: [] }
  const byMember = new Map<string, Probe>()
  const wrongType = random.chance(0.3)
  for (let count = random.between(2, 8); count > 0; count--) {
    const from = wrongType && count % 2 === 0 ? found.types : found.bounds
    if (from.length > 0) {
      const probe = random.pick(from)
      byMember.set(probe.member, probe)
    }
  }
  if (byMember.size === 0) return oneViolation(random, world)
  const body = { ...input, ...Object.fromEntries([...byMember].map(([member, { value }]) => [member, value])) }
  const types = [...byMember.values()].some(probe => found.types.includes(probe))
  if (types) return call(world, `many/${name}-types`, name, body, { errors: ['SerializationException'] })
  return call(world, `many/${name}`, name, body, { errors: ['ValidationException'], text: together(name, byMember) })
}

/** All clauses in the order of the declaration, ten at most. */
function together(name: string, byMember: ReadonlyMap<string, Probe>): string {
  const texts = Object.keys(built.get(name)?.input ?? {}).flatMap(member => byMember.get(member)?.text ?? [])
  const clauses = texts.flatMap(text => text.replace(/^\d+ validation errors? detected: /, '').split(/; (?=Value)/)).slice(0, 10)
  return `${clauses.length} validation ${clauses.length === 1 ? 'error' : 'errors'} detected: ${clauses.join('; ')}`
}

/** An operation that is refused is refused whatever its input, and nothing of it is read. */
export function refusedOperation(random: Random, world: World): Case {
  const name = random.pick(refusedNames)
  const body = random.pick(['{}', '', '[', random.text(random.length(200)), '{"KeyId":5}', 'null'])
  return call(world, `refused/${name}`, name, body, { errors: ['UnsupportedOperationException'] })
}
