// A listener that gives one kind of answer to every request, and what a bare client sees of it.
import { createServer, request } from 'node:http'
import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

export interface Answer {
  readonly status: number | undefined
  readonly headers: IncomingHttpHeaders
  /** Header lines as sent, without Date and those of the connection. */
  readonly lines: readonly string[]
  readonly body: string
}

/** Runs `use` with the endpoint of a listener that answers by `write`, and closes the listener after it. */
export async function listening<T>(write: (response: ServerResponse) => void, use: (port: number) => Promise<T>): Promise<T> {
  const server = createServer((_request, response) => { write(response) })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  try {
    return await use((server.address() as AddressInfo).port)
  } finally {
    server.closeAllConnections()
    server.close()
  }
}

/** What a client sees of the answer that `write` gives. */
export function answer(write: (response: ServerResponse) => void): Promise<Answer> {
  return listening(write, async port => {
    const response = await new Promise<IncomingMessage>((resolve, reject) => {
      request({ port, host: '127.0.0.1', method: 'POST' }, resolve).on('error', reject).end()
    })
    const chunks: Buffer[] = []
    for await (const chunk of response) chunks.push(chunk as Buffer)
    return { status: response.statusCode, headers: response.headers, lines: linesOf(response), body: Buffer.concat(chunks).toString() }
  })
}

function linesOf({ rawHeaders }: IncomingMessage): string[] {
  const lines: string[] = []
  for (let index = 0; index < rawHeaders.length; index += 2) {
    const [name = '', value = ''] = rawHeaders.slice(index, index + 2)
    if (!['date', 'connection', 'keep-alive'].includes(name.toLowerCase())) lines.push(`${name}: ${value}`)
  }
  return lines
}
