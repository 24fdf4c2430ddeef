// Starting an hsm-agent process and talking to it over its control socket. Used by the supervisor and by one-off jobs.
import { spawn, type ChildProcess } from 'node:child_process'
import type { Duplex } from 'node:stream'
import { fileURLToPath } from 'node:url'
import type { TokenConfig } from '../config.ts'
import { StartError } from '../errors.ts'
import { LineReader, type FromAgent, type Job, type ToAgent, type TokenAddress } from './agent/control.ts'
import { attendLogin, type Logins } from './login.ts'

/** What runs as the agent. */
export interface AgentProgram {
  readonly node: string
  readonly entry: string
}

const usualProgram: AgentProgram = { node: process.execPath, entry: fileURLToPath(new URL('./agent/main.js', import.meta.url)) }

export interface AgentProcess {
  readonly child: ChildProcess
  send(message: ToAgent): void
}

/**
 * The agent's environment is the token's own settings and nothing of ours: no database URL, no credentials. It gets the PIN from `logins`, and
 * none without.
 * @throws Error when the system has no memory or file descriptors left for it; for other causes the child emits 'error' and no 'exit'
 */
export function spawnAgent(token: TokenConfig, hear: (message: FromAgent) => void, logins?: Logins, program = usualProgram): AgentProcess {
  const child = spawn(program.node, [program.entry], {
    argv0: `trent: hsm-agent ${token.label}`,
    env: { PATH: '/usr/local/bin:/usr/bin:/bin', ...token.env },
    // stdin is the lifeline: held open, never written. File descriptor 3 is the control socket.
    stdio: ['pipe', 'ignore', 'inherit', 'pipe'],
  })
  const control = controlOf(child)
  const reader = new LineReader()
  const send = (message: ToAgent): void => { control.write(`${JSON.stringify(message)}\n`) }
  const attended = attendLogin({ child, send }, logins, hear)
  control.on('data', (chunk: Buffer) => {
    for (const line of reader.push(chunk)) {
      const message = parseMessage(line)
      if (message === undefined) killChild(child)
      else attended(message)
    }
  })
  control.on('error', () => { killChild(child) })
  child.stdin?.on('error', () => undefined)
  return { child, send }
}

/** SIGKILL. A child that was never spawned has no process id, and Node would signal process 0 for it: the whole group of its own process. */
export function killChild(child: ChildProcess): void {
  if (child.pid !== undefined) child.kill('SIGKILL')
}

/** 'pipe' beyond stderr is a socket pair: both directions. @throws Error */
function controlOf(child: ChildProcess): Duplex {
  // Contrary to its type Node leaves stdio unset when there is no file descriptor left, and emits 'error' a moment later.
  const { stdio } = child as { stdio?: ChildProcess['stdio'] }
  const control = stdio?.[3]
  if (control !== undefined && control !== null) return control as Duplex
  child.on('error', () => undefined)
  throw new Error('no file descriptor is left for an hsm-agent')
}

/** A vendor's library may print into any descriptor: such an agent is ended, and the primary is not. */
function parseMessage(line: string): FromAgent | undefined {
  try {
    const message: unknown = JSON.parse(line)
    return typeof message === 'object' && message !== null && 'type' in message ? message as FromAgent : undefined
  } catch {
    return undefined
  }
}

export const tokenAddress = (token: TokenConfig): TokenAddress => ({
  label: token.label, serial: token.serial, library: token.library, libraryParameters: token.libraryParameters, profile: token.profile,
})

const jobLimitMilliseconds = 120_000

/** Runs one job in an agent process of its own. @throws StartError with the agent's sentence */
export function runJob<Result>(token: TokenConfig, job: Job, logins?: Logins): Promise<Result> {
  return new Promise((resolve, reject) => {
    /** The command ends with its job: not before it is noted how the login went. */
    const noted = (end: () => void): void => { void (logins?.settled() ?? Promise.resolve()).then(end) }
    const agent = spawnAgent(token, message => {
      if (message.type === 'done') noted(() => { resolve(message.result as Result) })
      else if (message.type === 'fatal') noted(() => { reject(new StartError(message.message)) })
    }, logins)
    const limit = setTimeout(() => { killChild(agent.child) }, jobLimitMilliseconds)
    agent.child.on('error', reject)
    // Not at its exit: its answer may be read after it.
    agent.child.on('close', (code, signal) => {
      clearTimeout(limit)
      noted(() => { reject(new StartError(`the hsm-agent for token '${token.label}' ended without an answer (${signal ?? `exit ${code}`})`)) })
    })
    agent.send(job)
  })
}
