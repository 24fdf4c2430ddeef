// The raw process of raw.js, as the measurement holds it.
import { fork, type ChildProcess } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { cpuOf } from '../cpu.ts'
import type { BenchToken } from './token.ts'

export interface RawRun {
  readonly perSecond: number
  /** Microseconds an operation. */
  readonly cpu: number
}

export interface RawWork {
  /** Which calls: a name in `operations` of raw.js. */
  readonly operation: 'encrypt' | 'sign'
  readonly key: 'wrapped' | 'resident' | 'rsa'
}

export interface Raw {
  readonly initializeMilliseconds: number
  run(work: RawWork, seconds: number): Promise<RawRun>
  /** Makes a resident object that nobody uses. */
  makeFiller(): Promise<void>
  stop(): Promise<void>
}

/** Starts the process and its threads. 0 threads make no keys either. */
export async function startRaw({ library, label, pin, env }: BenchToken, threads: number, residentId = ''): Promise<Raw> {
  const given = JSON.stringify({ library, label, pin, threads, residentId })
  const child = fork(fileURLToPath(new URL('raw.js', import.meta.url)), [given], { env: { PATH: process.env.PATH, ...env }, execArgv: [] })
  const pid = child.pid ?? 0
  const { initializeMilliseconds } = await answer<{ initializeMilliseconds: number }>(child)
  return {
    initializeMilliseconds,
    run: async (work, seconds) => {
      const before = cpuOf(pid)
      child.send({ ...work, seconds })
      const { rates } = await answer<{ rates: number[] }>(child)
      const perSecond = rates.reduce((sum, rate) => sum + rate, 0)
      return { perSecond, cpu: (cpuOf(pid) - before) / (perSecond * seconds) }
    },
    makeFiller: async () => {
      child.send({ type: 'filler' })
      await answer(child)
    },
    stop: () => ended(child),
  }
}

function answer<Message>(child: ChildProcess): Promise<Message> {
  return new Promise((resolve, reject) => {
    const died = (): void => { reject(new Error('the process of raw pkcs11js ended')) }
    child.once('exit', died)
    child.once('message', message => {
      child.off('exit', died)
      resolve(message as Message)
    })
  })
}

/** SIGKILL: C_Finalize under threads with sessions is not what is measured. */
function ended(child: ChildProcess): Promise<void> {
  const gone = new Promise<void>(resolve => child.once('exit', () => { resolve() }))
  child.kill('SIGKILL')
  return gone
}
