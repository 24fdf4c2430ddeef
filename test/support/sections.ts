// What every operation owes to its declaration: four of the five sections of its tests, made from the declaration and one valid
// input. The fifth, behaviour, is written by hand in the operation's own file.
import { randomUUID } from 'node:crypto'
import { beforeAll, describe, expect, inject, it } from 'vitest'
import { keyStates, type KeyState } from '../../src/keys/state.ts'
import type { KeyNeed, Operation } from '../../src/operations/operation.ts'
import { operations, type OperationName } from '../../src/operations/table.ts'
import { insertAlias } from '../../src/store/aliases.ts'
import { putKeyPolicy } from '../../src/store/policies.ts'
import type { Credentials } from './aws.ts'
import { boundProbes, edgeValues, typeProbes } from './probes.ts'
import { expectRefusal, keyArn, policyOf, statement, success, type Json, type Scene, type TestKey } from './scene.ts'

export interface Fixture {
  readonly scene: Scene
  readonly key: TestKey
  readonly other: TestKey
  /** Under `key`, without context, in base64; empty where `key` does not encrypt symmetrically. */
  readonly ciphertext: string
}

/** An input that succeeds, each time it is asked for. Keys are named by their ids; an alias that exists points to `key`. */
export type ValidInput = (fixture: Fixture) => Json | Promise<Json>

interface Subject {
  readonly name: OperationName
  readonly declaration: Operation
  readonly fixture: () => Fixture
  readonly input: () => Promise<Json>
  readonly call: (input: Json | string, as?: Credentials) => ReturnType<Scene['call']>
}

const stateTexts: Readonly<Record<Exclude<KeyState, 'Enabled'>, readonly [type: string, text: string]>> = {
  Disabled: ['DisabledException', 'is disabled.'],
  Creating: ['KMSInvalidStateException', 'is creating.'],
  PendingDeletion: ['KMSInvalidStateException', 'is pending deletion.'],
  PendingReplicaDeletion: ['KMSInvalidStateException', 'is pending replica deletion.'],
  PendingImport: ['KMSInvalidStateException', 'is pending import.'],
  Unavailable: ['KMSInvalidStateException', 'is unavailable.'],
  Updating: ['KMSInvalidStateException', 'is updating.'],
}

/** Serialization, validation, permission and state of an operation. `newKey`: what CreateKey is given for the keys of the fixture. */
export function commonSections(name: OperationName, scene: () => Scene, valid: ValidInput, newKey: Json = {}): void {
  const declaration = operations.get(name)
  if (declaration === undefined || 'refused' in declaration) throw new Error(`${name} is not built`)
  let made: Fixture | undefined
  const fixture = (): Fixture => {
    if (made === undefined) throw new Error('the keys of the fixture are made by beforeAll')
    return made
  }
  const subject: Subject = {
    name, declaration, fixture,
    input: async () => await valid(fixture()),
    call: (input, as) => scene().call(name, input, as),
  }
  describe(name, () => {
    beforeAll(async () => {
      const [key, other] = [await scene().newKey(newKey), await scene().newKey(newKey)]
      const symmetric = newKey.KeySpec === undefined
      const ciphertext = symmetric ? String(success(await scene().call('Encrypt', { KeyId: key.id, Plaintext: 'aGVsbG8=' })).CiphertextBlob) : ''
      made = { scene: scene(), key, other, ciphertext }
    })
    it('takes the valid input', async () => {
      success(await subject.call(await subject.input()))
    })
    describe('serialization', () => { serialization(subject) })
    describe('validation', () => { validation(subject) })
    describe('permission', () => { permission(subject) })
    if (Object.values(declaration.needs).some(need => need.key.member !== declaration.alias?.member)) describe('key names', () => { keyNames(subject) })
    if (Object.keys(declaration.needs).length > 0) describe('state', () => { state(subject) })
  })
}

