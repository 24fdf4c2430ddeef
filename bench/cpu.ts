// CPU time from /proc, which is why this benchmark wants Linux. A clock tick is 10 ms: over seconds and tens of thousands of requests that
// is below a microsecond a request.
import { readdirSync, readFileSync } from 'node:fs'

/** USER_HZ, which Linux fixes for all programs whatever the kernel's own clock does. */
const tickMicroseconds = 10_000

function fieldsOf(stat: string): readonly string[] {
  // The command's name is in parentheses and may hold blanks: fields are counted behind it, so that [0] is field 3, the state.
  return stat.slice(stat.lastIndexOf(')') + 2).split(' ')
}

function statOf(path: string): readonly string[] | undefined {
  try {
    return fieldsOf(readFileSync(path, 'utf8'))
  } catch {
    return undefined
  }
}

const sum = (fields: readonly string[], from: number, count: number): number =>
  fields.slice(from, from + count).reduce((total, ticks) => total + Number(ticks), 0) * tickMicroseconds

/** Microseconds that a process has used, all its threads. 0 when it is gone. */
export const cpuOf = (pid: number): number => sum(statOf(`/proc/${pid}/stat`) ?? [], 11, 2)

/** Microseconds of a process's main thread. */
export const mainThreadCpuOf = (pid: number): number => sum(statOf(`/proc/${pid}/task/${pid}/stat`) ?? [], 11, 2)

/** Microseconds of a process and its children, those that have ended included. */
export const treeCpuOf = (pid: number): number =>
  sum(statOf(`/proc/${pid}/stat`) ?? [], 11, 4) + childrenOf(pid).reduce((total, child) => total + cpuOf(child), 0)

/** Microseconds that all CPUs together were busy since boot. */
export function machineCpu(): number {
  const [, user = 0, nice = 0, system = 0, , , irq = 0, softirq = 0] = readFileSync('/proc/stat', 'utf8').split('\n', 1)[0]?.split(/ +/).map(Number) ?? []
  return (user + nice + system + irq + softirq) * tickMicroseconds
}

/** The pids of the living children of a process. */
export function childrenOf(parent: number): number[] {
  return readdirSync('/proc').filter(name => /^\d+$/.test(name) && Number(statOf(`/proc/${name}/stat`)?.[1]) === parent).map(Number)
}

export const commandLineOf = (pid: number): string => readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ').trim()
