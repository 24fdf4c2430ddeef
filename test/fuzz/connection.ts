// A client of HTTP/1.1 that sends exactly the bytes it is given, which node:http would refuse or mend. One request at a time, on a
// connection that stays open. Reads answers with a Content-Length: Trent gives no others.
import { connect, type Socket } from 'node:net'

export interface WireRequest {
  readonly method: string
  readonly url: string
  /** Flat list of name, value; characters are bytes (latin1). Content-Length is added. */
  readonly headers: readonly string[]
  readonly body: Buffer
}

export interface WireAnswer {
  readonly status: number
  /** Names in lower case. */
  readonly headers: ReadonlyMap<string, string>
  readonly body: Buffer
}

/** What came of a request: an answer, or the end of the connection without a whole one, or nothing within the deadline. */
export type Outcome = WireAnswer | 'closed' | 'silent'

const deadlineMs = 30_000

export function encode({ method, url, headers, body }: WireRequest): Buffer {
  let head = `${method} ${url} HTTP/1.1\r\n`
  for (let at = 0; at + 1 < headers.length; at += 2) head += `${headers[at]}: ${headers[at + 1]}\r\n`
  return Buffer.concat([Buffer.from(`${head}Content-Length: ${body.length}\r\n\r\n`, 'latin1'), body])
}

export class Connection {
  readonly #port: number
  readonly #from: string | undefined
  #socket: Socket | undefined
  #received: Buffer = Buffer.alloc(0)
  #settle: ((outcome: Outcome) => void) | undefined

  /** `from`: the address of this side. The connection is made when first needed, and again after it has ended. */
  constructor(port: number, from?: string) {
    this.#port = port
    this.#from = from
  }

  async send(bytes: Buffer): Promise<Outcome> {
    const socket = this.#open()
    this.#received = Buffer.alloc(0)
    let timer: NodeJS.Timeout | undefined
    const outcome = await new Promise<Outcome>(resolve => {
      this.#settle = resolve
      timer = setTimeout(() => { resolve('silent') }, deadlineMs)
      socket.write(bytes)
    })
    clearTimeout(timer)
    this.#settle = undefined
    if (typeof outcome === 'string' || outcome.headers.get('connection') === 'close') this.close()
    return outcome
  }

  /** Sends and goes away without waiting for an answer. */
  async abandon(bytes: Buffer): Promise<void> {
    const socket = this.#open()
    await new Promise<void>(resolve => { socket.write(bytes, () => { resolve() }) })
    this.close()
  }

  close(): void {
    this.#socket?.destroy()
    this.#socket = undefined
  }

  #open(): Socket {
    if (this.#socket?.destroyed === false) return this.#socket
    const socket = connect({ port: this.#port, host: '127.0.0.1', noDelay: true, ...(this.#from === undefined ? {} : { localAddress: this.#from }) })
    const ended = (): void => {
      if (this.#socket !== socket) return
      this.#socket = undefined
      this.#settle?.('closed')
    }
    socket.on('data', (chunk: Buffer) => {
      if (this.#socket !== socket) return
      this.#received = this.#received.length === 0 ? chunk : Buffer.concat([this.#received, chunk])
      const answer = parse(this.#received)
      if (answer !== undefined) this.#settle?.(answer)
    })
    socket.on('error', ended)
    socket.on('close', ended)
    this.#socket = socket
    return socket
  }
}

/** The answer once it is whole; interim answers (100 Continue) are passed over. */
function parse(bytes: Buffer): WireAnswer | undefined {
  const end = bytes.indexOf('\r\n\r\n')
  if (end < 0) return undefined
  const [first = '', ...lines] = bytes.toString('latin1', 0, end).split('\r\n')
  const status = Number(/^HTTP\/1\.1 (\d{3})/.exec(first)?.[1])
  if (status < 200) return parse(bytes.subarray(end + 4))
  const headers = new Map(lines.map(line => [line.slice(0, line.indexOf(':')).toLowerCase(), line.slice(line.indexOf(':') + 1).trim()] as const))
  const length = Number(headers.get('content-length') ?? 0)
  const body = bytes.subarray(end + 4)
  return body.length < length ? undefined : { status, headers, body: body.subarray(0, length) }
}
