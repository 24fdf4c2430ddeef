// What a request leaves behind: one record in the form of AWS CloudTrail, durable before the answer; its measurements.
import { randomBytes } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { createServer, type AddressInfo } from 'node:net'
import pg from 'pg'
import { afterAll, afterEach, beforeAll, describe, expect, inject, it } from 'vitest'
import { putKeyPolicy } from '../../src/store/policies.ts'
import { raw } from '../support/aws.ts'
import { expectRefusal, openScene, policyOf, statement, success, until, type Json, type Reply, type Scene, type TestKey } from '../support/scene.ts'
import { recordOf, recordsOf, wholeTrail } from '../support/trail.ts'

let scene: Scene
let key: TestKey
const { account, admin, identities } = inject('installation')
const { plain, root, foreign } = identities
const requestIdOf = ({ headers }: Reply): string => headers.get('x-amzn-requestid') ?? ''
const uuid = expect.stringMatching(/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/) as string

beforeAll(async () => {
  // A fixed port: the gateway that takes another's place must be found again.
  const port = await new Promise<number>(resolve => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const { port: free } = server.address() as AddressInfo
      server.close(() => { resolve(free) })
    })
  })
  scene = await openScene({ listen: { port } })
  key = await scene.newKey()
})
afterAll(() => scene.close())

const adminIdentity = {
  type: 'IAMUser', principalId: expect.stringMatching(/^AIDA/) as string, arn: `arn:aws:iam::${account}:user/admin`, accountId: account, accessKeyId: admin.accessKeyId, userName: 'admin',
}

/** All members of a record of KMS; `more` are those that differ by request. */
const recordLike = (eventName: string, requestID: string, more: Json = {}): Json => ({
  eventVersion: '1.11', userIdentity: adminIdentity, eventTime: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/) as string, eventSource: 'kms.amazonaws.com', eventName,
  awsRegion: 'onprem-1', sourceIPAddress: '127.0.0.1', userAgent: 'node', requestParameters: null, responseElements: null, requestID, eventID: uuid, readOnly: true,
  eventType: 'AwsApiCall', managementEvent: true, recipientAccountId: account, eventCategory: 'Management', resources: [], ...more,
})

const resource = ({ arn }: TestKey, accountId = account): Json[] => [{ accountId, type: 'AWS::KMS::Key', ARN: arn }]

async function recorded(operation: string, input: Json, as = admin): Promise<{ reply: Reply; record: Json }> {
  const reply = await scene.call(operation, input, as)
  return { reply, record: await recordOf(scene.pool, requestIdOf(reply)) }
}

