// The AWS Query protocol of STS and IAM: Action, Version and members as a form or a query string, answers as XML. What STS does
// with odd requests (first of two pairs wins, an unknown action's namespace, the indentation) was measured on STS itself.
import type { ServerResponse } from 'node:http'
import { KmsError } from '../errors.ts'
import type { ErrorCode } from '../errors.ts'
import { readForm } from './form.ts'
import type { Form } from './form.ts'
import { element } from './xml.ts'

/** `Version` of a service → the namespace of its answers. */
export const queryNamespaces: ReadonlyMap<string, string> = new Map([
  ['2011-06-15', 'https://sts.amazonaws.com/doc/2011-06-15/'],
  ['2010-05-08', 'https://iam.amazonaws.com/doc/2010-05-08/'],
])

/** The namespace where no operation was found, whatever the service. */
const faultNamespace = 'http://webservices.amazon.com/AWSFault/2005-15-09'

export interface QueryRequest {
  readonly action: string
  /** Undefined when none was sent, which is another error text than an empty one. */
  readonly version: string | undefined
  readonly form: Form
}

/** Our code → the query protocol's code and status. A code that is missing here goes out as it is, with its own status. */
const faults: ReadonlyMap<ErrorCode, readonly [code: string, status: number]> = new Map<ErrorCode, readonly [string, number]>([
  ['AccessDeniedException', ['AccessDenied', 403]],
  ['AlreadyExistsException', ['EntityAlreadyExists', 409]],
  ['ConflictException', ['ConcurrentModification', 409]],
  ['DependencyTimeoutException', ['ServiceFailure', 500]],
  ['ExpiredTokenException', ['ExpiredToken', 403]],
  ['IncompleteSignatureException', ['IncompleteSignature', 400]],
  ['InvalidSignatureException', ['SignatureDoesNotMatch', 403]],
  ['KMSInternalException', ['InternalFailure', 500]],
  ['KeyUnavailableException', ['ServiceFailure', 500]],
  ['LimitExceededException', ['LimitExceeded', 409]],
  ['MalformedPolicyDocumentException', ['MalformedPolicyDocument', 400]],
  ['MissingAuthenticationTokenException', ['MissingAuthenticationToken', 403]],
  ['NotAuthorizedException', ['AccessDenied', 403]],
  ['NotFoundException', ['NoSuchEntity', 404]],
  ['RequestEntityTooLargeException', ['RequestEntityTooLarge', 413]],
  ['SerializationException', ['MalformedInput', 400]],
  ['ThrottlingException', ['Throttling', 400]],
  ['UnknownOperationException', ['InvalidAction', 400]],
  ['UnrecognizedClientException', ['InvalidClientTokenId', 403]],
  ['ValidationException', ['ValidationError', 400]],
])

/** Whether a request's Content-Type names a form; parameters such as a charset may follow. */
export function isForm(contentType: string | undefined): boolean {
  const [type = ''] = (contentType ?? '').split(';', 1)
  return type.trim().toLowerCase() === 'application/x-www-form-urlencoded'
}

/** A form's body, or the query string of a signed GET without its question mark. Throws SerializationException. */
export function readQuery(source: Uint8Array | string): QueryRequest {
  const form = readForm(source)
  return { action: form.get('Action') ?? '', version: form.get('Version'), form }
}

/** The error for an action that this version of no service has. */
export function unknownAction({ action, version }: Pick<QueryRequest, 'action' | 'version'>): KmsError {
  return new KmsError('UnknownOperationException', `Could not find operation ${action} for version ${version ?? 'NO_VERSION_SPECIFIED'}`)
}

/**
 * Answers 200. `result` undefined is an operation without a result: its answer has metadata only. The action names elements, so
 * it must be one that was found in a table: anything but letters and digits is a TypeError.
 */
export function sendQueryResult(response: ServerResponse, requestId: string, request: QueryRequest, result: object | undefined): void {
  const { action } = request
  if (!/^[A-Za-z0-9]+$/.test(action)) throw new TypeError('an answer must be named after a known action')
  const answer = {
    ...(result === undefined ? {} : { [`${action}Result`]: result }),
    ResponseMetadata: { RequestId: requestId },
  }
  send(response, requestId, 200, element(`${action}Response`, answer, '', opening(`${action}Response`, namespaceOf(request))))
}

/** Answers with the protocol's code and status for an error. The text is left out where there is none. */
export function sendQueryError(response: ServerResponse, requestId: string, request: QueryRequest | undefined, error: KmsError): void {
  const { code, status } = queryFault(error)
  const namespace = error.code === 'UnknownOperationException' ? faultNamespace : namespaceOf(request)
  const answer = {
    Error: { Type: status >= 500 ? 'Receiver' : 'Sender', Code: code, Message: error.text },
    RequestId: requestId,
  }
  send(response, requestId, status, element('ErrorResponse', answer, '', opening('ErrorResponse', namespace)))
}

export function queryFault(error: KmsError): { readonly code: string; readonly status: number } {
  const [code, status] = faults.get(error.code) ?? [error.code, error.status]
  return { code, status }
}

/** Only a namespace of ours is written: the version is the caller's text. */
function namespaceOf(request: QueryRequest | undefined): string {
  return queryNamespaces.get(request?.version ?? '') ?? faultNamespace
}

function opening(name: string, namespace: string): string {
  return `${name} xmlns="${namespace}"`
}

function send(response: ServerResponse, requestId: string, status: number, body: string): void {
  if (status === 413) response.shouldKeepAlive = false
  response.writeHead(status, [
    'x-amzn-RequestId', requestId,
    'Cache-Control', 'no-cache, no-store, must-revalidate, private',
    'Content-Type', 'text/xml',
    'Content-Length', String(Buffer.byteLength(body)),
  ])
  response.end(body)
}
