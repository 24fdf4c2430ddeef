// Requests as bytes on a socket, and answers as they stand on it: what fetch and SDKs would put right or hide.
import { connect, type Socket } from 'node:net'
import aws4 from 'aws4'
import { inject } from 'vitest'
import { region, type Credentials } from './aws.ts'

export interface WireAnswer {
  readonly status: number
  /** Header lines in their order, as sent. */
  readonly lines: readonly string[]
  readonly headers: ReadonlyMap<string, string>
  readonly body: string
}

export interface WireRequest {
  readonly method?: string
  readonly path?: string
  readonly target?: string | undefined
  readonly body?: string | Buffer
  /** Signed with the others. */
  readonly headers?: Readonly<Record<string, string>>
  readonly contentType?: string
  readonly credentials?: Credentials & { readonly sessionToken?: string }
  readonly service?: string
  readonly region?: string
  /** Put in after the signature was made; null takes one out. */
  readonly tamper?: Readonly<Record<string, string | null>>
}

const json11 = 'application/x-amz-json-1.1'

/** Headers of a signed request, by their names. */
export function signed(url: string, { method = 'POST', path = '/', target, body = '', headers = {}, contentType = json11, credentials = inject('installation').admin, service = 'kms', tamper = {}, ...scope }: WireRequest): Map<string, string> {
  // Without Content-Length among the signed headers a chunked request can be made of it; aws4's types do not know this option.
  const unsigned = { extraHeadersToIgnore: { 'content-length': true } }
  const made = aws4.sign({
    ...unsigned, host: new URL(url).host, method, path, service, region: scope.region ?? region, body: body as string,
    headers: { 'Content-Type': contentType, ...(target === undefined ? {} : { 'X-Amz-Target': target }), ...headers },
  }, credentials).headers as Record<string, string>
  const lines = new Map(Object.entries(made).map(([name, value]) => [name, String(value)]))
  for (const [name, value] of Object.entries(tamper)) {
    if (value === null) lines.delete(name)
    else lines.set(name, value)
  }
  return lines
}

/** A signed request, whole. */
export function requestBytes(url: string, request: WireRequest): Buffer {
  const { method = 'POST', path = '/', body = '' } = request
  return Buffer.concat([head(method, path, signed(url, request)), Buffer.from(body)])
}

export function head(method: string, path: string, headers: ReadonlyMap<string, string>): Buffer {
  const lines = [...headers].map(([name, value]) => `${name}: ${value}\r\n`)
  return Buffer.from(`${method} ${path} HTTP/1.1\r\n${lines.join('')}\r\n`, 'latin1')
}

/** One connection. Answers are read in the order in which they come. */
export class Wire {
  readonly socket: Socket
  #received = Buffer.alloc(0)
  #ended = false
  #wake: () => void = () => undefined

  constructor(url: string) {
    const { hostname, port } = new URL(url)
    this.socket = connect(Number(port), hostname)
    this.socket.on('data', (chunk: Buffer) => {
      this.#received = Buffer.concat([this.#received, chunk])
      this.#wake()
    })
    for (const event of ['end', 'error', 'close'] as const) {
      this.socket.on(event, () => {
        this.#ended = true
        this.#wake()
      })
    }
  }

  send(bytes: Buffer | string): void {
    this.socket.write(bytes)
  }

  /** The next answer. @throws Error when the connection ends before it is whole */
  async answer(withoutBody = false): Promise<WireAnswer> {
    await this.#until(() => this.#received.includes('\r\n\r\n'))
    const end = this.#received.indexOf('\r\n\r\n')
    const [status = '', ...lines] = this.#received.subarray(0, end).toString('latin1').split('\r\n')
    const headers = new Map(lines.map(line => [line.slice(0, line.indexOf(':')).toLowerCase(), line.slice(line.indexOf(':') + 1).trim()]))
    const length = withoutBody ? 0 : Number(headers.get('content-length') ?? 0)
    const whole = end + 4 + length
    await this.#until(() => this.#received.length >= whole)
    const body = this.#received.subarray(end + 4, whole).toString()
    this.#received = this.#received.subarray(whole)
    return { status: Number(status.split(' ')[1]), lines, headers, body }
  }

  /** Resolves when the other side has ended the connection; to the bytes that were not read as an answer. */
  async closed(): Promise<string> {
    while (!this.#ended) await this.#next()
    return this.#received.toString()
  }

  close(): void {
    this.socket.destroy()
  }

  async #until(isSo: () => boolean): Promise<void> {
    while (!isSo()) {
      if (this.#ended) throw new Error(`the connection ended after ${this.#received.length} bytes: ${this.#received.toString().slice(0, 200)}`)
      await this.#next()
    }
  }

  #next(): Promise<void> {
    return new Promise(resolve => { this.#wake = resolve })
  }
}

/** Sends one request on a connection of its own and resolves to the answer. */
export async function exchange(url: string, bytes: Buffer, withoutBody = false): Promise<WireAnswer> {
  const wire = new Wire(url)
  wire.send(bytes)
  try {
    return await wire.answer(withoutBody)
  } finally {
    wire.close()
  }
}