function serialization({ declaration, input, call }: Subject): void {
  for (const member of Object.keys(declaration.input)) {
    it(`refuses every wrong JSON type of ${member}`, async () => {
      const whole = await input()
      for (const { value, text } of typeProbes(declaration.input).filter(probe => probe.member === member)) {
        expectRefusal(await call({ ...whole, [member]: value }), 'SerializationException', text, JSON.stringify(value))
      }
    })
  }

  it('takes null for absent, and ignores unknown members and members in the wrong case', async () => {
    const whole = await input()
    const nulls = Object.fromEntries(Object.keys(declaration.input).filter(member => whole[member] === undefined).map(member => [member, null]))
    const wrongCase = Object.fromEntries(Object.keys(declaration.input).filter(member => whole[member] === undefined).map(member => [member.toLowerCase(), 7]))
    success(await call({ ...whole, ...nulls, ...wrongCase, Unheard: [{ of: true }] }))
  })

  it('names a wrong type before a broken bound, and before the caller may do nothing', async () => {
    const whole = await input()
    const { plain } = inject('installation').identities
    const [type] = typeProbes(declaration.input)
    if (type === undefined) return
    const bounds = boundProbes(declaration.input).filter(probe => probe.member !== type.member).slice(0, 1)
    const broken = Object.fromEntries(bounds.map(({ member, value }) => [member, value]))
    expectRefusal(await call({ ...whole, ...broken, [type.member]: type.value }, plain), 'SerializationException', type.text)
  })
}

function validation({ declaration, input, call }: Subject): void {
  for (const member of new Set(boundProbes(declaration.input).map(probe => probe.member))) {
    it(`names every broken bound of ${member}`, async () => {
      const whole = await input()
      for (const { value, text } of boundProbes(declaration.input).filter(probe => probe.member === member)) {
        expectRefusal(await call({ ...whole, [member]: value }), 'ValidationException', text, JSON.stringify(value)?.slice(0, 100))
      }
    })
  }

  it('takes every value at a bound and every value of an enumeration', async () => {
    const whole = await input()
    for (const { member, value } of edgeValues(declaration.input)) {
      const { text } = await call({ ...whole, [member]: value })
      expect(text, `${member}: ${JSON.stringify(value).slice(0, 100)}`).not.toMatch(/validation errors? detected: Value|SerializationException|KMSInternalException/)
    }
  })

  it('names all broken bounds at once, in the order of the declaration', async () => {
    const probes = Object.keys(declaration.input).flatMap(member => boundProbes(declaration.input).filter(probe => probe.member === member).slice(0, 1))
    const one = /^1 validation error detected: (.*)$/s
    const clauses = probes.filter(({ text }) => one.test(text))
    if (clauses.length < 2) return
    const broken = Object.fromEntries(clauses.map(({ member, value }) => [member, value]))
    const text = `${clauses.length} validation errors detected: ${clauses.map(probe => one.exec(probe.text)?.[1]).join('; ')}`
    expectRefusal(await call({ ...await input(), ...broken }), 'ValidationException', text)
  })
}

interface Demand {
  readonly action: string
  /** ` on resource: …` and so on. */
  readonly place: string
  readonly need: KeyNeed | undefined
}

/** What the valid input asks permission for, in the order in which it is asked. */
function demandsOf({ declaration, fixture }: Subject, input: Json): Demand[] {
  const parsed = declaration.parse(Buffer.from(JSON.stringify(input)))
  const account = (declaration.account ?? []).filter(({ when }) => when?.(parsed) ?? true)
    .map(({ permission: action, subject = 'account' }) => ({ action, place: subject === 'creation' ? '' : ' on resource: *', need: undefined }))
  const { alias } = declaration
  const aliases = alias === undefined ? [] : [{ action: alias.permission, place: ` on resource: ${keyArn('').replace('key/', String(input[alias.member]))}`, need: undefined }]
  const keys = Object.values(declaration.needs).map(need => {
    const named = keyOf(need, input, fixture())
    return { action: need.permission, place: named === undefined ? ' on the resource associated with this ciphertext' : ` on resource: ${named.arn}`, need }
  })
  return [...account, ...aliases, ...keys]
}

function keyOf(need: KeyNeed, input: Json, { key, other }: Fixture): TestKey | undefined {
  const named = input[need.key.member]
  if (isAlias(named)) return key
  return [key, other].find(({ id, arn }) => named === id || named === arn)
}

const isAlias = (named: unknown): boolean => typeof named === 'string' && named.startsWith('alias/')

const denied = ({ action, place }: Demand, cause: string, as: { arn: string }): string => `User: ${as.arn} is not authorized to perform: ${action}${place} ${cause}`
const noIdentity = (demand: Demand): string => `because no identity-based policy allows the ${demand.action} action`
const hidden = 'because the resource does not exist in this Region, no resource-based policies allow access, or a resource-based policy explicitly denies access'

