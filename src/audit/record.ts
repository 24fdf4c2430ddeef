// One request, one record, in the form of AWS CloudTrail (event version 1.11), serialised once to one line of JSON. Texts of the
// client stand in it, so each is bounded; what is looked up by (accounts, names, keys, principals) is taken from the record itself.
import { randomUUID } from 'node:crypto'

type Members = Readonly<Record<string, unknown>>

export interface RecordResource {
  readonly accountId: string
  readonly type: string
  readonly ARN: string
}

/** Values that JSON can hold: an encryption context is passed as Object.fromEntries(context), which keeps `__proto__`. */
export interface RecordInput {
  readonly time: Date
  readonly eventSource: 'kms.amazonaws.com' | 'sts.amazonaws.com'
  readonly eventName: string
  readonly region: string
  readonly sourceIPAddress: string
  readonly userAgent: string
  /** CloudTrail's userIdentity element; unknownIdentity() where the caller was not established. */
  readonly userIdentity: Members
  readonly requestParameters: Members | null
  /** null for reads and for cryptographic operations. */
  readonly responseElements: Members | null
  readonly additionalEventData?: Members | undefined
  readonly errorCode?: string | undefined
  readonly errorMessage?: string | undefined
  readonly requestId: string
  readonly readOnly: boolean
  /** Keys touched, in CloudTrail's order: source before destination. */
  readonly resources?: readonly RecordResource[] | undefined
  /** The account whose trail this is: the caller's. undefined when no caller was established. */
  readonly recipientAccountId: string | undefined
  readonly sharedEventId?: string | undefined
  readonly tlsDetails?: { readonly tlsVersion: string; readonly cipherSuite: string; readonly clientProvidedHostHeader: string } | undefined
  /** The decision was made on cached rows while Postgres was away. */
  readonly stale?: boolean | undefined
}

/** What a record is found by. All texts are free of control characters: Postgres refuses U+0000, and the batch with it. */
export interface Lookup {
  /** Whole seconds, as in eventTime. */
  readonly time: Date
  readonly accounts: readonly string[]
  readonly eventName: string
  readonly keyIds: readonly string[]
  readonly principals: readonly string[]
  readonly requestId: string
}

export interface AuditEntry {
  /** JSON without a line feed, at most maxRecordBytes of UTF-8. */
  readonly line: string
  readonly lookup: Lookup
}

/** CloudTrail's limit for one event. */
export const maxRecordBytes = 256 * 1024

/** CloudTrail's limits in bytes of UTF-8 (record contents reference); texts are cut, whole elements are left out. */
const textLimits = { eventName: 128, sourceIPAddress: 64, userAgent: 1024, errorCode: 128, errorMessage: 1024, host: 256, accessKeyId: 128 }
const elementLimits = { requestParameters: 100 * 1024, responseElements: 100 * 1024, additionalEventData: 28 * 1024 }
/** A line of fewer UTF-16 units than this cannot hold an element beyond its limit, since a unit has at most three bytes. */
const surelyWithinLimits = Math.floor(elementLimits.additionalEventData / 3)

/** CloudTrail's own spelling where it differs from the error's. */
const trailCodes = new Map([['AccessDeniedException', 'AccessDenied']])

/** The identity of a request whose caller could not be established; `accessKeyId` is only what it claimed. */
export function unknownIdentity(accessKeyId?: string): Members {
  return accessKeyId === undefined ? { type: 'Unknown' } : { type: 'Unknown', accessKeyId: bounded(accessKeyId, textLimits.accessKeyId) }
}

/**
 * The records of a request: one, and one more for each other account that owns a key it touched. Those share one
 * sharedEventID. A refused or failed call is recorded for the caller alone: its owner was not touched.
 */
export function auditEntries(input: RecordInput): AuditEntry[] {
  const owners = input.errorCode === undefined ? otherOwners(input) : []
  if (owners.length === 0) return [auditEntry(input)]
  const shared = { ...input, sharedEventId: input.sharedEventId ?? randomUUID() }
  return [auditEntry(shared), ...owners.map(owner => auditEntry(ownersCopy(shared, owner)))]
}

/** One record, with an eventID of its own. */
export function auditEntry(input: RecordInput): AuditEntry {
  const record = recordOf(input)
  const line = JSON.stringify(record)
  return { line: line.length < surelyWithinLimits ? line : JSON.stringify(withinLimits(record)), lookup: lookupOf(record) }
}

/**
 * The same event as the owner of a key in another account sees it: the caller only as principal id and account, and of the
 * keys only the owner's own. `input` carries the sharedEventId of the pair.
 */
