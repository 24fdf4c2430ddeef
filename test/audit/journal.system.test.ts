// What a process that is killed at any moment leaves on disk.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { expect, test } from 'vitest'
import { recover } from '../../src/audit/recover.ts'
import { drain, requestIds, temporaryDirectory } from './fixtures.ts'

const nobody: ReadonlySet<string> = new Set()

/** Runs the child until it has acknowledged so many records, then SIGKILL. Resolves to all ids that it could print. */
async function killAfter(directory: string, count: number): Promise<string[]> {
  const child = spawn(process.execPath, [join(import.meta.dirname, 'append-until-killed.js'), directory], { stdio: ['ignore', 'pipe', 'inherit'] })
  const exited = once(child, 'exit')
  const acknowledged: string[] = []
  for await (const line of createInterface({ input: child.stdout })) {
    // A line that the kill cut short was still acknowledged, but its id is not whole.
    if (line.length === 36) acknowledged.push(line)
    if (acknowledged.length === count) {
      expect(await recover(directory, nobody)).toEqual([])
      child.kill('SIGKILL')
    }
  }
  expect(await exited).toEqual([null, 'SIGKILL'])
  return acknowledged
}

test.each([1, 40, 2500])('a process killed after %i acknowledged records leaves every one of them, once and in order', async count => {
  const directory = await temporaryDirectory()
  const acknowledged = await killAfter(directory, count)
  const [journal, ...others] = await recover(directory, nobody)
  if (journal === undefined) throw new Error('nothing was recovered')
  expect(others).toEqual([])
  expect(journal.missingAfter(0)).toBe(0)
  const lots = await drain(journal)
  const recovered = lots.flatMap(lot => requestIds(lot.lines))
  expect(acknowledged.length).toBeGreaterThanOrEqual(count)
  expect(new Set(recovered).size).toBe(recovered.length)
  // At most one write of 32 records was under way.
  expect(recovered.length - acknowledged.length).toBeLessThanOrEqual(64)
  const known = new Set(recovered)
  expect(acknowledged.filter(id => !known.has(id))).toEqual([])
  expect(lots.at(-1)?.last).toBe(recovered.length)
  await journal.close()
  expect(await recover(directory, nobody)).toEqual([])
})
