// kill -9 of whatever process of `trent serve`, under load: what the service does then, and what it leaves behind.
import { CreateKeyCommand, DecryptCommand, DescribeKeyCommand, EncryptCommand, KMSClient } from '@aws-sdk/client-kms'
import aws4 from 'aws4'
import { once } from 'node:events'
import { readdirSync } from 'node:fs'
import { rename, rm, writeFile } from 'node:fs/promises'
import { request, type IncomingMessage } from 'node:http'
import { text } from 'node:stream/consumers'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { afterEach, beforeEach, describe, expect, inject, it } from 'vitest'
import { openPool } from '../../src/store/database.ts'
import { countIntents } from '../../src/store/intents.ts'
import { expectWhole, passClaims } from '../effects/invariants.ts'
import { kms, region } from '../support/aws.ts'
import { startTrent, type Trent } from '../support/gateway.ts'
import { freePorts } from '../support/ports.ts'
import { children, isRunning, type Process } from '../support/processes.ts'
import { until } from '../support/until.ts'

/** Clients as applications have them: the SDK's own retries. */
class Load {
  readonly acknowledged: string[] = []
  readonly failures: Error[] = []
  /** Keys made and round trips done so far. */
  answered = 0
  readonly #client: KMSClient
  #ending = false
  readonly #loops: Promise<void>[]

  constructor(url: string) {
    this.#client = new KMSClient({ endpoint: url, region, credentials: inject('installation').admin })
    this.#loops = [() => this.#create(), () => this.#roundTrip(), () => this.#roundTrip(), () => this.#roundTrip()].map(call => this.#repeat(call))
  }

  /** Waits for this many more answers. */
  async more(count: number): Promise<void> {
    const goal = this.answered + count
    await until(`${count} more answers`, () => this.answered >= goal)
  }

  async end(): Promise<void> {
    this.#ending = true
    await Promise.all(this.#loops)
    this.#client.destroy()
  }

  async #repeat(call: () => Promise<void>): Promise<void> {
    while (!this.#ending) {
      try {
        await call()
      } catch (error) {
        this.failures.push(error as Error)
        await pause(20)
      }
    }
  }

  async #create(): Promise<void> {
    const { KeyMetadata } = await this.#client.send(new CreateKeyCommand({}))
    this.acknowledged.push(KeyMetadata?.KeyId ?? '')
    this.answered++
    await pause(50)
  }

  async #roundTrip(): Promise<void> {
    const KeyId = this.acknowledged.at(-1)
    if (KeyId === undefined) return pause(5)
    const { CiphertextBlob } = await this.#client.send(new EncryptCommand({ KeyId, Plaintext: Buffer.from(KeyId) }))
    const { Plaintext } = await this.#client.send(new DecryptCommand({ CiphertextBlob }))
    expect(Buffer.from(Plaintext ?? []).toString()).toBe(KeyId)
    this.answered++
  }
}

const group = (trent: Trent): { agents: Process[]; gateways: Process[]; all: number[] } => {
  const all = children(trent.primary.pid)
  const agents = all.filter(({ command }) => command.startsWith('trent: hsm-agent'))
  const gateways = all.filter(({ command }) => command.startsWith('trent: gateway'))
  return { agents, gateways, all: [trent.primary.pid ?? 0, ...all.map(({ pid }) => pid)] }
}

const kill = (victims: readonly Process[]): void => {
  expect(victims.length).toBeGreaterThan(0)
  for (const { pid } of victims) process.kill(pid, 'SIGKILL')
}

/** Everything that was acknowledged is there, and nothing is half made. Resolves to Trent, started again where something was left to finish. */
async function expectNothingLost(before: Trent, acknowledged: readonly string[]): Promise<Trent> {
  const pool = openPool(before.databaseUrl)
  let trent = before
  try {
    if (await countIntents(pool) > 0) {
      await passClaims(pool)
      trent = await before.again()
      await until('recovery', async () => await countIntents(pool) === 0)
    }
    const client = kms(trent.url)
    await expectWhole(pool, client, trent.config, acknowledged)
    client.destroy()
    return trent
  } finally {
    await pool.end()
  }
}

