import fc from 'fast-check'
import { expect, test } from 'vitest'
import { auditEntries, auditEntry, lookupOfLine, maxRecordBytes, unknownIdentity } from '../../src/audit/record.ts'
import type { AuditEntry } from '../../src/audit/record.ts'
import { caller, input, keyArn, owner } from './fixtures.ts'

const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/
const parse = (entry: AuditEntry): Record<string, unknown> => JSON.parse(entry.line) as Record<string, unknown>

test('a record has the members of a CloudTrail record of event version 1.11', () => {
  const { eventID, ...record } = parse(auditEntry(input))
  expect(eventID).toMatch(uuid)
  expect(record).toEqual({
    eventVersion: '1.11',
    userIdentity: input.userIdentity,
    eventTime: '2026-03-04T05:06:07Z',
    eventSource: 'kms.amazonaws.com',
    eventName: 'Decrypt',
    awsRegion: 'eu-test-1',
    sourceIPAddress: '192.0.2.7',
    userAgent: 'aws-cli/2',
    requestParameters: input.requestParameters,
    responseElements: null,
    requestID: input.requestId,
    readOnly: true,
    resources: [{ accountId: caller, type: 'AWS::KMS::Key', ARN: keyArn(caller) }],
    eventType: 'AwsApiCall',
    managementEvent: true,
    recipientAccountId: caller,
    eventCategory: 'Management',
  })
})

test('a denied request is recorded as AccessDenied, other errors under their own name', () => {
  const denied = parse(auditEntry({ ...input, errorCode: 'AccessDeniedException', errorMessage: 'no' }))
  expect(denied).toMatchObject({ errorCode: 'AccessDenied', errorMessage: 'no', responseElements: null, requestParameters: input.requestParameters })
  expect(parse(auditEntry({ ...input, errorCode: 'IncorrectKeyException' }))).toMatchObject({ errorCode: 'IncorrectKeyException' })
})

test('a caller that was not established is Unknown, with the access key id that it claimed', () => {
  expect(unknownIdentity()).toEqual({ type: 'Unknown' })
  expect(unknownIdentity('AKIACLAIMED')).toEqual({ type: 'Unknown', accessKeyId: 'AKIACLAIMED' })
  const record = parse(auditEntry({ ...input, userIdentity: unknownIdentity('k'.repeat(5000)), recipientAccountId: undefined }))
  expect(record['userIdentity']).toEqual({ type: 'Unknown', accessKeyId: 'k'.repeat(128) })
  expect(record).not.toHaveProperty('recipientAccountId')
})

test('a decision on stale rows says so beside the other event data', () => {
  expect(parse(auditEntry({ ...input, stale: true, additionalEventData: { keyMaterialId: 'ab' } }))['additionalEventData'])
    .toEqual({ keyMaterialId: 'ab', stale: true })
  expect(parse(auditEntry(input))).not.toHaveProperty('additionalEventData')
})

test('texts of the client are cut at their limit in bytes, never within a character', () => {
  const record = parse(auditEntry({ ...input, userAgent: 'ä€😀'.repeat(1000), eventName: 'E'.repeat(1000), errorMessage: '😀'.repeat(1000), errorCode: 'X' }))
  const agent = String(record['userAgent'])
  expect(Buffer.byteLength(agent)).toBeGreaterThan(1020)
  expect(Buffer.byteLength(agent)).toBeLessThanOrEqual(1024)
  expect('ä€😀'.repeat(1000).startsWith(agent)).toBe(true)
  expect(record['eventName']).toBe('E'.repeat(128))
  expect(record['errorMessage']).toBe('😀'.repeat(256))
})

test('an element beyond its limit is null and its name is kept', () => {
  const large = (bytes: number) => ({ text: 'x'.repeat(bytes) })
  expect(parse(auditEntry({ ...input, requestParameters: large(101 * 1024), responseElements: large(99 * 1024) }))).toMatchObject({
    requestParameters: null, responseElements: large(99 * 1024), additionalEventData: { omitted: ['requestParameters'] },
  })
  expect(parse(auditEntry({ ...input, additionalEventData: large(29 * 1024), responseElements: large(101 * 1024) }))).toMatchObject({
    requestParameters: input.requestParameters, responseElements: null, additionalEventData: { omitted: ['responseElements', 'additionalEventData'] },
  })
})

test('limits are counted in bytes, not in characters', () => {
  const record = parse(auditEntry({ ...input, requestParameters: { text: '€'.repeat(35 * 1024) } }))
  expect(record['requestParameters']).toBeNull()
})

