// What a request leaves behind: one audit record, durable before the answer, and its metrics. Filled as the steps of serve go on,
// so that a request that fails half-way still says who asked for what.
import { element } from '../audit/element.ts'
import { auditEntries, unknownIdentity, type AuditEntry, type RecordInput } from '../audit/record.ts'
import type { KeyEntry } from '../cache/key-entry.ts'
import type { KmsError } from '../errors.ts'
import { userIdentity, type Caller } from '../identity/caller.ts'
import type { Notes, Operation, ParsedInput } from '../operations/operation.ts'
import type { IncomingRequest, Resources } from './resources.ts'

export class RequestEvent {
  readonly notes: Notes = {}
  readonly #resources: Resources
  readonly #request: IncomingRequest
  readonly #source: RecordInput['eventSource']
  readonly #started = performance.now()
  readonly #time: Date
  readonly #staleBefore: number
  /** What the client calls the operation; 'Unknown' until it is found. */
  name = 'Unknown'
  operation: Operation | undefined
  /** Who the request says it is from, until that is proven. */
  claimedAccessKey: string | undefined
  caller: Caller | undefined
  input: ParsedInput | undefined
  keys: readonly KeyEntry[] = []
  /** CloudTrail's readOnly for a request whose operation is no KMS operation, or unknown. */
  readOnly = true

  constructor(resources: Resources, request: IncomingRequest, source: RecordInput['eventSource']) {
    this.#resources = resources
    this.#request = request
    this.#source = source
    this.#time = resources.now()
    this.#staleBefore = resources.cache.staleServed
    resources.metrics.requests.started()
  }

  /** The records of this request as it stands: one, and one more for each other account whose key it touched. */
  entries(error?: KmsError): AuditEntry[] {
    const { caller, operation } = this
    return auditEntries({
      time: this.#time,
      eventSource: this.#source,
      eventName: this.name,
      region: this.#resources.region,
      sourceIPAddress: this.#request.address,
      userAgent: this.#request.userAgent,
      userIdentity: caller === undefined ? unknownIdentity(this.claimedAccessKey) : userIdentity(caller),
      requestParameters: operation === undefined || this.input === undefined ? null : requestParameters(operation, this.input),
      responseElements: error === undefined && this.notes.responseElements !== undefined ? element(this.notes.responseElements) as Record<string, unknown> : null,
      additionalEventData: error === undefined ? this.notes.additionalEventData : undefined,
      errorCode: error?.code,
      errorMessage: error?.text,
      requestId: this.#request.id,
      readOnly: operation?.readOnly ?? this.readOnly,
      resources: [...this.keys.map(({ key }) => key), ...(this.notes.resources ?? [])].map(({ accountId, arn }) => ({ accountId, type: 'AWS::KMS::Key', ARN: arn })),
      recipientAccountId: caller?.accountId,
      stale: this.#resources.cache.staleServed > this.#staleBefore,
    })
  }

  /** Makes the records durable in this process's journal. @throws JournalUnavailable: no audit, no answer */
  async record(error?: KmsError): Promise<void> {
    const entries = this.entries(error)
    if (entries.length === 1 && entries[0] !== undefined) await this.#resources.journal.append(entries[0])
    else await Promise.all(entries.map(entry => this.#resources.journal.append(entry)))
  }

  finish(error: KmsError | undefined): void {
    const { requests } = this.#resources.metrics
    if (error?.code === 'AccessDeniedException') requests.denied(this.name)
    if (error?.code === 'ThrottlingException') requests.throttled(this.name)
    requests.finished(this.name, error?.code ?? 'OK', (performance.now() - this.#started) / 1000)
  }
}

/** As CloudTrail shows them: no plaintext, ciphertext or grant token. */
function requestParameters(operation: Operation, input: ParsedInput): Record<string, unknown> {
  const parameters: Record<string, unknown> = {}
  for (const { member, name } of operation.shown) {
    const value = input[member]
    if (value !== undefined) parameters[name] = element(value)
  }
  return parameters
}
