import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { connect } from 'node:net'
import type { Server } from 'node:http'
import { afterEach, expect, test } from 'vitest'
import { createExporter } from '../../src/http/exporter.ts'
import type { ExporterOptions } from '../../src/http/exporter.ts'

const servers: Server[] = []
afterEach(async () => {
  for (const server of servers.splice(0)) {
    server.closeAllConnections()
    await new Promise(resolve => server.close(resolve))
  }
})

const healthy: ExporterOptions = {
  metrics: () => Promise.resolve('up 1\n'),
  ready: () => Promise.resolve({ ok: true, checks: { postgres: { ok: true }, token: { ok: true, detail: 'template enforced' } } }),
  live: () => true,
}

async function listen(options: Partial<ExporterOptions> = {}): Promise<{ url: string; port: number }> {
  const server = createExporter({ ...healthy, ...options }).listen(0, '127.0.0.1')
  servers.push(server)
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  return { url: `http://127.0.0.1:${port}`, port }
}

test('/metrics answers the page in the Prometheus content type', async () => {
  const { url } = await listen()
  const response = await fetch(`${url}/metrics`)
  expect(response.status).toBe(200)
  expect(response.headers.get('content-type')).toBe('text/plain; version=0.0.4; charset=utf-8')
  expect(response.headers.has('x-powered-by')).toBe(false)
  expect(await response.text()).toBe('up 1\n')
})

test('/metrics answers 503 without the reason when the page cannot be made', async () => {
  const { url } = await listen({ metrics: () => Promise.reject(new Error('hunter2')) })
  const response = await fetch(`${url}/metrics`)
  expect(response.status).toBe(503)
  expect(await response.text()).toBe('metrics are unavailable\n')
})

test('/livez follows the process', async () => {
  const { url } = await listen()
  expect((await fetch(`${url}/livez`)).status).toBe(200)
  const dead = await listen({ live: () => false })
  const response = await fetch(`${dead.url}/livez`)
  expect([response.status, await response.text()]).toEqual([503, 'not live\n'])
})

test('/readyz says only yes or no unless asked for more', async () => {
  const { url } = await listen()
  const brief = await fetch(`${url}/readyz`)
  expect([brief.status, await brief.text()]).toEqual([200, 'ok\n'])
  const verbose = await fetch(`${url}/readyz?verbose`)
  expect(verbose.status).toBe(200)
  expect(await verbose.json()).toEqual({ ok: true, checks: { postgres: { ok: true }, token: { ok: true, detail: 'template enforced' } } })
})

test('/readyz is 503 when a check fails, and names it when asked', async () => {
  const { url } = await listen({ ready: () => Promise.resolve({ ok: false, checks: { postgres: { ok: false, detail: 'no connection' } } }) })
  const brief = await fetch(`${url}/readyz`)
  expect([brief.status, await brief.text()]).toEqual([503, 'not ready\n'])
  const verbose = await fetch(`${url}/readyz?verbose`)
  expect(verbose.status).toBe(503)
  expect(await verbose.json()).toEqual({ ok: false, checks: { postgres: { ok: false, detail: 'no connection' } } })
})

test('/readyz is 503 when the checks themselves fail, and keeps the error to itself', async () => {
  const { url } = await listen({ ready: () => Promise.reject(new Error('hunter2')) })
  const response = await fetch(`${url}/readyz?verbose`)
  expect(response.status).toBe(503)
  expect(await response.text()).not.toContain('hunter2')
})

test('a check that throws at once shows no stack trace', async () => {
  const { url } = await listen({
    live: () => {
      throw new Error('hunter2')
    },
  })
  const response = await fetch(`${url}/livez`)
  expect([response.status, await response.text()]).toEqual([500, 'error\n'])
})

test.each(['/', '/metrics/x', '/debug', '/METRICSX', '/livez/../admin'])('%s is not found', async path => {
  const { url } = await listen()
  const response = await fetch(`${url}${path}`)
  expect([response.status, await response.text()]).toEqual([404, 'not found\n'])
})

test('other methods are not found', async () => {
  const { url } = await listen()
  for (const path of ['/metrics', '/readyz', '/livez']) expect((await fetch(`${url}${path}`, { method: 'POST' })).status).toBe(404)
})

test('a malformed path shows no stack trace', async () => {
  const { port } = await listen()
  const socket = connect(port, '127.0.0.1')
  socket.end('GET /%ff%zz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n')
  const chunks: Buffer[] = []
  for await (const chunk of socket) chunks.push(chunk as Buffer)
  const answer = Buffer.concat(chunks).toString()
  expect(answer).toMatch(/^HTTP\/1\.1 [45]0\d /)
  expect(answer).not.toMatch(/at |node_modules/)
})
