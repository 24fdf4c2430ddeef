// Entry of the hsm-agent process: one message on the control socket says what it is for, a second one brings the PIN.
import { writeSync } from 'node:fs'
import { Socket } from 'node:net'
import { Worker } from 'node:worker_threads'
import { LineReader, type FromAgent, type PinMessage, type ToAgent } from './control.ts'
import { runJob } from './jobs.ts'
import { serve, type Serving } from './serve.ts'
import { Fatal } from './token.ts'

const controlDescriptor = 3
/** From SIGTERM: in the first the supervisor has a successor started and says so; then who is still connected is served for the second. */
const askedMilliseconds = { toServeOn: 10_000, toDrain: 2_000 }

process.umask(0o077)
// A Ctrl-C reaches every process of the terminal, and the parent decides: it must not cut a key off from its request.
for (const signal of ['SIGINT', 'SIGHUP'] as const) process.on(signal, () => undefined)
process.on('SIGTERM', asked)
new Worker(new URL('./lifeline.js', import.meta.url), { stdin: false }).unref()

// process.exit() waits for the lifeline's thread, which is blocked in read: every end of this process is a SIGKILL.
const end = (): void => { process.kill(process.pid, 'SIGKILL') }
process.on('uncaughtException', error => {
  writeSync(2, `${error.stack ?? error.message}\n`)
  end()
})

const control = new Socket({ fd: controlDescriptor, readable: true, writable: true })
const tell = (message: FromAgent): void => { control.write(`${JSON.stringify(message)}\n`) }
const reader = new LineReader()
let serving: Serving | undefined
let isAsked = false
let isDraining = false
let takePin: (message: PinMessage) => void = () => undefined
const pin = new Promise<PinMessage>(resolve => { takePin = resolve })

control.on('data', chunk => {
  for (const line of reader.push(chunk)) void hear(JSON.parse(line) as ToAgent)
})
control.on('error', end)

/** An init system may end all processes of a service at once: requests under way still need this one, so it does not just end. */
function asked(): void {
  if (serving === undefined || isAsked) return
  isAsked = true
  tell({ type: 'asked' })
  setTimeout(() => { void drain(askedMilliseconds.toDrain) }, askedMilliseconds.toServeOn)
}

async function drain(milliseconds: number): Promise<void> {
  if (serving === undefined || isDraining) return
  isDraining = true
  await serving.drain(milliseconds)
  control.end(end)
}

async function hear(message: ToAgent): Promise<void> {
  try {
    if (message.type === 'pin') takePin(message)
    else if (message.type === 'start') serving = await serve(message, { tell, pin })
    else if (message.type === 'drain') await drain(message.milliseconds)
    else finish({ type: 'done', result: await runJob(message, { tell, pin }) })
  } catch (thrown) {
    if (thrown instanceof Fatal) finish({ type: 'fatal', code: thrown.code, message: thrown.message })
    else finish({ type: 'fatal', code: 'internal', message: thrown instanceof Error ? thrown.message : String(thrown) })
  }
}

function finish(message: FromAgent): void {
  control.end(`${JSON.stringify(message)}\n`, end)
}
