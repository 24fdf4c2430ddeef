// Where a result comes from: numbers without it say nothing.
import { execFileSync } from 'node:child_process'
import { statfsSync } from 'node:fs'
import { cpus, release, totalmem } from 'node:os'

export interface Provenance {
  readonly machine: string
  readonly node: string
  readonly date: string
  readonly commit: string
  readonly command: string
}

/** `beside`: what else ran on this machine. */
export function provenance(command: string, beside: string): Provenance {
  const [first] = cpus()
  return {
    machine: `${cpus().length} cores (${first?.model.trim() ?? 'unknown'}), ${Math.round(totalmem() / 2 ** 30)} GiB, Linux ${release()}; ${beside}`,
    node: process.version,
    date: new Date().toISOString().slice(0, 16).replace('T', ' ') + ' UTC',
    commit: commit(),
    command,
  }
}

/** The commit that was built, with a mark when the sources were not exactly that. */
function commit(): string {
  const git = (...words: string[]): string => execFileSync('git', words, { cwd: import.meta.dirname, encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim()
  try {
    return git('rev-parse', '--short=12', 'HEAD') + (git('status', '--porcelain', '--', '../src') === '' ? '' : ' with changes in src/')
  } catch {
    return 'unknown (no git here)'
  }
}

const fileSystems: Readonly<Record<string, string>> = { '1021994': 'tmpfs', 'ef53': 'ext4', '58465342': 'xfs', '9123683e': 'btrfs', '794c7630': 'overlayfs' }

/** The kind of disk that a path is on. */
export function fileSystemOf(path: string): string {
  const type = statfsSync(path).type.toString(16)
  return fileSystems[type] ?? `file system 0x${type}`
}
