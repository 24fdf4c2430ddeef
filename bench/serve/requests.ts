// The requests of a run: Encrypts of 32 random bytes under one key, each signed on its own, as a Lua script for wrk.
import { randomBytes } from 'node:crypto'
import aws4 from 'aws4'

export interface Signer {
  readonly host: string
  readonly region: string
  readonly credentials: { readonly accessKeyId: string; readonly secretAccessKey: string }
}

/** Enough for no cache by request to help; wrk takes them in turn. */
const requestCount = 500

export interface SignedRequest {
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
}

export function signed({ host, region, credentials }: Signer, operation: string, input: object): SignedRequest {
  const body = JSON.stringify(input)
  const { headers } = aws4.sign({
    host, method: 'POST', path: '/', service: 'kms', region, body,
    headers: { 'Content-Type': 'application/x-amz-json-1.1', 'X-Amz-Target': `TrentService.${operation}`, 'User-Agent': 'aws-sdk-js/3.1164.0 ua/2.1 os/linux lang/js md/nodejs#20.20.2' },
  }, credentials)
  // wrk counts the body itself.
  return { headers: Object.fromEntries(Object.entries(headers ?? {}).filter(([name]) => name !== 'Content-Length').map(([name, value]) => [name, String(value)])), body }
}

/** Two pairs of context, as clients that follow the guides send them. */
export const encryptInput = (keyArn: string, number: number): object => ({
  KeyId: keyArn, Plaintext: randomBytes(32).toString('base64'), EncryptionContext: { tenant: `blue${number}`, purpose: 'bench' },
})

const luaText = (text: string): string => `"${text.replaceAll(/["\\]/g, found => `\\${found}`)}"`

/** Signs them now: a signature is good for five minutes. The script ends with one line of JSON behind the mark `result `. */
export function luaScript(signer: Signer, keyArn: string): string {
  const requests = Array.from({ length: requestCount }, (_, number) => {
    const { headers, body } = signed(signer, 'Encrypt', encryptInput(keyArn, number))
    const table = Object.entries(headers).map(([name, value]) => `[${luaText(name)}]=${luaText(value)}`).join(',')
    return `  requests[${number}] = wrk.format("POST", "/", {${table}}, ${luaText(body)})`
  })
  return `local requests = {}
local last = 0
function init()
${requests.join('\n')}
end
function request()
  last = (last + 1) % ${requestCount}
  return requests[last]
end
function done(summary, latency)
  local errors = summary.errors
  local stat = io.open("/proc/self/stat"):read("*a")
  io.write(string.format(
    'result {"requests":%d,"microseconds":%d,"p50":%d,"p99":%d,"most":%d,"non2xx":%d,"socketErrors":%d,"stat":"%s"}\\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99), latency.max, errors.status,
    errors.connect + errors.read + errors.write + errors.timeout, stat:gsub("[^%w%) ]", "")))
end
`
}
