// What the listener does when something below it throws that should not. The steps below are replaced, so that they do.
import { once } from 'node:events'
import type { Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, expect, it, vi } from 'vitest'
import { KmsError } from '../../src/errors.ts'
import { createApp } from '../../src/http/app.ts'
import type { IncomingRequest, Resources } from '../../src/pipeline/resources.ts'

const steps = vi.hoisted(() => ({ output: {}, bodies: [] as Buffer[], refused: [] as unknown[] }))
vi.mock('../../src/pipeline/serve.ts', () => ({
  serve: (_: Resources, { body }: IncomingRequest) => {
    steps.bodies.push(body)
    return Promise.resolve({ output: steps.output })
  },
}))
vi.mock('../../src/pipeline/serve-sts.ts', () => ({ serveSts: () => Promise.reject(new Error('detail of the fault')) }))
vi.mock('../../src/pipeline/serve-unreadable.ts', () => ({
  serveUnreadable: (_: Resources, __: IncomingRequest, error: KmsError) => {
    steps.refused.push(error)
    return Promise.resolve(error)
  },
}))

const servers: Server[] = []
afterEach(async () => {
  for (const server of servers.splice(0)) {
    server.closeAllConnections()
    await new Promise(resolve => server.close(resolve))
  }
})

async function listen(budgetBytes?: number) {
  const logged: { message: string; err: unknown }[] = []
  const log = { error: (details: { err?: unknown }, message: string) => { logged.push({ message, err: details.err }) }, warn: () => undefined }
  const server = createApp({ log } as Partial<Resources> as Resources, { bodyBytes: 1_048_576, connections: 10, ...(budgetBytes === undefined ? {} : { budgetBytes }) })
  servers.push(server)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`, logged }
}

const json = { 'Content-Type': 'application/x-amz-json-1.1' }

it('a fault in an Express route is KMS\'s internal failure, without a stack or a word of it', async () => {
  const { url, logged } = await listen()
  const response = await fetch(url, { method: 'POST', headers: { 'Content-Type': 'application/x-www-form-urlencoded' }, body: 'Action=GetCallerIdentity&Version=2011-06-15' })
  const text = await response.text()
  expect({ status: response.status, type: response.headers.get('content-type') }).toEqual({ status: 500, type: 'text/xml' })
  expect(text).toMatch(/<Code>InternalFailure<\/Code>\n {4}<Message>The request was rejected because an internal exception occurred\. The request can be retried\.<\/Message>/)
  expect(text).not.toMatch(/detail|node_modules|app\.ts/)
  expect(logged).toEqual([{ message: 'a request could not be answered', err: new Error('detail of the fault') }])
})

it('an output that cannot be sent is overwritten, and so is the request\'s body', async () => {
  const { url, logged } = await listen()
  const Plaintext = Buffer.from('a data key')
  steps.output = { Plaintext, KeyId: 1n }
  await expect(fetch(url, { method: 'POST', headers: json, body: '{"Plaintext":"aGVsbG8="}' })).rejects.toThrow('fetch failed')
  expect(logged).toEqual([{ message: 'a request could not be answered', err: new TypeError('a result cannot hold bigint') }])
  expect(Plaintext).toEqual(Buffer.alloc(10))
  expect(steps.bodies.at(-1)).toEqual(Buffer.alloc(24))
})

it('a body beyond the budget of all is throttled, recorded, and its connection ended; the next is taken', async () => {
  const { url } = await listen(100_000)
  steps.output = {}
  const long = await fetch(url, { method: 'POST', headers: json, body: 'a'.repeat(30_000) })
  const error = new KmsError('ThrottlingException', 'You have exceeded the rate at which you may call KMS. Reduce the frequency of your calls.')
  expect({ status: long.status, connection: long.headers.get('connection'), body: await long.json() })
    .toEqual({ status: 400, connection: 'close', body: { __type: error.code, message: error.text } })
  expect(steps.refused).toEqual([error])
  for (let i = 0; i < 20; i++) expect((await fetch(url, { method: 'POST', headers: json, body: 'a'.repeat(12_000) })).status).toBe(200)
})
