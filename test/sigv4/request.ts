// One signed request as the JavaScript SDK sends it, and the means to change a part of it.
import { deriveSigningKey, sign, type Signer } from '../../src/sigv4/signing.ts'
import { parseAuthorization, type SignedRequest } from '../../src/sigv4/authorization.ts'
import { verifySignature } from '../../src/sigv4/verify.ts'
import type { ExpectedScope } from '../../src/sigv4/scope.ts'

export const secret = 'wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY'
export const accessKeyId = 'AKIAIOSFODNN7EXAMPLE'
export const now = new Date('2026-11-22T20:23:46Z')
export const scope: ExpectedScope = { region: 'eu-central-1', services: ['kms'], now }
export const signer: Signer = { accessKeyId, secret: Buffer.from(secret), region: 'eu-central-1', service: 'kms', time: now }

export const unsigned: SignedRequest = {
  method: 'POST',
  url: '/',
  rawHeaders: ['Host', 'kms.example.com', 'Content-Type', 'application/x-amz-json-1.1', 'X-Amz-Target', 'TrentService.Encrypt'],
  body: Buffer.from('{"KeyId":"alias/a"}'),
}

export const signed = (overrides: Partial<Signer> = {}, request: SignedRequest = unsigned): SignedRequest =>
  ({ ...request, rawHeaders: sign(request, { ...signer, ...overrides }) })

/** The request with one header replaced, or taken away. */
export function withHeader(request: SignedRequest, name: string, value?: string): SignedRequest {
  const others = request.rawHeaders.filter((_, index) => request.rawHeaders[index - index % 2]?.toLowerCase() !== name.toLowerCase())
  return { ...request, rawHeaders: value === undefined ? others : [...others, name, value] }
}

export function headerOf(request: SignedRequest, name: string): string {
  const index = request.rawHeaders.findIndex((text, at) => at % 2 === 0 && text.toLowerCase() === name.toLowerCase())
  return request.rawHeaders[index + 1] ?? ''
}

export function verify(request: SignedRequest, expected: ExpectedScope = scope, key = secret): void {
  const authorization = parseAuthorization(request)
  const { date, region, service } = authorization
  verifySignature(request, authorization, deriveSigningKey(Buffer.from(key), date, region, service), expected)
}
