// Where a result comes from: numbers without it say nothing.
import { execFileSync } from 'node:child_process'
import { cpus, release, totalmem } from 'node:os'

export interface Provenance {
  readonly machine: string
  readonly node: string
  readonly date: string
  readonly commit: string
  readonly command: string
}

export function provenance(command: string): Provenance {
  const [first] = cpus()
  return {
    machine: `${cpus().length} cores (${first?.model.trim() ?? 'unknown'}), ${Math.round(totalmem() / 2 ** 30)} GiB, Linux ${release()}; load generator on the same cores, loopback, no TLS`,
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
    return git('rev-parse', '--short=12', 'HEAD') + (git('status', '--porcelain', '--', '../../src') === '' ? '' : ' with changes in src/')
  } catch {
    return 'unknown (no git here)'
  }
}
