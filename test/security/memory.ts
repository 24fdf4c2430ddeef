// What stands in the memory of another process, by /proc/PID/mem. The kernel allows it to root, to the same user where ptrace is
// not restricted, and to an ancestor of the process where it is restricted to those (Yama 1).
import { closeSync, openSync, readFileSync, readSync } from 'node:fs'

const windowBytes = 4 * 1024 * 1024

/** Counts occurrences of each needle in all readable memory of a process. Windows overlap, so that none is missed at an edge. */
export function findInMemory(pid: number, needles: ReadonlyMap<string, Buffer>): Map<string, number> {
  const found = new Map<string, number>()
  const overlap = Math.max(...[...needles.values()].map(({ length }) => length)) - 1
  const memory = openSync(`/proc/${pid}/mem`, 'r')
  const window = Buffer.alloc(windowBytes + overlap)
  try {
    for (const { start, end } of regions(pid)) {
      for (let at = start; at < end; at += windowBytes) {
        const bytes = read(memory, window, at, Math.min(windowBytes + overlap, end - at))
        for (const [name, needle] of needles) {
          for (let hit = bytes.indexOf(needle); hit >= 0 && hit < windowBytes; hit = bytes.indexOf(needle, hit + 1)) found.set(name, (found.get(name) ?? 0) + 1)
        }
      }
    }
  } finally {
    window.fill(0)
    closeSync(memory)
  }
  return found
}

function regions(pid: number): { start: number; end: number }[] {
  return readFileSync(`/proc/${pid}/maps`, 'utf8').trimEnd().split('\n').flatMap(line => {
    const match = /^([0-9a-f]+)-([0-9a-f]+) r\S+ \S+ \S+ \d+\s*(.*)$/.exec(line)
    // Of the kernel's own pages these cannot be read.
    return match === null || /^\[v(var|syscall)/.test(match[3] ?? '') ? [] : [{ start: parseInt(match[1] ?? '', 16), end: parseInt(match[2] ?? '', 16) }]
  })
}

/** A region may have gone since it was listed. */
function read(memory: number, window: Buffer, at: number, length: number): Buffer {
  try {
    return window.subarray(0, readSync(memory, window, 0, length, at))
  } catch {
    return window.subarray(0, 0)
  }
}
