// The listener. A KMS request goes straight to serve: Express's router alone would cost three quarters of the requests that
// node:http can take (9-11 k/s against 35-40 k/s, measured). STS and everything to come besides KMS is served through Express.
import { randomUUID } from 'node:crypto'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import express from 'express'
import { KmsError } from '../errors.ts'
import { serve } from '../pipeline/serve.ts'
import { serveSts, type StsCall } from '../pipeline/serve-sts.ts'
import { serveUnreadable } from '../pipeline/serve-unreadable.ts'
import type { IncomingRequest, Resources } from '../pipeline/resources.ts'
import { wipe } from '../shape/wipe.ts'
import { isJson11, sendError, sendResult, sendTooLarge, sendUnknownProtocol } from './aws-json.ts'
import { isForm, readQuery, sendQueryError, sendQueryResult, unknownAction, type QueryRequest } from './aws-query.ts'
import { readBody } from './body.ts'

export interface AppLimits {
  readonly bodyBytes: number
  readonly connections: number
}

const headersTimeoutMilliseconds = 10_000
const requestTimeoutMilliseconds = 30_000
/** Longer than the idle time of SDK connection pools, so that the client closes first. */
const keepAliveMilliseconds = 75_000

export function createApp(resources: Resources, limits: AppLimits): Server {
  // A server that takes no new connections wants the others to end, each with its answer: a client that goes on asking on one that is
  // kept alive would be cut off in the middle of a request.
  const endIfDraining = (response: ServerResponse): void => {
    if (!server.listening) response.shouldKeepAlive = false
  }
  const listener = { resources, limits, endIfDraining, others: expressApp(resources, endIfDraining) }
  const server = createServer((message, response) => {
    void answer(listener, message, response).catch((error: unknown) => {
      resources.log.error({ err: error }, 'a request could not be answered')
      response.destroy()
    })
  })
  server.headersTimeout = headersTimeoutMilliseconds
  server.requestTimeout = requestTimeoutMilliseconds
  server.keepAliveTimeout = keepAliveMilliseconds
  server.maxConnections = limits.connections
  return server
}

/** The request as the other routes get it: read, bounded, raw. */
interface Carried extends IncomingMessage {
  incoming?: IncomingRequest
}

interface Listener {
  readonly resources: Resources
  readonly limits: AppLimits
  readonly others: express.Express
  readonly endIfDraining: (response: ServerResponse) => void
}

async function answer({ resources, limits, others, endIfDraining }: Listener, message: Carried, response: ServerResponse): Promise<void> {
  const id = randomUUID()
  const body = await readBody(message, limits.bodyBytes)
  if (body === 'aborted') return
  const request = incoming(id, message, body === 'too-large' ? Buffer.alloc(0) : body)
  if (body === 'too-large') {
    sendTooLarge(response, id, await serveUnreadable(resources, request, 'RequestEntityTooLargeException'))
    // Whoever goes on sending is cut off.
    response.on('finish', () => message.socket.destroy())
    return
  }
  if (message.method === 'POST' && isJson11(request.contentType)) {
    const { output, error } = await serve(resources, request)
    endIfDraining(response)
    if (error !== undefined) sendError(response, id, error)
    else sendResult(response, id, output)
    wipe(output)
    body.fill(0)
    return
  }
  message.incoming = request
  response.once('close', () => { body.fill(0) })
  others(message, response)
}

function incoming(id: string, message: IncomingMessage, body: Buffer): IncomingRequest {
  const { method = '', url = '', rawHeaders, headers, socket } = message
  const target = headers['x-amz-target']
  return {
    id, method, url, rawHeaders, body, address: socket.remoteAddress ?? '',
    contentType: headers['content-type'], target: typeof target === 'string' ? target : undefined, userAgent: headers['user-agent'] ?? '',
  }
}

function expressApp(resources: Resources, endIfDraining: Listener['endIfDraining']): express.Express {
  const app = express()
  app.disable('x-powered-by')
  app.disable('etag')
  // The signature covers the raw path and query: nothing may be parsed from them before it is verified.
  app.set('query parser', false)
  app.use(async (message: Carried & express.Request, response, next) => {
    const request = message.incoming
    if (request === undefined) return next()
    const byGet = message.method === 'GET' && /[?&]Action=/.test(request.url)
    if (!byGet && !(message.method === 'POST' && isForm(request.contentType))) return next()
    const { query, output, error } = await askSts(resources, request, byGet ? request.url.slice(request.url.indexOf('?') + 1) : request.body)
    endIfDraining(response)
    if (error !== undefined) sendQueryError(response, request.id, query instanceof KmsError ? undefined : query, error)
    else if (!(query instanceof KmsError)) sendQueryResult(response, request.id, query, output)
  })
  app.use(async (message: Carried & express.Request, response) => {
    if (message.incoming !== undefined) await serveUnreadable(resources, message.incoming, 'UnknownOperationException')
    endIfDraining(response)
    sendUnknownProtocol(response, message.incoming?.id ?? randomUUID())
  })
  return app
}

async function askSts(resources: Resources, request: IncomingRequest, source: Buffer | string) {
  const query = readSts(source)
  const call: StsCall = query instanceof KmsError ? { unreadable: query } : { ...query, unknown: unknownAction(query) }
  return { query, ...await serveSts(resources, request, call) }
}

function readSts(source: Buffer | string): QueryRequest | KmsError {
  try {
    return readQuery(source)
  } catch (thrown) {
    if (thrown instanceof KmsError) return thrown
    throw thrown
  }
}
