// Is this request the one that the holder of the secret signed? Everything is taken from the raw request, byte for byte.
import { timingSafeEqual } from 'node:crypto'
import type { Authorization, SignedRequest } from './authorization.ts'
import { canonicalPaths, canonicalQuery, parseQuery, splitUrl } from './canonical.ts'
import { soleHeader } from './headers.ts'
import { mismatch } from './refusals.ts'
import { checkScope, type ExpectedScope } from './scope.ts'
import { canonicalRequest, payloadHash, signatureOf, stringToSign } from './signing.ts'

/**
 * Returns when the signature is right. Repeats checkScope, which costs next to nothing, so that no caller can forget it.
 * `signingKey` is deriveSigningKey's 32 bytes for exactly the authorization's date, Region and service.
 * @throws InvalidSignatureException, without a word on what differs.
 */
export function verifySignature(request: SignedRequest, authorization: Authorization, signingKey: Buffer, expected: ExpectedScope): void {
  checkScope(authorization, request, expected)
  const { signature, signedHeaders, amzDate } = authorization
  const bodyHash = payloadHash(request.body)
  // The hash is always ours: this line also refuses UNSIGNED-PAYLOAD and STREAMING-…, which would leave the body open to a proxy.
  const claimed = soleHeader(request.rawHeaders, 'x-amz-content-sha256')
  if (signature.length !== 32 || (claimed !== undefined && claimed !== bodyHash)) throw mismatch()
  const { path, query } = splitUrl(request.url)
  const sortedQuery = query === '' ? '' : canonicalQuery(parseQuery(query), authorization.form === 'query' ? 'X-Amz-Signature' : undefined)
  for (const canonicalPath of canonicalPaths(path)) {
    const canonical = canonicalRequest(request, canonicalPath, sortedQuery, signedHeaders, bodyHash)
    if (timingSafeEqual(signatureOf(stringToSign(canonical, amzDate, authorization), signingKey), signature)) return
  }
  throw mismatch()
}
