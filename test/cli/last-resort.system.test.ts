// A rejection that nobody handles, in each kind of process of `trent serve`.
import { GenerateRandomCommand } from '@aws-sdk/client-kms'
import { once } from 'node:events'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { afterAll, beforeAll, expect, inject, it } from 'vitest'
import { kms } from '../support/aws.ts'
import { startTrentOn, type Trent } from '../support/gateway.ts'
import { newFolder, tokenConfig, writeTokenFiles } from '../support/installation.ts'
import { cloneDatabase } from '../support/postgres.ts'
import { children, isRunning } from '../support/processes.ts'
import { until } from '../support/until.ts'

let trent: Trent
beforeAll(async () => {
  const directory = await newFolder('last-resort')
  await writeTokenFiles(directory, inject('installation').directory)
  const preload = pathToFileURL(join(import.meta.dirname, '../support/reject-on-signal.js')).href
  trent = await startTrentOn(directory, await cloneDatabase(inject('installation').template), {}, { NODE_OPTIONS: `--import=${preload}` })
})
afterAll(() => trent.remove())

const gateways = () => children(trent.primary.pid).filter(({ command }) => command.includes('trent: gateway'))
const rejections = async (): Promise<{ name: string; level: string; err: object }[]> =>
  (await trent.log()).split('\n').filter(line => line.includes('a promise was rejected that nobody has handled')).map(line => JSON.parse(line) as { name: string; level: string; err: object })

it('a gateway logs it, without what hung on it, and serves on', async () => {
  const before = gateways()
  expect(before).toHaveLength(1)
  for (const { pid } of before) process.kill(pid, 'SIGUSR2')
  await until('the line in the log', async () => (await rejections()).length === 1)
  expect((await rejections())[0]).toMatchObject({ name: 'gateway', level: 'error', err: { type: 'Error', message: 'unheard of' } })
  const client = kms(trent.url)
  expect((await client.send(new GenerateRandomCommand({ NumberOfBytes: 5 }))).Plaintext).toHaveLength(5)
  client.destroy()
  expect(gateways()).toEqual(before)
  expect(await trent.log()).not.toContain('the row of somebody')
})

it('a gateway that cannot be opened says why and ends, and the primary with it', async () => {
  const directory = await newFolder('same-port')
  const same = { url: trent.databaseUrl, drop: () => Promise.resolve() }
  const changes = { listen: { port: Number(new URL(trent.url).port) }, hsm: { tokens: [tokenConfig(trent.directory)] } }
  const failure = await startTrentOn(directory, same, changes).then(() => '', (error: Error) => error.message)
  await rm(directory, { recursive: true, force: true })
  expect(failure).toMatch(/^Error: the gateway did not start: .*EADDRINUSE/m)
  expect(failure).not.toContain('nobody has handled')
})

it('the primary logs it the same way and ends, and all others with it', async () => {
  const others = children(trent.primary.pid)
  const ended = once(trent.primary, 'exit')
  trent.primary.kill('SIGUSR2')
  expect(await ended).toEqual([1, null])
  expect((await rejections()).at(-1)).toMatchObject({ name: 'primary', level: 'error', err: { type: 'Error', message: 'unheard of' } })
  await until('the others to end', () => !others.some(({ pid }) => isRunning(pid)))
  expect(await trent.log()).not.toContain('the row of somebody')
})
