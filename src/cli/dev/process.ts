// Other processes on this machine, found by a pid that an earlier run wrote down. A pid alone proves nothing: it may have been given to
// somebody else since, so whoever signals one looks at its command line first.
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'

/** Whether a process has this pid; someone else's counts. */
export function isAlive(pid: number): boolean {
  if (!Number.isInteger(pid) || pid <= 0) return false
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}

/** Its command line with blanks between the words; empty when it is gone, or a zombie. */
export function commandLine(pid: number): string {
  try {
    if (process.platform === 'linux') return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ')
    return execFileSync('ps', ['-o', 'command=', '-p', String(pid)], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] })
  } catch {
    return ''
  }
}
