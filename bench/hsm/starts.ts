// How long it takes until a token serves: C_Initialize alone, an agent from its spawn to ready, and what callers wait when it is killed.
import { startAgent, type BenchKeys } from './agent.ts'
import { startRaw } from './raw.ts'
import type { BenchToken } from './token.ts'
import { workloads } from './workloads.ts'

/** All in milliseconds. */
export interface Start {
  readonly objects: number
  readonly round: number
  readonly initialize: number
  readonly ready: number
  /** From a SIGKILL of the agent to the first answer to a call that was made right after it. */
  readonly recovery: number
}

/** The token's own threads are as many as Trent's default. */
export async function measureStart(token: BenchToken, keys: BenchKeys, given: { objects: number; round: number; workers: number }): Promise<Start> {
  const raw = await startRaw(token, 0)
  await raw.stop()
  const agent = await startAgent(token, given.workers)
  try {
    const [{ through }] = workloads as [typeof workloads[0]]
    const call = async (): Promise<unknown> => through?.(agent.client, keys)
    await call()
    const killed = performance.now()
    process.kill(agent.pid(), 'SIGKILL')
    await repeated(call)
    return { objects: given.objects, round: given.round, initialize: raw.initializeMilliseconds, ready: agent.readyMilliseconds, recovery: performance.now() - killed }
  } finally {
    await agent.stop()
  }
}

const repeatLimitMilliseconds = 120_000

/** As a client's SDK does: on a full machine, with 20,000 objects, the time of one call may be over first. */
async function repeated(call: () => Promise<unknown>): Promise<void> {
  for (const end = performance.now() + repeatLimitMilliseconds; ;) {
    try {
      await call()
      return
    } catch (thrown) {
      if (performance.now() > end) throw thrown
    }
  }
}