function permission(subject: Subject): void {
  const { declaration, fixture, call, input } = subject
  const { plain, root, foreign } = inject('installation').identities
  const account = inject('installation').account
  const keyPolicy = (...statements: readonly Json[]) => fixture().scene.change(async tx => {
    const document = JSON.stringify(policyOf(...statements))
    for (const { id } of [fixture().key, fixture().other]) await putKeyPolicy(tx, id, document)
  })
  const everyone = statement('Allow', 'kms:*', { AWS: `arn:aws:iam::${account}:root` })
  const hasKeys = Object.keys(declaration.needs).length > 0
  const onlyKeys = hasKeys && (declaration.account ?? []).length === 0 && declaration.alias === undefined
  /** From another account the name of an alias would mean an alias of that account. */
  const byAlias = Object.values(declaration.needs).some(need => need.key.member === declaration.alias?.member)

  it('is refused to a user without a policy', async () => {
    const whole = await input()
    const [first] = demandsOf(subject, whole)
    if (first === undefined) throw new Error('the operation needs no permission')
    expectRefusal(await call(whole, plain), 'AccessDeniedException', denied(first, noIdentity(first), plain))
  })

  it('needs each of its permissions, and no other', async () => {
    const whole = await input()
    const demands = demandsOf(subject, whole)
    for (const action of new Set(demands.map(demand => demand.action))) {
      const lacking = demands.find(demand => demand.action === action)
      const others = demands.map(demand => demand.action).filter(other => other !== action)
      await fixture().scene.setPolicy(policyOf(statement('Allow', ['kms:NoSuchAction', ...others])))
      if (lacking !== undefined) expectRefusal(await call(whole, plain), 'AccessDeniedException', denied(lacking, noIdentity(lacking), plain))
      await fixture().scene.setPolicy(policyOf(statement('Allow', '*'), statement('Deny', action)))
      if (lacking !== undefined) expectRefusal(await call(whole, plain), 'AccessDeniedException', denied(lacking, 'with an explicit deny in an identity-based policy', plain))
    }
    await fixture().scene.setPolicy(policyOf(statement('Allow', demands.map(demand => demand.action))))
    success(await call(await input(), plain))
    await fixture().scene.setPolicy(undefined)
  })

  it('is allowed to the root user of the account', async () => {
    success(await call(await input(), root))
  })

  if (hasKeys) {
    it('is refused by an explicit deny of the key policy, to the root user too', async () => {
      const keyDemands = demandsOf(subject, await input()).filter(demand => demand.need !== undefined)
      for (const demand of keyDemands.filter((one, index) => keyDemands.findIndex(({ action }) => action === one.action) === index)) {
        await keyPolicy(everyone, statement('Deny', demand.action, '*'))
        expectRefusal(await call(await input(), root), 'AccessDeniedException', denied(demand, 'with an explicit deny in a resource-based policy', root))
      }
      await keyPolicy(everyone)
    })

    it('is refused where the key policy names neither user nor account, whatever identity policies say', async () => {
      await keyPolicy(statement('Allow', 'kms:*', { AWS: `arn:aws:iam::${account}:user/admin` }))
      await fixture().scene.setPolicy(policyOf(statement('Allow', '*')))
      const whole = await input()
      const [first] = demandsOf(subject, whole).filter(demand => demand.need !== undefined)
      for (const identity of [plain, root]) {
        if (first !== undefined) expectRefusal(await call(whole, identity), 'AccessDeniedException', denied(first, `because no resource-based policy allows the ${first.action} action`, identity))
      }
      await fixture().scene.setPolicy(undefined)
      await keyPolicy(everyone)
    })
  }

  if (hasKeys && !byAlias) {
    it('is refused to another account that the key policy does not name, as if the key were not there', async () => {
      const whole = byArn(subject, await input())
      const [demand] = demandsOf(subject, whole).filter(one => one.need !== undefined)
      const place = demand?.place.includes('ciphertext') === true ? demand.place : ' on this resource'
      const seen = await call(whole, foreign)
      if (demand !== undefined) expectRefusal(seen, 'AccessDeniedException', denied({ ...demand, place }, hidden, foreign))
    })

    it('is open to another account that the key policy names only where AWS opens it', async () => {
      const open = Object.values(declaration.needs).every(need => need.otherAccounts)
      await keyPolicy(everyone, statement('Allow', 'kms:*', { AWS: foreign.accountId }))
      const reply = await call(byArn(subject, await input()), foreign)
      if (open && onlyKeys) success(reply)
      else expect(reply.body).toMatchObject({ __type: 'AccessDeniedException' })
      await keyPolicy(everyone)
    })
  }

  if (onlyKeys) {
    it('is allowed by a key policy that names the user, without any identity policy', async () => {
      await keyPolicy(everyone, statement('Allow', demandsOf(subject, await input()).map(demand => demand.action), { AWS: plain.arn }))
      success(await call(await input(), plain))
      await keyPolicy(everyone)
    })
  }
}

