// A request's body, whole and bounded. Beyond the limit nothing more is read.
import type { IncomingMessage } from 'node:http'

/** The bytes, or 'too-large' as soon as the limit is passed, or 'aborted' when the client went away. */
export function readBody(message: IncomingMessage, limitBytes: number): Promise<Buffer | 'too-large' | 'aborted'> {
  return new Promise(resolve => {
    // A client that announces too much need not send it.
    if (Number(message.headers['content-length'] ?? 0) > limitBytes) {
      resolve('too-large')
      return
    }
    const chunks: Buffer[] = []
    let length = 0
    message.on('data', (chunk: Buffer) => {
      length += chunk.length
      if (length > limitBytes) {
        message.removeAllListeners('data')
        message.pause()
        resolve('too-large')
      } else chunks.push(chunk)
    })
    message.on('end', () => {
      const [only] = chunks
      if (chunks.length === 1 && only !== undefined) return resolve(only)
      const whole = Buffer.concat(chunks)
      // The body of an Encrypt holds the plaintext: of two copies one is wiped here, the other after the answer.
      for (const chunk of chunks) chunk.fill(0)
      resolve(whole)
    })
    message.on('error', () => { resolve('aborted') })
    message.on('aborted', () => { resolve('aborted') })
  })
}
