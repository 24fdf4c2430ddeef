// Whoever can write to Postgres, and to nothing else, gets no use of a key that Trent did not give: each column of a material, and each
// part of the row that the HSM's MAC covers, is edited behind a running gateway, under a key whose handle is open.
import { randomBytes, randomUUID } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest'
import { decodeMaterial, type Material, type Residency } from '../../src/keys/material.ts'
import { rows, type Db } from '../../src/store/database.ts'
import { loadKeyEntry } from '../../src/store/key-entries.ts'
import { putKeyPolicy } from '../../src/store/policies.ts'
import type { Credentials } from '../support/aws.ts'
import { counter } from '../support/metrics.ts'
import { keyArn, openScene, policyOf, statement, success, type Json, type Scene, type TestKey } from '../support/scene.ts'

const { account, identities: { foreign } } = inject('installation')
const hello = 'aGVsbG8='
const context = { tenant: 'blue' }
const alarmText = 'ALARM: the HSM refuses a material row: the database was changed past Trent'

/** What a call is answered. The first is the agent's refusal, which raises the alarm; the others come from the gateway, which then asks no HSM. */
const alarm = '500 KMSInternalException'
const noMaterial = '500 KeyUnavailableException'
const invalidCiphertext = '400 InvalidCiphertextException'
const wrongUsage = '400 InvalidKeyUsageException'
const good = '200'

interface Answers {
  /** Of Encrypt and GenerateDataKey, and of ReEncrypt to the key. */
  readonly encrypt: string
  /** Of Decrypt, and of ReEncrypt from the key, of a ciphertext from before the edit. */
  readonly decrypt: string
}
const refused: Answers = { encrypt: alarm, decrypt: alarm }
/** A material without a MAC is one that no HSM has confirmed yet. */
const unconfirmed: Answers = { encrypt: noMaterial, decrypt: invalidCiphertext }
/** The ciphertext names a material that the key has no more. */
const renamed: Answers = { encrypt: alarm, decrypt: invalidCiphertext }

/** Changes rows of the key, or of both it and another of its kind. */
type Step = (tx: Db, key: string, other: string) => Promise<unknown>

interface Edit {
  readonly what: string
  readonly steps: readonly Step[]
  readonly answers: Answers
  /** What it edits: a column of `materials`, a part of the encoded row, or both. */
  readonly column?: string
  readonly part?: keyof Material
  /** Of one residency alone, where the other's rows are all the same. */
  readonly only?: Residency
  /** Who calls, where the edit has moved the key to another account. */
  readonly as?: Credentials & { readonly accountId: string }
}

const random = (bytes: number): string => `decode('${randomBytes(bytes).toString('hex')}', 'hex')`
const set = (assignment: string): Step => (tx, key) => tx.query(`UPDATE materials SET ${assignment} WHERE key_id = $1`, [key])
const setOther = (assignment: string): Step => (tx, _key, other) => tx.query(`UPDATE materials SET ${assignment} WHERE key_id = $1`, [other])
const setKey = (assignment: string): Step => (tx, key) => tx.query(`UPDATE keys SET ${assignment} WHERE id = $1`, [key])
const swap = (...columns: readonly string[]): Step => (tx, key, other) => tx.query(
  `UPDATE materials m SET ${columns.map(column => `${column} = o.${column}`).join(', ')} FROM materials o WHERE (m.key_id, o.key_id) IN (($1, $2), ($2, $1))`, [key, other])
/** Rows that hold an edit of a material's name back. */
const forgetInvocations: Step = (tx, key, other) => tx.query('DELETE FROM invocations WHERE key_id IN ($1, $2)', [key, other])
const allow = (accountId: string): Step => (tx, key) => putKeyPolicy(tx, key, JSON.stringify(policyOf(statement('Allow', 'kms:*', { AWS: accountId }))))
const takeMaterial: Step = async (tx, key, other) => {
  await tx.query('DELETE FROM materials WHERE key_id = $1', [key])
  await tx.query('UPDATE materials SET key_id = $1 WHERE key_id = $2', [key, other])
  await tx.query('UPDATE keys k SET current_material_id = m.material_id FROM materials m WHERE m.key_id = k.id AND k.id = $1', [key])
}
const anotherMaterialId = randomBytes(32).toString('hex')

