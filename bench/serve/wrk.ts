// One run of wrk: one thread, so that the other core is left to what is measured.
import { spawn, spawnSync } from 'node:child_process'

export interface WrkResult {
  readonly requests: number
  readonly perSecond: number
  /** Milliseconds. */
  readonly p50: number
  readonly p99: number
  readonly most: number
  /** Answers of 400 and above, and connections that broke: a measurement with one of them is none. */
  readonly failures: number
  readonly cpuMicroseconds: number
}

/** @throws Error that says how to get it */
export function requireWrk(): void {
  if (spawnSync('wrk', ['--version']).error !== undefined) throw new Error('wrk is missing: install it (apt-get install wrk, or brew install wrk) and try again')
}

export function wrk(port: number, script: string, connections: number, seconds: number): Promise<WrkResult> {
  const child = spawn('wrk', ['--threads', '1', '--connections', String(connections), '--duration', `${seconds}s`, '--latency', '--timeout', '10s', '--script', script, `http://127.0.0.1:${port}/`])
  let output = ''
  child.stdout.on('data', (chunk: Buffer) => { output += chunk.toString() })
  child.stderr.on('data', (chunk: Buffer) => { output += chunk.toString() })
  return new Promise((resolve, reject) => {
    child.on('error', reject)
    child.on('close', () => {
      const line = /^result (.*)$/m.exec(output)?.[1]
      if (line === undefined) reject(new Error(`wrk ended without a result:\n${output}`))
      else resolve(resultOf(line))
    })
  })
}

function resultOf(line: string): WrkResult {
  const { requests, microseconds, p50, p99, most, non2xx, socketErrors, stat } = JSON.parse(line) as Record<'requests' | 'microseconds' | 'p50' | 'p99' | 'most' | 'non2xx' | 'socketErrors', number> & { stat: string }
  const [, , , , , , , , , , , user, system] = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return {
    requests, perSecond: requests / (microseconds / 1e6), p50: p50 / 1000, p99: p99 / 1000, most: most / 1000, failures: non2xx + socketErrors,
    cpuMicroseconds: (Number(user) + Number(system)) * 10_000,
  }
}
