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
    // The body of an Encrypt holds the plaintext: what is not handed on is wiped here, what is, after the answer.
    const forget = (): void => { for (const chunk of chunks) chunk.fill(0) }
    message.on('data', (chunk: Buffer) => {
      length += chunk.length
      if (length > limitBytes) {
        message.removeAllListeners('data')
        message.pause()
        forget()
        chunk.fill(0)
        resolve('too-large')
      } else chunks.push(chunk)
    })
    message.on('end', () => {
      // From here on the bytes are the caller's, also when the client goes away.
      const received = chunks.splice(0)
      const [only] = received
      if (received.length === 1 && only !== undefined) return resolve(only)
      const whole = Buffer.concat(received)
      for (const chunk of received) chunk.fill(0)
      resolve(whole)
    })
    const aborted = (): void => {
      forget()
      resolve('aborted')
    }
    message.on('error', aborted)
    message.on('aborted', aborted)
  })
}