/** The same input with ARNs for key ids: from another account an id would mean a key of that account. */
function byArn({ declaration, fixture }: Subject, input: Json): Json {
  const arns = Object.values(declaration.needs).flatMap(need => {
    const named = keyOf(need, input, fixture())
    return named === undefined || isAlias(input[need.key.member]) ? [] : [[need.key.member, named.arn]]
  })
  return { ...input, ...Object.fromEntries(arns) as Json }
}

function keyNames(subject: Subject): void {
  const { declaration, fixture, call, input } = subject
  const { plain } = inject('installation').identities
  const { account } = inject('installation')
  const foreignKey = keyArn(randomUUID(), inject('installation').identities.foreign.accountId)
  for (const need of Object.values(declaration.needs)) {
    const { member } = need.key
    // What may stand there is a rule for names of aliases, not of keys: see the operation's own tests.
    if (member === declaration.alias?.member) continue
    /** A key that does not stand where the ciphertext names it is only asked for when the caller names it. */
    const named = async (name: string): Promise<Json> => ({ ...await input(), [member]: name })

    it(`refuses a ${member} that is no key id`, async () => {
      for (const wrong of ['fake-key-id', '134f2428cec14b25a1ae9048164dba47', 'mrk-fake-key-id', `arn:aws:kms:onprem-1:${account}:key/`, 'arn:aws:iam::1:user/x', ' ']) {
        expectRefusal(await call(await named(wrong)), 'NotFoundException', `Invalid keyId '${wrong}'`)
      }
      expectRefusal(await call(await named(keyArn(randomUUID()).replace('onprem-1', 'eu-west-9'))), 'NotFoundException', 'Invalid arn eu-west-9')
    })

    it(`says that the key of ${member} does not exist only to who may use such a key`, async () => {
      const id = randomUUID()
      expectRefusal(await call(await named(id)), 'NotFoundException', `Key '${keyArn(id)}' does not exist`)
      expectRefusal(await call(await named(keyArn(id))), 'NotFoundException', `Key '${keyArn(id)}' does not exist`)
      expect((await call(await named(id), plain)).body).toMatchObject({ __type: 'AccessDeniedException' })
      const admin = { arn: `arn:aws:iam::${account}:user/admin` }
      expectRefusal(await call(await named(foreignKey)), 'AccessDeniedException', denied({ action: need.permission, place: ' on this resource', need }, hidden, admin))
    })

    it(`takes ${need.aliases ? 'all four forms' : 'id and ARN, and no alias'} as ${member}`, async () => {
      const key = keyOf(need, await input(), fixture()) ?? fixture().key
      const alias = `alias/${randomUUID()}`
      await fixture().scene.change(tx => insertAlias(tx, { accountId: account, name: alias, keyId: key.id }))
      success(await call(await named(key.id)))
      success(await call(await named(key.arn)))
      for (const form of [alias, keyArn('').replace('key/', alias)]) {
        if (need.aliases) success(await call(await named(form)))
        else if (declaration.alias !== undefined) expectRefusal(await call(await named(form)), 'ValidationException', 'Aliases must refer to keys. Not aliases')
        else expectRefusal(await call(await named(form)), 'NotFoundException', `Invalid keyId '${form}'`)
      }
      if (need.aliases) {
        const absent = 'alias/no-such-alias'
        expectRefusal(await call(await named(absent)), 'NotFoundException', `Alias ${keyArn('').replace('key/', absent)} is not found.`)
      }
    })
  }
}

function state(subject: Subject): void {
  const { declaration, fixture, call, input } = subject
  for (const need of Object.values(declaration.needs)) {
    it(`takes a key of ${need.key.member} in the declared states only`, async () => {
      const key = keyOf(need, await input(), fixture()) ?? fixture().key
      for (const one of keyStates) {
        const whole = await input()
        await fixture().scene.setState(key.id, one)
        const reply = await call(whole)
        if (need.states === 'any' || need.states.includes(one)) success(reply)
        else {
          const [type, text] = one === 'Enabled' ? ['KMSInvalidStateException', 'is enabled.'] : stateTexts[one]
          expectRefusal(reply, type, `${key.arn} ${text}`)
        }
      }
      await fixture().scene.setState(key.id, 'Enabled')
    })
  }
}
