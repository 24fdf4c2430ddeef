// Ports for what is told its port beforehand, or has to find the same one again: none that the kernel gives to a listener on port 0 or to
// a connection, which another test may have in the meantime.
import { randomInt } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type Server } from 'node:net'

/** Linux gives out 32768 and above unless told otherwise. */
const [least, most] = [20_000, 32_000]

/** The first of two neighbours that are free now: the private side takes the second. */
export async function freePorts(): Promise<number> {
  for (;;) {
    const port = randomInt(least, most)
    const servers = await Promise.allSettled([port, port + 1].map(listen))
    for (const { value } of servers.filter(one => one.status === 'fulfilled')) await closed(value)
    if (servers.every(({ status }) => status === 'fulfilled')) return port
  }
}

/** @throws Error when it is taken */
export async function listen(port: number): Promise<Server> {
  const server = createServer().listen(port, '127.0.0.1')
  await once(server, 'listening')
  return server
}

export async function closed(server: Server): Promise<void> {
  server.close()
  await once(server, 'close')
}
