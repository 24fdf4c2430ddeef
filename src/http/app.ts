// The listener. A KMS request goes straight to serve: Express's router alone would cost three quarters of the requests that
// node:http can take (9-11 k/s against 35-40 k/s, measured). STS and everything to come besides KMS is served through Express.
import { randomUUID } from 'node:crypto'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import express from 'express'
import { KmsError } from '../errors.ts'
import { internal, throttled } from '../pipeline/failure.ts'
import { serve } from '../pipeline/serve.ts'
import { serveSts, type StsCall } from '../pipeline/serve-sts.ts'
import { serveUnreadable } from '../pipeline/serve-unreadable.ts'
import type { IncomingRequest, Resources } from '../pipeline/resources.ts'
import { wipe } from '../shape/wipe.ts'
import { isJson11, sendError, sendResult, sendUnknownProtocol, sendUnread } from './aws-json.ts'
import { isForm, readQuery, sendQueryError, sendQueryResult, unknownAction, type QueryRequest } from './aws-query.ts'
import { BodyBudget, bodyBudgetBytes, readBody, type Body } from './body.ts'

export interface AppLimits {
  readonly bodyBytes: number
  readonly connections: number
  /** Bytes of all bodies together, bodyBudgetBytes unless said. */
  readonly budgetBytes?: number
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
  const budget = new BodyBudget(limits.budgetBytes ?? bodyBudgetBytes)
  const listener = { resources, limits, budget, endIfDraining, others: expressApp(resources, endIfDraining) }
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

/** The request as the other routes get it: read, bounded, raw. Its body is theirs to release. */
interface Carried extends IncomingMessage {
  incoming?: IncomingRequest
  received?: Body
}

interface Listener {
  readonly resources: Resources
  readonly limits: AppLimits
  readonly budget: BodyBudget
  readonly others: express.Express
  readonly endIfDraining: (response: ServerResponse) => void
}

/** What is answered when a body is not read to its end. */
const unread = {
  'too-large': () => new KmsError('RequestEntityTooLargeException'),
  'no-room': throttled,
}

async function answer({ resources, limits, budget, others, endIfDraining }: Listener, message: Carried, response: ServerResponse): Promise<void> {
  const id = randomUUID()
  const body = await readBody(message, limits.bodyBytes, budget)
  if (body === 'aborted') return
  if (body === 'too-large' || body === 'no-room') {
    sendUnread(response, id, await serveUnreadable(resources, incoming(id, message, Buffer.alloc(0)), unread[body]()))
    // Whoever goes on sending is cut off.
    response.on('finish', () => message.socket.destroy())
    return
  }
  const request = incoming(id, message, body.bytes)
  if (message.method !== 'POST' || !isJson11(request.contentType)) {
    message.incoming = request
    message.received = body
    others(message, response)
    return
  }
  const { output, error } = await serve(resources, request)
  try {
    endIfDraining(response)
    if (error !== undefined) sendError(response, id, error)
    else sendResult(response, id, output)
  } finally {
    wipe(output)
    body.release()
  }
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
  app.use(async (message: Carried & express.Request, response: express.Response) => {
    const request = message.incoming
    if (request === undefined) throw new TypeError('a request came to Express past the listener')
    try {
      const byGet = message.method === 'GET' && /[?&]Action=/.test(request.url)
      if (byGet || (message.method === 'POST' && isForm(request.contentType))) await answerSts(resources, request, byGet, response, endIfDraining)
      else {
        await serveUnreadable(resources, request, new KmsError('UnknownOperationException'))
        endIfDraining(response)
        sendUnknownProtocol(response, request.id)
      }
    } finally {
      // Not at the response's end: one that waits behind another on its connection has none when the client goes away.
      message.received?.release()
    }
  })
  // Express would show a stack trace.
  app.use((thrown: unknown, message: Carried, response: express.Response, _next: express.NextFunction) => {
    const id = message.incoming?.id ?? randomUUID()
    resources.log.error({ requestId: id, err: thrown }, 'a request could not be answered')
    if (response.headersSent) response.destroy()
    else sendQueryError(response, id, undefined, internal())
  })
  return app
}

async function answerSts(resources: Resources, request: IncomingRequest, byGet: boolean, response: ServerResponse, endIfDraining: Listener['endIfDraining']): Promise<void> {
  const { query, output, error } = await askSts(resources, request, byGet ? request.url.slice(request.url.indexOf('?') + 1) : request.body)
  endIfDraining(response)
  if (error !== undefined) sendQueryError(response, request.id, query instanceof KmsError ? undefined : query, error)
  else if (!(query instanceof KmsError)) sendQueryResult(response, request.id, query, output)
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