const runFolder = (trent: Trent): string => join(trent.directory, 'data/run')
/** Of the first token, as it was opened first. */
const sockets = (trent: Trent): string[] => readdirSync(join(runFolder(trent), String(trent.primary.pid), '0', '1')).sort()

describe.each([1, 2])('gateway.processes: %i', processes => {
  let trent: Trent
  let load: Load
  beforeEach(async () => {
    // A fixed port, as operators have it: of port 0 the kernel gives another one when the last gateway has died.
    trent = await startTrent({ gateway: { processes }, listen: { port: await freePorts() } })
    load = new Load(trent.url)
    await load.more(20)
  })
  afterEach(async () => {
    await load.end()
    await trent.remove()
  })

  it('kill -9 of the agent: another serves, and no client notices', async () => {
    const { agents, gateways } = group(trent)
    expect(agents).toHaveLength(1)
    expect(sockets(trent)).toEqual(['1-0', '1-1', '1-2'])
    for (let generation = 2; generation < 5; generation++) {
      kill(group(trent).agents)
      await until('another agent', () => sockets(trent).join() === `${generation}-0,${generation}-1,${generation}-2`)
      await load.more(30)
    }
    await load.end()
    expect(load.failures).toEqual([])
    expect(group(trent).gateways).toEqual(gateways)
    trent = await expectNothingLost(trent, load.acknowledged)
  })

  it('kill -9 of a gateway: another is forked, and the service goes on', async () => {
    const { agents } = group(trent)
    // Twice: a replacement is replaced as well, by one.
    for (let round = 0; round < 2; round++) {
      const { gateways } = group(trent)
      expect(gateways).toHaveLength(processes)
      const [victim] = gateways
      kill(gateways.slice(0, 1))
      await until('another gateway', () => {
        const now = group(trent).gateways
        return now.length === processes && now.every(({ pid }) => pid !== victim?.pid)
      })
      await until('readiness', async () => (await (await fetch(`${trent.privateUrl}/readyz?verbose`)).text()).includes(`${processes} of ${processes} serve`))
    }
    await load.end()
    const { acknowledged, failures } = load
    // With one process nobody listens until the next one does; with more, the SDK's retries reach another.
    if (processes > 1) expect(failures).toEqual([])
    for (const { name, message } of failures) expect(`${name} ${message}`).toMatch(/ECONNREFUSED|ECONNRESET|socket hang up/)
    load = new Load(trent.url)
    await load.more(30)
    await load.end()
    expect(load.failures).toEqual([])
    expect(group(trent).all).toHaveLength(2 + processes)
    expect(group(trent).agents).toEqual(agents)
    trent = await expectNothingLost(trent, [...acknowledged, ...load.acknowledged])
  })

  it('kill -9 of the primary: no process is left after two seconds, and a restart serves again', async () => {
    const { all } = group(trent)
    expect(all).toHaveLength(2 + processes)
    trent.primary.kill('SIGKILL')
    await until('the end of every process', () => all.every(pid => !isRunning(pid)), 2_000)
    await load.end()
    const { acknowledged } = load
    expect(readdirSync(runFolder(trent))).toEqual([String(trent.primary.pid)])

    trent = await trent.again()
    expect(readdirSync(runFolder(trent))).toEqual([String(trent.primary.pid)])
    expect(sockets(trent)).toEqual(['1-0', '1-1', '1-2'])
    load = new Load(trent.url)
    await load.more(30)
    await load.end()
    expect(load.failures).toEqual([])
    trent = await expectNothingLost(trent, [...acknowledged, ...load.acknowledged])
  })

  it('SIGTERM under load: exit code 0, no process and nothing in run/ left, nothing lost', async () => {
    const { all } = group(trent)
    const started = performance.now()
    expect(await trent.stop()).toBe(0)
    // Nobody had to be cut off.
    expect(performance.now() - started).toBeLessThan(4_000)
    expect(all.filter(isRunning)).toEqual([])
    expect(readdirSync(runFolder(trent))).toEqual([])
    await load.end()
    const { acknowledged } = load
    expect(acknowledged.length).toBeGreaterThan(0)
    trent = await trent.again()
    load = new Load(trent.url)
    await load.end()
    trent = await expectNothingLost(trent, acknowledged)
  })
})