describe('the record', () => {
  it('of CreateKey names what was asked for and what was made', async () => {
    const Policy = JSON.stringify(policyOf(statement('Allow', 'kms:*', { AWS: account })))
    const { reply, record } = await recorded('CreateKey', { Description: 'kept', Policy, Tags: [{ TagKey: 'team', TagValue: 'blue' }] })
    const { KeyMetadata } = success(reply) as { KeyMetadata: { KeyId: string; Arn: string; CurrentKeyMaterialId: string } }
    expect(record).toEqual(recordLike('CreateKey', requestIdOf(reply), {
      readOnly: false,
      requestParameters: { policy: Policy, description: 'kept', origin: 'AWS_KMS', bypassPolicyLockoutSafetyCheck: false, multiRegion: false, tags: [{ tagKey: 'team', tagValue: 'blue' }] },
      responseElements: {
        keyMetadata: {
          aWSAccountId: account, keyId: KeyMetadata.KeyId, arn: KeyMetadata.Arn, creationDate: expect.stringMatching(/^[A-Z][a-z]{2} \d{1,2}, \d{4}, \d{1,2}:\d\d:\d\d [AP]M$/) as string, enabled: true, description: 'kept',
          keyUsage: 'ENCRYPT_DECRYPT', keyState: 'Enabled', origin: 'AWS_KMS', keyManager: 'CUSTOMER', customerMasterKeySpec: 'SYMMETRIC_DEFAULT', keySpec: 'SYMMETRIC_DEFAULT',
          encryptionAlgorithms: ['SYMMETRIC_DEFAULT'], multiRegion: false, currentKeyMaterialId: KeyMetadata.CurrentKeyMaterialId,
        },
      },
      resources: resource({ id: KeyMetadata.KeyId, arn: KeyMetadata.Arn }),
    }))
  })

  it('of DescribeKey and ListKeys has no answer in it', async () => {
    const described = await recorded('DescribeKey', { KeyId: key.id, GrantTokens: ['secret-token'] })
    expect(described.record).toEqual(recordLike('DescribeKey', requestIdOf(described.reply), { requestParameters: { keyId: key.id }, resources: resource(key) }))
    const listed = await recorded('ListKeys', { Limit: 7 })
    expect(listed.record).toEqual(recordLike('ListKeys', requestIdOf(listed.reply), { requestParameters: { limit: 7 } }))
  })

  it('of Encrypt and Decrypt shows context and material, and neither plaintext nor ciphertext', async () => {
    const EncryptionContext = JSON.parse('{"tenant":"blue","__proto__":"kept","Big":"Letters"}') as Json
    const sealed = await recorded('Encrypt', { KeyId: key.arn, Plaintext: 'aGVsbG8=', EncryptionContext })
    const { CiphertextBlob } = success(sealed.reply)
    const opened = await recorded('Decrypt', { CiphertextBlob, EncryptionContext })
    const { KeyMaterialId } = success(opened.reply)
    const shown = { encryptionAlgorithm: 'SYMMETRIC_DEFAULT', encryptionContext: EncryptionContext }
    const more = { additionalEventData: { keyMaterialId: KeyMaterialId }, resources: resource(key) }
    expect(sealed.record).toEqual(recordLike('Encrypt', requestIdOf(sealed.reply), { requestParameters: { keyId: key.arn, ...shown }, ...more }))
    expect(opened.record).toEqual(recordLike('Decrypt', requestIdOf(opened.reply), { requestParameters: shown, ...more }))
    expect(Object.keys((opened.record.requestParameters as { encryptionContext: object }).encryptionContext).sort()).toEqual(['Big', '__proto__', 'tenant'])
  })

  it('of GenerateRandom names no key', async () => {
    const { reply, record } = await recorded('GenerateRandom', { NumberOfBytes: 9 })
    expect(record).toEqual(recordLike('GenerateRandom', requestIdOf(reply), { requestParameters: { numberOfBytes: 9 } }))
  })

  it('of the root user has no user name', async () => {
    const { record } = await recorded('DescribeKey', { KeyId: key.id }, root)
    expect(record.userIdentity).toEqual({ type: 'Root', principalId: account, arn: `arn:aws:iam::${account}:root`, accountId: account, accessKeyId: root.accessKeyId })
  })

  it('of a refused request has its error, who asked and what for', async () => {
    const denied = await recorded('Encrypt', { KeyId: key.id, Plaintext: 'aGVsbG8=' }, plain)
    expect(denied.record).toMatchObject({
      errorCode: 'AccessDenied', errorMessage: denied.reply.body.Message, responseElements: null, requestParameters: { keyId: key.id, encryptionAlgorithm: 'SYMMETRIC_DEFAULT' }, userIdentity: { arn: plain.arn }, recipientAccountId: account,
    })
    const wrong = await recorded('Decrypt', { CiphertextBlob: 'aGVsbG8=', EncryptionContext: { a: 'b' } })
    expect(wrong.record).toMatchObject({ errorCode: 'InvalidCiphertextException', requestParameters: { encryptionContext: { a: 'b' } }, responseElements: null })
    expect(wrong.record).not.toHaveProperty('errorMessage')
    expect(wrong.record).not.toHaveProperty('additionalEventData')
    const dry = await recorded('Encrypt', { KeyId: key.id, Plaintext: 'aGVsbG8=', DryRun: true })
    expect(dry.record).toMatchObject({ errorCode: 'DryRunOperationException', requestParameters: { dryRun: true } })
  })

  it('comes twice when the key is another account\'s, once for each, under one sharedEventID', async () => {
    const shared = await scene.newKey()
    await scene.change(tx => putKeyPolicy(tx, shared.id, JSON.stringify(policyOf(statement('Allow', 'kms:*', { AWS: [account, foreign.accountId] })))))
    const reply = await scene.call('Encrypt', { KeyId: shared.arn, Plaintext: 'aGVsbG8=' }, foreign)
    success(reply)
    let records: Json[] = []
    await until('both records', async () => (records = (await recordsOf(scene.pool, [requestIdOf(reply)])).get(requestIdOf(reply)) ?? []).length === 2)
    const callers = records.find(({ recipientAccountId }) => recipientAccountId === foreign.accountId)
    const owners = records.find(({ recipientAccountId }) => recipientAccountId === account)
    expect(callers).toMatchObject({ userIdentity: { type: 'IAMUser', arn: foreign.arn }, resources: resource(shared), sharedEventID: uuid })
    expect(owners).toMatchObject({ userIdentity: { type: 'AWSAccount', principalId: foreign.userId, accountId: foreign.accountId }, resources: resource(shared), sharedEventID: callers?.sharedEventID })
    expect(owners?.userIdentity).not.toHaveProperty('arn')
    expect(owners?.eventID).not.toBe(callers?.eventID)
    // A refused call concerns the caller's account alone.
    const refused = await scene.call('Encrypt', { KeyId: key.arn, Plaintext: 'aGVsbG8=' }, foreign)
    expect(await recordOf(scene.pool, requestIdOf(refused))).toMatchObject({ recipientAccountId: foreign.accountId, errorCode: 'AccessDenied' })
  })

  it('of anything holds no plaintext, ciphertext, grant token or secret, and neither does the log', async () => {
    const plaintext = `needle-${randomBytes(12).toString('hex')}`
    const Plaintext = Buffer.from(plaintext).toString('base64')
    const { CiphertextBlob } = success(await scene.call('Encrypt', { KeyId: key.id, Plaintext, GrantTokens: ['needle-token'] })) as { CiphertextBlob: string }
    success(await scene.call('Decrypt', { CiphertextBlob }))
    await scene.call('Encrypt', { KeyId: 'nothing', Plaintext })
    await scene.call('Encrypt', { KeyId: key.id, Plaintext: `${Plaintext}!` })
    await scene.call('Encrypt', `{"KeyId":"${key.id}","Plaintext":"${Plaintext}"`)
    const random = success(await scene.call('GenerateRandom', { NumberOfBytes: 32 })).Plaintext as string
    await recordOf(scene.pool, requestIdOf(await scene.call('ListKeys', {})))
    const { trent } = scene
    const texts = { trail: JSON.stringify(await wholeTrail(scene.pool)), log: await trent.log() }
    expect(texts.trail.length).toBeGreaterThan(10_000)
    const pin = (await readFile(`${trent.directory}/pin`, 'utf8')).trim()
    const secrets = [plaintext, Plaintext, Plaintext.slice(4, -4), CiphertextBlob, CiphertextBlob.slice(100), random, admin.secretAccessKey, plain.secretAccessKey, 'needle-token']
    for (const secret of secrets) for (const text of [texts.trail, texts.log]) expect(text.includes(secret)).toBe(false)
    expect(texts.log.includes(pin)).toBe(false)
  })

  it('shows a hostile user agent as text, cut to CloudTrail\'s length', async () => {
    const agent = `"},{"eventName":"Forged"} ${'x'.repeat(2000)}`
    const answer = await raw(scene.trent.url, { target: 'TrentService.ListKeys', headers: { 'User-Agent': agent } })
    const record = await recordOf(scene.pool, answer.headers.get('x-amzn-requestid') ?? '')
    expect(record).toMatchObject({ eventName: 'ListKeys', userAgent: agent.slice(0, 1024) })
  })
})

