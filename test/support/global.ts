// Once a run of the system project: builds dist/, since child processes start from there, and provides Postgres.
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { TestProject } from 'vitest/node'
import { provideServer } from './server.ts'

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  await build()
  return provideServer(project)
}

async function build(): Promise<void> {
  await promisify(execFile)('npm', ['run', 'build'], { cwd: join(import.meta.dirname, '../..') }).catch((error: Error & { stdout?: string }) => {
    throw new Error(`npm run build failed\n${error.stdout ?? error.message}`)
  })
}