/** A request whose head the server has read: it is under way until finish() sends its body. */
async function begin(url: string, target: string, input: object): Promise<{ finish(): Promise<{ status: number | undefined; connection: string | undefined; body: string }> }> {
  const body = JSON.stringify(input)
  const { host, port } = new URL(url)
  const { headers } = aws4.sign({
    host, method: 'POST', path: '/', service: 'kms', region, body,
    headers: { 'Content-Type': 'application/x-amz-json-1.1', 'X-Amz-Target': target, 'Content-Length': String(Buffer.byteLength(body)) },
  }, inject('installation').admin)
  const sent = request({ host: '127.0.0.1', port, method: 'POST', path: '/', agent: false, headers: { ...headers as Record<string, string>, Connection: 'keep-alive', Expect: '100-continue' } })
  const continued = once(sent, 'continue')
  sent.flushHeaders()
  await continued
  return {
    finish: async () => {
      const answered = once(sent, 'response') as Promise<[IncomingMessage]>
      sent.end(body)
      const [response] = await answered
      return { status: response.statusCode, connection: response.headers.connection, body: await text(response) }
    },
  }
}

/** Whether nothing listens. A connection that comes while the listener is closing may be taken by nobody: it hangs, and says nothing. */
const isRefused = (url: string): Promise<boolean> => fetch(url, { signal: AbortSignal.timeout(500) }).then(
  () => false, (thrown: unknown) => thrown instanceof Error && (thrown.cause as { code?: string } | undefined)?.code === 'ECONNREFUSED')

describe('SIGTERM', () => {
  it.each([1, 2])('what is under way is answered, on a connection that then ends, and no new one is taken (gateway.processes: %i)', async processes => {
    const trent = await startTrent({ gateway: { processes } })
    try {
      const client = kms(trent.url)
      const { KeyMetadata } = await client.send(new CreateKeyCommand({}))
      client.destroy()
      const KeyId = KeyMetadata?.KeyId
      const calls = [
        await begin(trent.url, 'TrentService.CreateKey', {}),
        await begin(trent.url, 'TrentService.Encrypt', { KeyId, Plaintext: Buffer.from('late').toString('base64') }),
        await begin(trent.url, 'TrentService.DescribeKey', { KeyId }),
      ]
      const { all } = group(trent)
      const exit = trent.stop()
      await until('the listener to close', () => isRefused(trent.url))
      for (const call of calls) {
        const { status, connection, body } = await call.finish()
        expect({ status, connection }, body).toEqual({ status: 200, connection: 'close' })
      }
      expect(await exit).toBe(0)
      expect(all.filter(isRunning)).toEqual([])
      const again = await trent.again()
      const later = kms(again.url)
      expect((await later.send(new DescribeKeyCommand({ KeyId }))).KeyMetadata?.KeyId).toBe(KeyId)
      later.destroy()
      await again.stop()
    } finally {
      await trent.remove()
    }
  })
})


it('a gateway that cannot be replaced is tried again, one process at a time, until it can', async () => {
  const trent = await startTrent()
  try {
    const journal = join(trent.directory, 'data/journal')
    await rename(journal, `${journal}.away`)
    await writeFile(journal, 'no folder')
    kill(group(trent).gateways)
    let most = 0
    const tries = async (): Promise<number> => (await trent.log()).split('could not be replaced').length - 1
    await until('some tries', async () => {
      most = Math.max(most, group(trent).all.length)
      return await tries() >= 3
    })
    // Primary, agent, and the one that tries.
    expect(most).toBe(3)
    await rm(journal)
    await rename(`${journal}.away`, journal)
    await until('readiness', async () => (await (await fetch(`${trent.privateUrl}/readyz?verbose`)).text()).includes('1 of 1 serve'))
    expect(group(trent).all).toHaveLength(3)
  } finally {
    await trent.remove()
  }
})