describe('measurements', () => {
  const metrics = async (): Promise<string> => (await fetch(`${scene.trent.privateUrl}/metrics`)).text()
  const value = (page: string, series: string): number => Number(page.split('\n').find(line => line.startsWith(`${series} `))?.split(' ')[1] ?? 0)

  it('count each request by operation and error, and time it', async () => {
    const before = await metrics()
    for (let count = 0; count < 5; count++) success(await scene.call('Encrypt', { KeyId: key.id, Plaintext: 'aGVsbG8=' }))
    await scene.call('Decrypt', { CiphertextBlob: 'aGVsbG8=' })
    await scene.call('NoSuchThing', {})
    await scene.call('Encrypt', { KeyId: key.id, Plaintext: 'aGVsbG8=' }, plain)
    await scene.call('ListKeys', {}, { accessKeyId: 'AKIAZZZZZZZZZZZZZZZZ', secretAccessKey: 'none' })
    const after = await metrics()
    const risen = (series: string): number => value(after, series) - value(before, series)
    expect({
      encrypted: risen('kms_requests_total{operation="Encrypt",code="OK"}'), timed: risen('kms_request_duration_seconds_count{operation="Encrypt"}'),
      refused: risen('kms_requests_total{operation="Decrypt",code="InvalidCiphertextException"}'), unknown: risen('kms_requests_total{operation="Unknown",code="UnknownOperationException"}'),
      denied: risen('kms_authz_denied_total{operation="Encrypt"}'), unauthenticated: risen('kms_authn_failures_total{reason="unknown-key"}'),
    }).toEqual({ encrypted: 5, timed: 6, refused: 1, unknown: 1, denied: 1, unauthenticated: 1 })
    expect(risen('audit_records_total')).toBeGreaterThanOrEqual(9)
    expect(value(after, 'kms_requests_in_flight')).toBe(0)
  })

  it('have the latency of each PKCS#11 function', async () => {
    const page = await metrics()
    for (const name of ['C_Encrypt', 'C_Decrypt', 'C_GenerateRandom', 'C_GenerateKey', 'C_WrapKey']) {
      expect(value(page, `hsm_function_duration_seconds_count{token="trent-test",function="${name}"}`), name).toBeGreaterThan(0)
      expect(value(page, `hsm_function_duration_seconds_sum{token="trent-test",function="${name}"}`), name).toBeGreaterThan(0)
    }
    expect(value(page, 'hsm_up{token="trent-test"}')).toBe(1)
  })

  it('name no key, no user and no address', async () => {
    const page = await metrics()
    for (const told of [key.id, account, plain.accessKeyId, admin.accessKeyId, '127.0.0.1', 'NoSuchThing']) expect(page.includes(told), told).toBe(false)
  })

  it('stand beside probes, on the private port alone', async () => {
    const probe = async (path: string, at = scene.trent.privateUrl): Promise<[number, string]> => {
      const answer = await fetch(at + path)
      return [answer.status, await answer.text()]
    }
    expect(await probe('/livez')).toEqual([200, 'ok\n'])
    expect(await probe('/readyz')).toEqual([200, 'ok\n'])
    const [status, verbose] = await probe('/readyz?verbose')
    expect(status).toBe(200)
    expect(JSON.parse(verbose)).toMatchObject({ ok: true, checks: { gateways: { ok: true }, token: { ok: true }, database: { ok: true }, cache: { ok: true } } })
    for (const path of ['/metrics', '/livez', '/readyz']) expect((await probe(path, scene.trent.url))[0]).toBe(404)
  })
})

