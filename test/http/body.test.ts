import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import { connect, type AddressInfo, type Socket } from 'node:net'
import { afterEach, describe, expect, it } from 'vitest'
import { BodyBudget, bodyBudgetBytes, readBody, type Body } from '../../src/http/body.ts'

type Read = Body | 'too-large' | 'no-room' | 'aborted'

const servers: Server[] = []
const sockets: Socket[] = []
afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.destroy()
  for (const server of servers.splice(0)) {
    // One whose body was refused is not read from, and would not be seen to close.
    server.closeAllConnections()
    await new Promise(resolve => server.close(resolve))
  }
})

/** A server that reads bodies of up to 1 MiB within a budget, and answers nothing. */
async function receiver(budget: BodyBudget) {
  const reads: Promise<Read>[] = []
  const server = createServer(message => {
    reads.push(readBody(message, 1_048_576, budget))
    server.emit('read')
  }).listen(0, '127.0.0.1')
  servers.push(server)
  await once(server, 'listening')
  /** Sends the head and so much of a body of `announced` bytes. Resolves to the socket and to what the server makes of the body. */
  const send = async (announced: number, sent: string | Buffer) => {
    const socket = connect((server.address() as AddressInfo).port, '127.0.0.1')
    sockets.push(socket)
    socket.on('error', () => undefined)
    const begun = once(server, 'read')
    socket.write(`POST / HTTP/1.1\r\nHost: x\r\nContent-Length: ${announced}\r\n\r\n`)
    await begun
    const read = reads[reads.length - 1] ?? Promise.resolve<Read>('aborted')
    socket.write(sent)
    return { socket, read }
  }
  return { send }
}

async function until(isSo: () => boolean): Promise<void> {
  while (!isSo()) await new Promise(setImmediate)
}

const whole = (read: Read): Body => {
  if (typeof read === 'string') throw new Error(`expected a body, but it was ${read}`)
  return read
}

describe('the budget of all bodies', () => {
  it('is 256 MiB', () => {
    expect(bodyBudgetBytes).toBe(256 * 1024 * 1024)
  })

  it('gives long bodies a quarter, short ones all of it, and not a byte beyond', () => {
    const budget = new BodyBudget(400_000)
    expect(budget.take(100_001, 0)).toBe(false)
    expect(budget.take(100_000, 0)).toBe(true)
    expect(budget.take(1, 16_384)).toBe(false)
    for (let i = 0; i < 30; i++) expect(budget.take(10_000, 0)).toBe(true)
    expect(budget.held).toBe(400_000)
    expect(budget.take(1, 0)).toBe(false)
    budget.give(1)
    expect(budget.take(1, 0)).toBe(true)
  })

  it('holds a body until it is released, which overwrites it', async () => {
    const budget = new BodyBudget(1_000_000)
    const { send } = await receiver(budget)
    const body = whole(await (await send(9, 'plaintext')).read)
    expect(body.bytes.toString()).toBe('plaintext')
    expect(budget.held).toBeGreaterThanOrEqual(9)
    body.release()
    body.release()
    expect({ held: budget.held, bytes: body.bytes }).toEqual({ held: 0, bytes: Buffer.alloc(9) })
  })

  it('refuses the long body that passes it while others are received, and takes short ones still', async () => {
    const budget = new BodyBudget(1_600_000)
    const { send } = await receiver(budget)
    const first = await send(400_000, Buffer.alloc(300_000, 'a'))
    await until(() => budget.held > 300_000)
    const second = await send(400_000, Buffer.alloc(300_000, 'b'))
    expect(await second.read).toBe('no-room')
    await until(() => budget.held < 310_000)
    const short = whole(await (await send(5, 'short')).read)
    expect(short.bytes.toString()).toBe('short')
    short.release()
    first.socket.destroy()
    expect(await first.read).toBe('aborted')
    expect(budget.held).toBe(0)
  })

  it('gets everything back from clients that go away', async () => {
    const budget = new BodyBudget(10_000_000)
    const { send } = await receiver(budget)
    const begun: Awaited<ReturnType<typeof send>>[] = []
    for (let i = 0; i < 20; i++) begun.push(await send(20_000, Buffer.alloc(10_000)))
    await until(() => budget.held > 20 * 10_000)
    for (const { socket } of begun) socket.destroy()
    expect(await Promise.all(begun.map(({ read }) => read))).toEqual(Array.from({ length: 20 }, () => 'aborted'))
    expect(budget.held).toBe(0)
  })

  it('counts what pieces cost: a body in single bytes takes more than its bytes', async () => {
    const budget = new BodyBudget(10_000_000)
    const { send } = await receiver(budget)
    const { socket, read } = await send(100, '')
    for (let sent = 1; sent <= 100; sent++) {
      const before = budget.held
      socket.write('a')
      await until(() => budget.held > before || sent === 100)
    }
    const body = whole(await read)
    expect(budget.held).toBeGreaterThan(100 * 100)
    body.release()
    expect(budget.held).toBe(0)
  })
})
