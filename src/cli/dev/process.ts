// Other processes on this machine, found by a pid that an earlier run wrote down. A pid alone proves nothing: it may have been given to
// somebody else since, so whoever signals one compares its start time, or its command line, first.
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { setTimeout as after } from 'node:timers/promises'

export interface KnownProcess {
  readonly pid: number
  /** As startTime gave it when the process was young. */
  readonly since: string
}

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

function ps(column: string, pid: number): string {
  return execFileSync('ps', ['-o', `${column}=`, '-p', String(pid)], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim()
}

/** Its command line with blanks between the words; empty when it is gone, or a zombie. */
export function commandLine(pid: number): string {
  try {
    return process.platform === 'linux' ? readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ') : ps('command', pid)
  } catch {
    return ''
  }
}

/** When it began, as a text to compare; empty when it is gone, or a zombie. On Linux: boot id and clock ticks since (proc(5), stat 22). */
export function startTime(pid: number): string {
  try {
    if (process.platform !== 'linux') return ps('lstart', pid)
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    return fields[0] === 'Z' ? '' : `${readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()} ${fields[19]}`
  } catch {
    return ''
  }
}

export const runs = (known: KnownProcess | undefined): known is KnownProcess =>
  known !== undefined && isAlive(known.pid) && known.since !== '' && startTime(known.pid) === known.since

/** Asks `probe` every `pause` milliseconds until it answers true. Resolves to false after `milliseconds`. */
export async function until(probe: () => boolean | Promise<boolean>, milliseconds: number, pause = 50): Promise<boolean> {
  const end = performance.now() + milliseconds
  while (!(await probe())) {
    if (performance.now() > end) return false
    await after(pause)
  }
  return true
}
