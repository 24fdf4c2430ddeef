// Once a run of the system project: builds dist/, since child processes start from there, and provides Postgres and an
// installation of Trent.
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { TestProject } from 'vitest/node'
import { provideInstallation } from './installation.ts'
import { provideServer } from './server.ts'

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  await build()
  const { server, stop } = await provideServer(project)
  const removeInstallation = await provideInstallation(project, server)
  return async () => {
    await removeInstallation()
    await stop()
  }
}

async function build(): Promise<void> {
  await promisify(execFile)('npm', ['run', 'build'], { cwd: join(import.meta.dirname, '../..') }).catch((error: Error & { stdout?: string }) => {
    throw new Error(`npm run build failed\n${error.stdout ?? error.message}`)
  })
}
