// The measurement itself: rounds of bare, Trent, bare at each number of connections, and the token alone once a round.
import { execFile, spawn } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { loadavg } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { cpuOf, machineCpu, mainThreadCpuOf, treeCpuOf } from '../cpu.ts'
import { encryptInput, luaScript, signed } from './requests.ts'
import { mean } from '../statistics.ts'
import type { Installation, RunningTrent } from './trent.ts'
import { wrk, type WrkResult } from './wrk.ts'

const here = (name: string): string => fileURLToPath(new URL(name, import.meta.url))
const typescript = ['--import', new URL('../run-typescript.js', import.meta.url).href]

/** CPU, each in microseconds a request. */
export interface CpuShares {
  readonly gateway: number
  /** The part of `gateway` that its main threads used; the rest is libuv's pool (journal, gzip) and V8's helpers. */
  readonly gatewayMainThread: number
  readonly agent: number
  readonly postgres: number
  readonly wrk: number
}

export interface Measured {
  readonly connections: number
  readonly round: number
  /** Of the last minute, when the round began. */
  readonly load: number
  readonly trent: WrkResult
  readonly bare: readonly [WrkResult, WrkResult]
  /** Trent's requests a second, as a share of the mean of the two bare runs around it. */
  readonly ratio: number
  readonly cpu: CpuShares
  /** Cores used meanwhile by what is neither Trent nor wrk. */
  readonly otherCores: number
}

export interface RawMeasured {
  readonly round: number
  readonly perSecond: number
  readonly cpuMicroseconds: number
}

export interface Plan {
  readonly connections: readonly number[]
  readonly rounds: number
  readonly seconds: number
  readonly bareSeconds: number
}

/** Asks once, so that caches are filled, and keeps the answer as the body that the bare process will send. @throws Error with what was answered instead */
export async function firstAnswer(installation: Installation): Promise<string> {
  const { headers, body } = signed(installation.signer, 'Encrypt', encryptInput(installation.keyArn, 0))
  const others = Object.fromEntries(Object.entries(headers).filter(([name]) => name !== 'Host'))
  const response = await fetch(`http://127.0.0.1:${installation.port}/`, { method: 'POST', headers: others, body })
  const text = await response.text()
  if (!response.ok) throw new Error(`the first Encrypt was answered ${response.status} ${text}`)
  return text
}

export interface Bare {
  readonly port: number
  stop(): void
}

export function startBare(body: string): Promise<Bare> {
  const child = spawn(process.execPath, [...typescript, here('bare.ts'), body], { stdio: ['ignore', 'pipe', 'inherit'] })
  return new Promise((resolve, reject) => {
    child.once('error', reject)
    child.stdout.once('data', (line: Buffer) => { resolve({ port: Number(line.toString()), stop: () => child.kill() }) })
  })
}

export async function measureRaw({ token }: Installation, round: number, seconds: number): Promise<RawMeasured> {
  const { stdout } = await promisify(execFile)(process.execPath, [...typescript, here('raw-pkcs11.ts'), token.library, token.label, token.pinFile, String(seconds)], {
    env: { PATH: process.env.PATH, SOFTHSM2_CONF: token.softhsmConfig },
  })
  return { round, ...JSON.parse(stdout) as Omit<RawMeasured, 'round'> }
}

export interface Subjects {
  readonly installation: Installation
  readonly trent: RunningTrent
  readonly bare: Bare
}

/** One round at one number of connections: bare, Trent, bare, with the same requests, signed now. */
export async function measure(subjects: Subjects, connections: number, round: number, plan: Plan): Promise<Measured> {
  const { installation, bare } = subjects
  const load = loadavg()[0] ?? 0
  const script = writeScript(installation)
  const before = await wrk(bare.port, script, connections, plan.bareSeconds)
  const { result, cpu, otherCores } = await measureTrent(subjects, script, connections, plan.seconds)
  const after = await wrk(bare.port, script, connections, plan.bareSeconds)
  return {
    connections, round, load, trent: result, bare: [before, after], cpu, otherCores,
    ratio: result.perSecond / mean([before.perSecond, after.perSecond]),
  }
}

export function writeScript(installation: Installation): string {
  const script = join(installation.directory, 'requests.lua')
  writeFileSync(script, luaScript(installation.signer, installation.keyArn), { mode: 0o600 })
  return script
}

export async function measureTrent(
  { installation, trent }: Pick<Subjects, 'installation' | 'trent'>, script: string, connections: number, seconds: number,
): Promise<{ result: WrkResult; cpu: CpuShares; otherCores: number }> {
  const read = () => ({
    gateway: total(trent.gateways, cpuOf), mainThread: total(trent.gateways, mainThreadCpuOf), agent: cpuOf(trent.agent),
    postgres: treeCpuOf(installation.postgres), primary: cpuOf(trent.primary), machine: machineCpu(), time: performance.now() * 1000,
  })
  const before = read()
  const result = await wrk(installation.port, script, connections, seconds)
  const after = read()
  const used = (name: keyof typeof before): number => after[name] - before[name]
  const each = (microseconds: number): number => microseconds / result.requests
  const others = used('machine') - used('gateway') - used('agent') - used('postgres') - used('primary') - result.cpuMicroseconds
  return {
    result,
    cpu: {
      gateway: each(used('gateway')), gatewayMainThread: each(used('mainThread')), agent: each(used('agent')), postgres: each(used('postgres')),
      wrk: each(result.cpuMicroseconds),
    },
    otherCores: Math.max(0, others / used('time')),
  }
}

const total = (pids: readonly number[], of: (pid: number) => number): number => pids.reduce((sum, pid) => sum + of(pid), 0)