const edits: readonly Edit[] = [
  { what: 'account', part: 'accountId', steps: [setKey(`account_id = '${foreign.accountId}'`), allow(foreign.accountId)], answers: refused, as: foreign },
  { what: 'Region', part: 'region', steps: [setKey("region = 'onprem-2'")], answers: { encrypt: '400 NotFoundException', decrypt: '400 AccessDeniedException' } },
  { what: 'origin', part: 'origin', steps: [setKey("origin = 'EXTERNAL'")], answers: refused },
  // What the key is for now has operations of its own: these do not get as far as the HSM.
  { what: 'spec', part: 'spec', steps: [setKey("spec = 'HMAC_256'")], answers: { encrypt: wrongUsage, decrypt: wrongUsage } },
  { what: 'usage', part: 'usage', steps: [setKey("usage = 'SIGN_VERIFY'")], answers: { encrypt: wrongUsage, decrypt: wrongUsage } },
  { what: 'cipher mode', column: 'cipher_mode', part: 'cipherMode', steps: [set("cipher_mode = 'derived'")], answers: refused },
  { what: 'cipher mode, none', column: 'cipher_mode', steps: [set("cipher_mode = 'none'")], answers: refused },
  { what: 'residency', column: 'residency', part: 'residency', steps: [set("residency = CASE residency WHEN 'wrapped' THEN 'resident' ELSE 'wrapped' END")], answers: refused },
  { what: 'CKA_ID', column: 'cka_id', part: 'ckaId', steps: [set(`cka_id = ${random(16)}`)], answers: refused },
  { what: 'CKA_ID, swapped with another key', column: 'cka_id', steps: [swap('cka_id')], answers: refused, only: 'resident' },
  { what: 'CKA_ID and MAC, swapped', column: 'cka_id', steps: [swap('cka_id', 'mac')], answers: refused },
  { what: 'domain', column: 'domain_id', part: 'domainId', steps: [set(`domain_id = '${randomUUID()}'`)], answers: refused },
  { what: 'domain, removed', column: 'domain_id', steps: [set('domain_id = NULL')], answers: refused },
  { what: 'domain version', column: 'domain_version', part: 'domainVersion', steps: [set('domain_version = 2')], answers: refused },
  { what: 'domain version, removed', column: 'domain_version', steps: [set('domain_version = NULL')], answers: refused },
  { what: 'public key', column: 'spki', part: 'spkiDigest', steps: [set(`spki = ${random(91)}`)], answers: refused },
  { what: 'public key, swapped with another key', column: 'spki', steps: [set(`spki = ${random(91)}`), setOther(`spki = ${random(91)}`), swap('spki')], answers: refused },
  { what: 'blob', column: 'blob', part: 'blob', steps: [set(`blob = ${random(40)}`)], answers: refused },
  { what: 'blob, removed', column: 'blob', steps: [set('blob = NULL')], answers: refused, only: 'wrapped' },
  { what: 'blob, swapped with another key', column: 'blob', steps: [swap('blob')], answers: refused, only: 'wrapped' },
  { what: 'blob and MAC, swapped', column: 'blob', steps: [swap('blob', 'mac')], answers: refused },
  { what: 'MAC', column: 'mac', steps: [set('mac = set_byte(mac, 31, get_byte(mac, 31) # 1)')], answers: refused },
  { what: 'MAC, swapped with another key', column: 'mac', steps: [swap('mac')], answers: refused },
  { what: 'MAC, removed', column: 'mac', steps: [set('mac = NULL')], answers: unconfirmed },
  { what: 'backing number', column: 'backing', part: 'backing', steps: [forgetInvocations, set('backing = 2')], answers: renamed },
  {
    what: 'material id', column: 'material_id', part: 'materialId', answers: renamed,
    steps: [forgetInvocations, set(`material_id = decode('${anotherMaterialId}', 'hex')`), setKey(`current_material_id = decode('${anotherMaterialId}', 'hex')`)],
  },
  { what: 'key, that of another put in its place', column: 'key_id', part: 'keyId', steps: [forgetInvocations, takeMaterial], answers: renamed },
  { what: 'time of its making, which no MAC covers', column: 'created_at', steps: [set("created_at = now() - interval '1 year'")], answers: { encrypt: good, decrypt: good } },
]

type KeyWithBlob = TestKey & { readonly blob: string }

