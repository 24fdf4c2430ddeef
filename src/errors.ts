// Every error a client can see, with its HTTP status. AWS KMS answers 400 for each client fault, whatever the model's trait
// says; the exceptions are the five marked 500. One class carries them; http/ alone turns it into bytes.

/** code → HTTP status, as AWS KMS puts it on the wire. */
export const errorStatus = {
  AccessDeniedException: 400,
  AlreadyExistsException: 400,
  CloudHsmClusterInvalidConfigurationException: 400,
  ConflictException: 400,
  CustomKeyStoreInvalidStateException: 400,
  CustomKeyStoreNotFoundException: 400,
  DependencyTimeoutException: 500,
  DisabledException: 400,
  DryRunOperationException: 400,
  ExpiredTokenException: 400,
  IncompleteSignatureException: 400,
  IncorrectKeyException: 400,
  InvalidAliasNameException: 400,
  InvalidArnException: 400,
  InvalidCiphertextException: 400,
  InvalidGrantIdException: 400,
  InvalidGrantTokenException: 400,
  InvalidKeyUsageException: 400,
  InvalidMarkerException: 400,
  InvalidSignatureException: 400,
  KMSInternalException: 500,
  KMSInvalidMacException: 400,
  KMSInvalidSignatureException: 400,
  KMSInvalidStateException: 400,
  KeyUnavailableException: 500,
  LimitExceededException: 400,
  MalformedPolicyDocumentException: 400,
  MissingAuthenticationTokenException: 400,
  NotAuthorizedException: 400,
  NotFoundException: 400,
  RequestEntityTooLargeException: 413,
  SerializationException: 400,
  TagException: 400,
  ThrottlingException: 400,
  UnknownOperationException: 400,
  UnrecognizedClientException: 400,
  UnsupportedOperationException: 400,
  ValidationException: 400,
} as const

export type ErrorCode = keyof typeof errorStatus

/**
 * An error that a client is told. `text` is AWS's exact wording, or undefined where AWS sends no message at all.
 * `cause` is for the log only and never reaches the wire.
 */
export class KmsError extends Error {
  override readonly name = 'KmsError'
  readonly code: ErrorCode
  readonly text: string | undefined

  constructor(code: ErrorCode, text?: string, options?: { cause?: unknown }) {
    super(text ?? code, options)
    this.code = code
    this.text = text
  }

  get status(): number {
    return errorStatus[this.code]
  }
}

/** A fault of set-up that stops a command with one sentence: it names the setting and what was found. */
export class StartError extends Error {
  override readonly name = 'StartError'
}
