// The AWS SDK and raw signed requests as clients of a running Trent.
import { KMSClient, type KMSServiceException } from '@aws-sdk/client-kms'
import aws4 from 'aws4'
import { expect, inject } from 'vitest'

export interface Credentials {
  readonly accessKeyId: string
  readonly secretAccessKey: string
}

export const region = 'onprem-1'

/** An unmodified SDK client that does not repeat requests, so that each test sees what one request gets. */
export const kms = (url: string, credentials: Credentials = inject('installation').admin): KMSClient =>
  new KMSClient({ endpoint: url, region, credentials, maxAttempts: 1 })

export interface RawAnswer {
  readonly status: number
  readonly headers: Headers
  readonly text: string
}

export interface RawRequest {
  readonly target?: string
  readonly body?: string | Buffer
  readonly headers?: Readonly<Record<string, string>>
  readonly credentials?: Credentials
  readonly path?: string
  readonly service?: string
  readonly region?: string
  readonly method?: string
}

/** A request signed by aws4, for what no SDK would send. */
export async function raw(url: string, { target, body = '{}', headers = {}, credentials = inject('installation').admin, path = '/', service = 'kms', method = 'POST', region: scope = region }: RawRequest): Promise<RawAnswer> {
  const { host } = new URL(url)
  const signed = aws4.sign({
    host, method, path, service, region: scope, body: body as string,
    headers: { 'Content-Type': 'application/x-amz-json-1.1', ...(target === undefined ? {} : { 'X-Amz-Target': target }), ...headers },
  }, credentials)
  return await send(url + path, method, signed.headers as Record<string, string>, body)
}

/** A request as it is: nothing is signed. */
export async function send(url: string, method: string, headers: Readonly<Record<string, string>>, body?: string | Buffer): Promise<RawAnswer> {
  // fetch sets Host itself, to the same value.
  const others = Object.fromEntries(Object.entries(headers).filter(([name]) => name !== 'Host'))
  const response = await fetch(url, { method, headers: others, ...(method === 'GET' ? {} : { body: body as string }) })
  return { status: response.status, headers: response.headers, text: await response.text() }
}

/** Expects a call of the SDK to fail with exactly this type and text. */
export async function expectError(call: Promise<unknown>, name: string, message?: string): Promise<KMSServiceException> {
  const error = await call.then(() => { throw new Error(`expected ${name}, but the call succeeded`) }, (thrown: unknown) => thrown as KMSServiceException)
  expect({ name: error.name, message: error.message }).toEqual({ name, message: message ?? error.message })
  return error
}
