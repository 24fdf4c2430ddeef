// Which process a journal belongs to, so that a dead one's can be told from a living one's without locks: by pid and start time,
// within one boot and one pid namespace. A journal directory belongs to one host (or one container), never to two.
import { readFileSync, readlinkSync } from 'node:fs'

/** Names a process for as long as the machine runs; undefined when there is no such process. */
export function processMark(pid: number): string | undefined {
  if (process.platform !== 'linux') return isRunning(pid) ? `pid ${pid}` : undefined
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    // The command's name is in parentheses and may hold anything, so count fields behind the last one: starttime is field 22.
    const [state, ...fields] = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    if (state === 'Z' || state === 'X') return undefined
    const boot = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()
    return `boot ${boot} ${readlinkSync('/proc/self/ns/pid')} pid ${pid} start ${fields[18]}`
  } catch {
    // The process ended, before or while its entry was read.
    return undefined
  }
}

/** Whether the process that a mark was made for still runs. */
export function isAlive(mark: string): boolean {
  const pid = /pid (\d+)/.exec(mark)?.[1]
  return pid !== undefined && processMark(Number(pid)) === mark
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code === 'EPERM'
  }
}
