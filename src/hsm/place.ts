// Where process ids mean the same: one boot of one kernel, one namespace of process ids. Elsewhere nobody can tell whether a process lives.
import { randomUUID } from 'node:crypto'
import { readFileSync, readlinkSync } from 'node:fs'

/** Names it; a name that is never met again where the system has none. */
export function thisPlace(): string {
  try {
    return `${readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()} ${readlinkSync('/proc/self/ns/pid')}`
  } catch {
    return randomUUID()
  }
}

/** Whether none of these processes runs any more. False where that cannot be told. */
export const areGone = (place: string, processes: readonly number[]): boolean => place === thisPlace() && !processes.some(isAlive)

export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code === 'EPERM'
  }
}
