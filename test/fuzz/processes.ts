// The processes of a running Trent as the kernel and the exporter see them: memory, restarts.
import { readFileSync } from 'node:fs'
import { children } from '../support/processes.ts'
import type { Trent } from '../support/gateway.ts'

export interface Memory {
  /** Kilobytes. */
  readonly gateway: number
  readonly agent: number
}

export interface Watched {
  readonly gateway: number
  readonly agent: number
}

/** @throws Error unless there are exactly one gateway and one hsm-agent */
export function watched({ primary }: Trent): Watched {
  const [gateways, agents] = ['trent: gateway', 'trent: hsm-agent'].map(title => children(primary.pid).filter(({ command }) => command.startsWith(title)))
  const [gateway, agent] = [gateways?.[0], agents?.[0]]
  if (gateway === undefined || agent === undefined || gateways?.length !== 1 || agents?.length !== 1) throw new Error('a Trent of one gateway and one hsm-agent should run')
  return { gateway: gateway.pid, agent: agent.pid }
}

export const memoryOf = ({ gateway, agent }: Watched): Memory => ({ gateway: residentKilobytes(gateway), agent: residentKilobytes(agent) })

const residentKilobytes = (pid: number): number => Number(/^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1])
