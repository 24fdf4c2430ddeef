// ./dev in a copy of the project under the home directory, which for root is one that user postgres cannot enter: Postgres then runs from
// a copy of its binaries, with its data elsewhere.
import { execFile } from 'node:child_process'
import { cpSync, existsSync, mkdtempSync, rmSync, statSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { removePostgres } from '../../src/cli/dev/postgres.ts'

const project = join(import.meta.dirname, '../..')
/** A password database says where, not HOME: a run may have a HOME of its own that everybody can enter. */
const home = process.getuid?.() === 0 ? '/root' : homedir()
const clone = mkdtempSync(join(home, '.trent-test-clone-'))
const run = promisify(execFile)

beforeAll(async () => {
  for (const name of ['build', 'dist', 'src', 'dev', 'trent', 'package.json', 'package-lock.json', 'tsconfig.json', '.npmrc']) {
    cpSync(join(project, name), join(clone, name), { recursive: true, preserveTimestamps: true })
  }
  // Packages by hard link: real files below the home directory, in a moment.
  await run('cp', ['-al', join(project, 'node_modules'), join(clone, 'node_modules')])
    .catch(() => run('cp', ['-a', join(project, 'node_modules'), join(clone, 'node_modules')]))
})
afterAll(async () => {
  await run(join(clone, 'dev'), ['--stop']).catch(() => undefined)
  // As root the data stands outside the clone.
  await removePostgres(join(clone, '.trent'))
  rmSync(clone, { recursive: true, force: true })
})

it('reaches the first Encrypt in a clone that nobody else can enter, and ends', async () => {
  expect(statSync(clone).mode & 0o077, `${clone} is closed to others`).toBe(0)
  const { stdout } = await run(join(clone, 'dev'), ['--detach', '--port', '18470'])
  expect(stdout).toContain('Trent answers on http://127.0.0.1:18470')
  expect(stdout).toMatch(/Encrypt [\d.]+ ms, Decrypt [\d.]+ ms/)
  expect(existsSync(join(clone, '.trent/trent.yaml'))).toBe(true)
  await run(join(clone, 'dev'), ['--stop'])
  await expect(run(join(clone, 'dev'), ['--env'])).rejects.toThrow('Nothing runs here')
})