describe.each(['wrapped', 'resident'] as const)('of a %s key', residency => {
  let scene: Scene
  /** Left alone. Both accounts may use it. */
  let bystander: KeyWithBlob

  beforeAll(async () => {
    scene = await openScene({ keys: { residency } })
    bystander = await newKey()
    await scene.change(tx => putKeyPolicy(tx, bystander.id, JSON.stringify(policyOf(statement('Allow', 'kms:*', { AWS: [account, foreign.accountId] })))))
  })
  afterAll(() => scene.close())

  /** With a ciphertext of `hello`: its handle is open. */
  const newKey = async (): Promise<KeyWithBlob> => {
    const key = await scene.newKey()
    return { ...key, blob: String(success(await scene.call('Encrypt', { KeyId: key.id, Plaintext: hello, EncryptionContext: context })).CiphertextBlob) }
  }
  const answerOf = async (operation: string, input: Json, as?: Credentials): Promise<string> => {
    const { status, body } = await scene.call(operation, input, as)
    return status === 200 ? good : `${status} ${String(body.__type)}`
  }
  const alarms = async (): Promise<Json[]> => (await scene.trent.log()).split('\n').filter(line => line.includes(alarmText)).map(line => JSON.parse(line) as Json)

  it.each(edits.filter(({ only }) => only === undefined || only === residency))('the $what', async ({ steps, answers, as }) => {
    const [key, other] = [await newKey(), await newKey()]
    const [counted, logged] = [await counter(scene.trent, 'hsm_material_refused_total'), (await alarms()).length]
    await scene.change(async tx => {
      for (const step of steps) await step(tx, key.id, other.id)
    })
    const KeyId = as === undefined ? key.arn : keyArn(key.id, as.accountId)
    const given = {
      Encrypt: await answerOf('Encrypt', { KeyId, Plaintext: hello, EncryptionContext: context }, as),
      GenerateDataKey: await answerOf('GenerateDataKey', { KeyId, KeySpec: 'AES_256' }, as),
      ReEncryptTo: await answerOf('ReEncrypt', { CiphertextBlob: bystander.blob, SourceEncryptionContext: context, DestinationKeyId: KeyId }, as),
      Decrypt: await answerOf('Decrypt', { CiphertextBlob: key.blob, EncryptionContext: context }, as),
      ReEncryptFrom: await answerOf('ReEncrypt', { CiphertextBlob: key.blob, SourceEncryptionContext: context, DestinationKeyId: bystander.arn }, as),
    }
    const { encrypt, decrypt } = answers
    expect(given).toEqual({ Encrypt: encrypt, GenerateDataKey: encrypt, ReEncryptTo: encrypt, Decrypt: decrypt, ReEncryptFrom: decrypt })
    const expected = Object.values(given).filter(answer => answer === alarm).length
    expect(await counter(scene.trent, 'hsm_material_refused_total') - counted).toBe(expected)
    const raised = (await alarms()).slice(logged)
    expect(raised).toHaveLength(expected)
    for (const line of raised) expect(line).toMatchObject({ level: 'error', keys: expect.arrayContaining([KeyId]) as string[], requestId: expect.any(String) as string })
    expect(await answerOf('Decrypt', { CiphertextBlob: bystander.blob, EncryptionContext: context })).toBe(good)
  })

  it.each([
    ['a symmetric key that becomes one of HMAC', {}, "spec = 'HMAC_256', usage = 'GENERATE_VERIFY_MAC'", 'GenerateMac', { Message: hello, MacAlgorithm: 'HMAC_SHA_256' }],
    ['an RSA key for encryption that becomes one for signatures', { KeySpec: 'RSA_2048', KeyUsage: 'ENCRYPT_DECRYPT' }, "usage = 'SIGN_VERIFY'", 'Sign', { Message: hello, SigningAlgorithm: 'RSASSA_PSS_SHA_256' }],
    ['a key for agreement that becomes one for signatures', { KeySpec: 'ECC_NIST_P256', KeyUsage: 'KEY_AGREEMENT' }, "usage = 'SIGN_VERIFY'", 'Sign', { Message: hello, SigningAlgorithm: 'ECDSA_SHA_256' }],
    ['a curve that becomes another', { KeySpec: 'ECC_NIST_P256', KeyUsage: 'SIGN_VERIFY' }, "spec = 'ECC_SECG_P256K1'", 'Sign', { Message: hello, SigningAlgorithm: 'ECDSA_SHA_256' }],
    ['a key for signatures that becomes one for encryption', { KeySpec: 'RSA_2048', KeyUsage: 'SIGN_VERIFY' }, "usage = 'ENCRYPT_DECRYPT'", 'Decrypt', { CiphertextBlob: randomBytes(256).toString('base64'), EncryptionAlgorithm: 'RSAES_OAEP_SHA_256' }],
  ] as const)('%s raises the alarm at its new use, and is not used', async (_, input, assignment, operation, use) => {
    const key = await scene.newKey(input)
    const logged = (await alarms()).length
    await scene.change(tx => setKey(assignment)(tx, key.id, key.id))
    expect(await answerOf(operation, { KeyId: key.id, ...use })).toBe(alarm)
    expect((await alarms()).slice(logged)).toMatchObject([{ level: 'error', keys: [key.arn] }])
  })

  it('no column and no part of the row is left out of these edits', async () => {
    const columns = await rows<{ column_name: string }>(scene.pool, { name: 'test.columns', text: "SELECT column_name FROM information_schema.columns WHERE table_name = 'materials'" }, [])
    const ofTable = edits.flatMap(({ column = [] }) => column)
    expect([...new Set(ofTable)].sort()).toEqual(columns.map(({ column_name: name }) => name).sort())
    const [material] = (await loadKeyEntry(scene.pool, bystander.id))?.materials ?? []
    const parts = Object.keys(decodeMaterial(material?.sealed.row ?? Buffer.alloc(0)))
    expect(edits.flatMap(({ part = [] }) => part).sort()).toEqual(parts.sort())
  })
})
