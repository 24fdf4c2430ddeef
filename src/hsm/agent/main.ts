// Entry of the hsm-agent process: one message on the control socket says what it is for.
import { writeSync } from 'node:fs'
import { Socket } from 'node:net'
import { Worker } from 'node:worker_threads'
import { LineReader, type FromAgent, type ToAgent } from './control.ts'
import { runJob } from './jobs.ts'
import { serve } from './serve.ts'
import { Fatal } from './token.ts'

const controlDescriptor = 3

process.umask(0o077)
// The parent decides when an agent ends: a Ctrl-C in the terminal must not cut a key off from its request.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => undefined)
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

control.on('data', chunk => {
  for (const line of reader.push(chunk)) void begin(JSON.parse(line) as ToAgent)
})
control.on('error', end)

async function begin(message: ToAgent): Promise<void> {
  try {
    if (message.type === 'start') await serve(message, tell)
    else finish({ type: 'done', result: runJob(message) })
  } catch (thrown) {
    if (thrown instanceof Fatal) finish({ type: 'fatal', code: thrown.code, message: thrown.message })
    else finish({ type: 'fatal', code: 'internal', message: thrown instanceof Error ? thrown.message : String(thrown) })
  }
}

function finish(message: FromAgent): void {
  control.end(`${JSON.stringify(message)}\n`, end)
}
