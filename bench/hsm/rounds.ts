// The measurement itself. In each round, and for each setting and workload of a group: raw, through client and agent, raw.
import { loadavg } from 'node:os'
import { machineCpu } from '../cpu.ts'
import { mean } from '../statistics.ts'
import { startAgent, type Agent, type BenchKeys } from './agent.ts'
import { startRaw, type Raw, type RawRun } from './raw.ts'
import type { BenchToken } from './token.ts'
import { workloads, type Workload } from './workloads.ts'

export interface Setting {
  /** Resident objects on the token, the domain's two left out. */
  readonly objects: number
  /** Milliseconds that the token takes for each PKCS#11 call besides its own time. */
  readonly delay: number
  /** Threads of the raw process, and workers of the agent. */
  readonly threads: number
  /** Calls that the client has under way; the raw process has one a thread. */
  readonly inFlight: number
}

export interface Measured extends Setting {
  readonly workload: string
  readonly round: number
  /** Two runs around the one through the agent; one where the agent has no verb for it. */
  readonly raw: readonly RawRun[]
  readonly through: ThroughRun | null
  /** What came through, as a share of the mean of the raw runs. */
  readonly ratio: number | null
  /** Cores used meanwhile by what is not this benchmark. */
  readonly otherCores: number
  /** Of the last minute, when the run began. */
  readonly load: number
}

export interface ThroughRun {
  readonly perSecond: number
  /** Microseconds of CPU an operation. */
  readonly agentCpu: number
  readonly clientCpu: number
}

export interface Subject {
  readonly setting: Setting
  readonly raw: Raw
  readonly agent: Agent
  stop(): Promise<void>
}

export async function openSubject(token: BenchToken, setting: Setting, keys: BenchKeys): Promise<Subject> {
  const agent = await startAgent(token, setting.threads)
  const raw = await startRaw(token, setting.threads, keys.residentId)
  token.delay(setting.delay)
  return {
    setting, raw, agent,
    stop: async () => {
      token.delay(0)
      await raw.stop()
      await agent.stop()
    },
  }
}

export interface Plan {
  readonly rounds: number
  readonly seconds: number
}

/** Each worker is a JavaScript engine of its own, which compiles for itself: with 64 of them on two cores that takes half a minute. */
const warmCallsPerWorker = 1_500
const warmSecondsLeast = 0.5
const warmSecondsMost = 60

/** All rounds of settings that are compared with each other: each round measures all of them, so that no minute is one setting's alone. */
export async function measureGroup(subjects: readonly Subject[], keys: BenchKeys, plan: Plan, say: (text: string) => void): Promise<Measured[]> {
  const measured: Measured[] = []
  // What is compiled just in time, and the keys that workers ask for, are nobody's steady state.
  for (const subject of subjects) for (const workload of chosen(subject)) await warm(subject, workload, keys)
  for (let round = 1; round <= plan.rounds; round++) {
    for (const workload of workloads) {
      for (const subject of subjects.filter(one => chosen(one).includes(workload))) {
        const one = await measure(subject, workload, keys, { round, seconds: plan.seconds })
        measured.push(one)
        say(line(one))
      }
    }
  }
  return measured
}

async function warm({ setting, raw, agent }: Subject, { raw: work, through }: Workload, keys: BenchKeys): Promise<void> {
  await raw.run(work, warmSecondsLeast)
  if (through === undefined) return
  const began = performance.now()
  const seconds = (): number => (performance.now() - began) / 1000
  for (let calls = 0; calls < warmCallsPerWorker * setting.threads && seconds() < warmSecondsMost;) {
    calls += (await runThrough(agent, setting.inFlight, warmSecondsLeast, () => through(agent.client, keys))).perSecond * warmSecondsLeast
  }
}

const chosen = ({ setting }: Subject): readonly Workload[] => workloads.filter(({ delayed }) => setting.delay === 0 || delayed)

async function measure({ setting, raw, agent }: Subject, workload: Workload, keys: BenchKeys, { round, seconds }: { round: number; seconds: number }): Promise<Measured> {
  const [load = 0] = loadavg()
  const began = { machine: machineCpu(), time: performance.now() }
  const before = await raw.run(workload.raw, seconds)
  const { through: call } = workload
  const through = call === undefined ? null : await runThrough(agent, setting.inFlight, seconds, () => call(agent.client, keys))
  const runs = through === null ? [before] : [before, await raw.run(workload.raw, seconds)]
  const own = [...runs.map(run => run.cpu * run.perSecond), through === null ? 0 : (through.agentCpu + through.clientCpu) * through.perSecond]
  const ownMicroseconds = own.reduce((sum, each) => sum + each * seconds, 0)
  const elapsed = (performance.now() - began.time) * 1000
  return {
    ...setting, workload: workload.name, round, raw: runs, through, load,
    ratio: through === null ? null : through.perSecond / mean(runs.map(run => run.perSecond)),
    otherCores: Math.max(0, (machineCpu() - began.machine - ownMicroseconds) / elapsed),
  }
}

async function runThrough(agent: Agent, inFlight: number, seconds: number, call: () => Promise<unknown>): Promise<ThroughRun> {
  const cpu = agent.cpu()
  const began = performance.now()
  const end = began + seconds * 1000
  let count = 0
  await Promise.all(Array.from({ length: inFlight }, async () => {
    while (performance.now() < end) {
      await call()
      count++
    }
  }))
  const perSecond = count / ((performance.now() - began) / 1000)
  const used = agent.cpu()
  return { perSecond, agentCpu: (used.agent - cpu.agent) / count, clientCpu: (used.client - cpu.client) / count }
}

function line({ round, workload, objects, delay, threads, inFlight, raw, through, ratio, otherCores }: Measured): string {
  const rate = (perSecond: number): string => `${Math.round(perSecond)}/s`
  const compared = through === null || ratio === null ? '' : `, through the agent ${rate(through.perSecond)}, ratio ${ratio.toFixed(3)}, agent ${through.agentCpu.toFixed(0)} µs, client ${through.clientCpu.toFixed(0)} µs`
  return `round ${round}, ${workload}, ${objects} objects, ${delay} ms, ${threads} threads, ${inFlight} in flight: raw ${raw.map(run => rate(run.perSecond)).join(' and ')}${compared}, other ${otherCores.toFixed(2)}`
}
