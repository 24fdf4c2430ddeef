// A TCP proxy between client and Postgres: what networks do to connections, on demand.
import { connect, createServer, type AddressInfo, type Socket } from 'node:net'

export interface Proxy {
  /** The target's URL, by way of the proxy. */
  readonly url: string
  /** Connections stay open and new ones are taken, but not a byte passes. */
  freeze(): void
  /** What the client sends passes, what the server answers does not. */
  holdAnswers(): void
  /** What was held back passes, and all that follows. */
  thaw(): void
  /** Connections break, new ones are closed as soon as they are made. */
  cut(): void
  /** New connections pass again. */
  mend(): void
  close(): Promise<void>
}

export async function startProxy(target: string): Promise<Proxy> {
  const { hostname, port } = new URL(target)
  const sockets = new Set<Socket>()
  let frozen = false
  const answers = new Set<Socket>()
  let down = false
  const server = createServer(near => {
    if (down) return near.destroy()
    const far = connect(Number(port), hostname)
    answers.add(far)
    far.on('close', () => answers.delete(far))
    for (const [from, to] of [[near, far], [far, near]] as const) {
      sockets.add(from)
      from.on('data', bytes => to.write(bytes))
      from.on('error', () => to.destroy())
      from.on('close', () => {
        sockets.delete(from)
        to.destroy()
      })
      if (frozen) from.pause()
    }
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  const url = new URL(target)
  url.hostname = '127.0.0.1'
  url.port = String((server.address() as AddressInfo).port)
  const breakAll = (): void => {
    for (const socket of sockets) socket.destroy()
  }
  return {
    url: url.href,
    freeze() {
      frozen = true
      for (const socket of sockets) socket.pause()
    },
    holdAnswers() {
      for (const socket of answers) socket.pause()
    },
    thaw() {
      frozen = false
      for (const socket of sockets) socket.resume()
    },
    cut() {
      down = true
      breakAll()
    },
    mend() {
      down = false
    },
    close() {
      breakAll()
      return new Promise(resolve => server.close(() => resolve()))
    },
  }
}