describe('no audit, no answer', () => {
  let lock: pg.Client | undefined

  /** While it is held no batch can be stored: to the shipper Postgres is away, to all others it is not. */
  const stopShipping = async (): Promise<void> => {
    lock = new pg.Client({ connectionString: scene.trent.databaseUrl })
    await lock.connect()
    await lock.query('BEGIN')
    await lock.query('LOCK TABLE audit_batches IN ACCESS EXCLUSIVE MODE')
  }
  const resumeShipping = async (): Promise<void> => {
    await lock?.end()
    lock = undefined
  }
  afterEach(resumeShipping)

  async function gatewayOf(primary: number): Promise<number> {
    const children = (await readFile(`/proc/${primary}/task/${primary}/children`, 'utf8')).trim().split(' ')
    for (const child of children) if ((await readFile(`/proc/${child}/cmdline`, 'utf8')).startsWith('trent: gateway')) return Number(child)
    throw new Error(`process ${primary} has no gateway`)
  }

  it('the record of an answer survives kill -9 of the gateway before anything was shipped', async () => {
    await stopShipping()
    const replies = await Promise.all(Array.from({ length: 20 }, () => scene.call('Encrypt', { KeyId: key.id, Plaintext: 'aGVsbG8=' })))
    process.kill(await gatewayOf(scene.trent.primary.pid ?? 0), 'SIGKILL')
    replies.forEach(success)
    await resumeShipping()
    const records = await recordsOf(scene.pool, replies.map(requestIdOf))
    for (const reply of replies) expect(records.get(requestIdOf(reply))).toHaveLength(1)
    // Another gateway has taken its place.
    await until('the next gateway', async () => await scene.call('ListKeys', {}).then(({ status }) => status === 200, () => false))
  })

  it('a journal that is full of unshipped records answers nothing more, and goes on once they are shipped', async () => {
    const large = { KeyId: key.id, Plaintext: 'aGVsbG8=', EncryptionContext: { filler: 'x'.repeat(90_000) } }
    await stopShipping()
    const answered: Reply[] = []
    let reply = await scene.call('Encrypt', large)
    // Two segments of a mebibyte hold some twenty of these.
    while (reply.status === 200 && answered.length < 40) {
      answered.push(reply)
      reply = await scene.call('Encrypt', large)
    }
    expect(answered.length).toBeGreaterThan(10)
    expect({ status: reply.status, body: reply.body }).toEqual({ status: 500, body: { __type: 'KMSInternalException', message: 'The request was rejected because an internal exception occurred. The request can be retried.' } })
    // Not even a refusal is told without its record.
    expect((await scene.call('Encrypt', { ...large, KeyId: 'nothing' })).status).toBe(500)
    await resumeShipping()
    await until('the journal to have room', async () => (await scene.call('Encrypt', large)).status === 200, 20_000)
    const records = await recordsOf(scene.pool, answered.map(requestIdOf))
    expect(records.size).toBe(answered.length)
    expectRefusal(await scene.call('DescribeKey', { KeyId: 'nothing' }), 'NotFoundException', "Invalid keyId 'nothing'")
  })

  it('after kill -9 of everything, the next start finds and ships what was recorded', async () => {
    await stopShipping()
    const replies = await Promise.all(Array.from({ length: 5 }, () => scene.call('GenerateRandom', { NumberOfBytes: 5 })))
    const { primary } = scene.trent
    const dead = new Promise(resolve => primary.once('exit', resolve))
    process.kill(primary.pid ?? 0, 'SIGKILL')
    await dead
    replies.forEach(success)
    await resumeShipping()
    const again = await scene.trent.again()
    try {
      const records = await recordsOf(scene.pool, replies.map(requestIdOf))
      expect(records.size).toBe(5)
    } finally {
      await again.stop()
    }
  })
})