export function ownersCopy(input: RecordInput, ownerAccountId: string): RecordInput {
  const { principalId, accountId } = input.userIdentity
  return {
    ...input,
    userIdentity: { type: 'AWSAccount', principalId, accountId },
    recipientAccountId: ownerAccountId,
    resources: input.resources?.filter(resource => resource.accountId === ownerAccountId),
  }
}

function otherOwners({ resources = [], recipientAccountId }: RecordInput): string[] {
  if (resources.every(resource => resource.accountId === recipientAccountId)) return []
  return [...new Set(resources.map(resource => resource.accountId))].filter(owner => owner !== recipientAccountId)
}

type TrailRecord = ReturnType<typeof recordOf>

function recordOf(input: RecordInput) {
  const { tlsDetails: tls, errorCode, errorMessage } = input
  return {
    eventVersion: '1.11',
    userIdentity: input.userIdentity,
    eventTime: `${input.time.toISOString().slice(0, 19)}Z`,
    eventSource: input.eventSource,
    eventName: bounded(input.eventName, textLimits.eventName),
    awsRegion: input.region,
    sourceIPAddress: bounded(input.sourceIPAddress, textLimits.sourceIPAddress),
    userAgent: bounded(input.userAgent, textLimits.userAgent),
    errorCode: errorCode === undefined ? undefined : bounded(trailCodes.get(errorCode) ?? errorCode, textLimits.errorCode),
    errorMessage: errorMessage === undefined ? undefined : bounded(errorMessage, textLimits.errorMessage),
    requestParameters: input.requestParameters,
    responseElements: input.responseElements,
    additionalEventData: input.stale === true ? { ...input.additionalEventData, stale: true } : input.additionalEventData,
    requestID: input.requestId,
    eventID: randomUUID() as string,
    readOnly: input.readOnly,
    resources: input.resources,
    eventType: 'AwsApiCall',
    managementEvent: true,
    recipientAccountId: input.recipientAccountId,
    sharedEventID: input.sharedEventId,
    eventCategory: 'Management',
    tlsDetails: tls === undefined ? undefined : { ...tls, clientProvidedHostHeader: bounded(tls.clientProvidedHostHeader, textLimits.host) },
  }
}

/** Elements beyond CloudTrail's limits are null; their names stand in additionalEventData.omitted. */
function withinLimits(record: TrailRecord): TrailRecord {
  const exceeds = (name: keyof typeof elementLimits) => Buffer.byteLength(JSON.stringify(record[name] ?? null)) > elementLimits[name]
  const omitted = (Object.keys(elementLimits) as (keyof typeof elementLimits)[]).filter(exceeds)
  if (omitted.length === 0) return record
  const kept = omitted.includes('additionalEventData') ? {} : record.additionalEventData
  return {
    ...record,
    requestParameters: omitted.includes('requestParameters') ? null : record.requestParameters,
    responseElements: omitted.includes('responseElements') ? null : record.responseElements,
    additionalEventData: { ...kept, omitted },
  }
}

/** The look-up of a record that was read back from a journal. @throws SyntaxError when the line is not JSON. */
export function lookupOfLine(line: string): Lookup {
  return lookupOf(JSON.parse(line) as TrailRecord)
}

function lookupOf(record: Pick<TrailRecord, 'userIdentity' | 'eventTime' | 'eventName' | 'requestID' | 'recipientAccountId' | 'resources'>): Lookup {
  const { arn, principalId, userName, accessKeyId } = record.userIdentity
  return {
    time: new Date(record.eventTime),
    accounts: texts([record.recipientAccountId]),
    eventName: lookupText(record.eventName),
    keyIds: texts(record.resources?.map(resource => resource.ARN.slice(resource.ARN.lastIndexOf('/') + 1)) ?? []),
    principals: texts([arn, principalId, userName, accessKeyId]),
    requestId: lookupText(record.requestID),
  }
}

const texts = (values: readonly unknown[]): string[] => values.filter(value => typeof value === 'string').map(lookupText)

const control = /\p{Cc}|\p{Cs}/gu
const printable = /^[\x20-\x7e]{0,256}$/

const lookupText = (text: string): string => printable.test(text) ? text : text.slice(0, 256).replace(control, '')

const encoder = new TextEncoder()
const scratch = new Uint8Array(Math.max(...Object.values(textLimits)))

/** `text` cut to at most `bytes` of UTF-8, never within a character. */
function bounded(text: string, bytes: number): string {
  if (text.length * 3 <= bytes) return text
  return text.slice(0, encoder.encodeInto(text, scratch.subarray(0, bytes)).read)
}