test('no text of a client breaks the line, the JSON or the limit', () => {
  const text = fc.string({ unit: 'binary', maxLength: 3000 })
  fc.assert(fc.property(text, text, text, text, (userAgent, eventName, accessKeyId, value) => {
    const entry = auditEntry({
      ...input, userAgent, eventName, userIdentity: unknownIdentity(accessKeyId), requestParameters: { [value]: value }, errorCode: eventName, errorMessage: value,
    })
    const bytes = Buffer.from(entry.line)
    expect(entry.line).not.toContain('\n')
    expect(bytes.length).toBeLessThan(maxRecordBytes)
    expect(() => new TextDecoder('utf-8', { fatal: true }).decode(bytes)).not.toThrow()
    expect(parse(entry)).toHaveProperty('requestParameters')
  }))
})

test('a context member called __proto__ stands in the record', () => {
  const encryptionContext = Object.fromEntries(new Map([['__proto__', 'x']])) as object
  expect(auditEntry({ ...input, requestParameters: { encryptionContext } }).line).toContain('"encryptionContext":{"__proto__":"x"}')
})

test('a record is found by its account, name, key, caller and request', () => {
  expect(auditEntry(input).lookup).toEqual({
    time: new Date('2026-03-04T05:06:07Z'),
    accounts: [caller],
    eventName: 'Decrypt',
    keyIds: ['1234abcd-12ab-34cd-56ef-1234567890ab'],
    principals: [`arn:aws:iam::${caller}:user/app`, 'AIDAEXAMPLEEXAMPLE222', 'app', 'AKIAEXAMPLEEXAMPLE22'],
    requestId: input.requestId,
  })
})

test('the look-up of a line read back is the one that it was written with', () => {
  const text = fc.string({ unit: 'binary', maxLength: 400 })
  fc.assert(fc.property(text, text, fc.option(fc.constant(caller), { nil: undefined }), (eventName, accessKeyId, recipientAccountId) => {
    const entry = auditEntry({ ...input, eventName, userIdentity: unknownIdentity(accessKeyId), recipientAccountId })
    expect(lookupOfLine(entry.line)).toEqual(entry.lookup)
  }))
})

test('a look-up holds nothing that Postgres refuses in a text', () => {
  const { lookup } = auditEntry({ ...input, eventName: 'De\0crypt\ud800\n', userIdentity: unknownIdentity('A\0B') })
  expect(lookup.eventName).toBe('Decrypt')
  expect(lookup.principals).toEqual(['AB'])
})

test('a call within one account gives one record', () => {
  const entries = auditEntries(input)
  expect(entries).toHaveLength(1)
  expect(entries.map(parse)[0]).not.toHaveProperty('sharedEventID')
})

test('a call on a key of another account gives a pair with one sharedEventID', () => {
  const [own, theirs, ...rest] = auditEntries({ ...input, resources: [{ accountId: owner, type: 'AWS::KMS::Key', ARN: keyArn(owner) }] }).map(parse)
  expect(rest).toEqual([])
  expect(own).toMatchObject({ recipientAccountId: caller, userIdentity: input.userIdentity })
  expect(theirs).toMatchObject({ recipientAccountId: owner, requestID: input.requestId })
  expect(theirs?.['userIdentity']).toEqual({ type: 'AWSAccount', principalId: 'AIDAEXAMPLEEXAMPLE222', accountId: caller })
  expect(own?.['sharedEventID']).toMatch(uuid)
  expect(theirs?.['sharedEventID']).toBe(own?.['sharedEventID'])
  expect(theirs?.['eventID']).not.toBe(own?.['eventID'])
})

test('ReEncrypt over two other accounts gives each owner a record with its own key only', () => {
  const third = '777788889999'
  const resources = [owner, third].map(accountId => ({ accountId, type: 'AWS::KMS::Key', ARN: keyArn(accountId) }))
  const records = auditEntries({ ...input, eventName: 'ReEncrypt', resources }).map(parse)
  expect(records.map(record => record['recipientAccountId'])).toEqual([caller, owner, third])
  expect(records.map(record => record['resources'])).toEqual([resources, [resources[0]], [resources[1]]])
})

test('a denied call on a key of another account is recorded for the caller alone', () => {
  const entries = auditEntries({ ...input, errorCode: 'AccessDeniedException', resources: [{ accountId: owner, type: 'AWS::KMS::Key', ARN: keyArn(owner) }] })
  expect(entries.map(entry => parse(entry)['recipientAccountId'])).toEqual([caller])
})
