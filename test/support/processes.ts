// Processes as the kernel knows them: by parent, never by a name that another run could share.
import { readdirSync, readFileSync } from 'node:fs'

export interface Process {
  readonly pid: number
  /** The whole command line, words parted by spaces. */
  readonly command: string
}

/** Parent and state of a process; undefined when it is gone. A zombie is gone: only its parent has not looked yet. */
function parentOf(pid: number): number | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    // The name, in parentheses, may hold anything.
    const [state, parent] = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    return state === 'Z' || state === 'X' ? undefined : Number(parent)
  } catch {
    return undefined
  }
}

export const isRunning = (pid: number): boolean => parentOf(pid) !== undefined

/** Living children of a process, oldest pid first. */
export function children(parent: number | undefined): Process[] {
  const pids = readdirSync('/proc').filter(name => /^\d+$/.test(name)).map(Number)
  return pids.filter(pid => parentOf(pid) === parent).sort((a, b) => a - b).map(pid => ({ pid, command: readProcess(pid, 'cmdline').toString().replaceAll('\0', ' ').trim() }))
}

/** A file of /proc/PID, empty when the process is gone. */
export function readProcess(pid: number, file: 'cmdline' | 'environ'): Buffer {
  try {
    return readFileSync(`/proc/${pid}/${file}`)
  } catch {
    return Buffer.alloc(0)
  }
}
