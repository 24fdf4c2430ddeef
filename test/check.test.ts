// The closing line of ./check must not flatter: each way in which a run can be less than green shows in the count and in the exit code.
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, it } from 'vitest'

const folder = mkdtempSync(join(tmpdir(), 'trent-check-'))
afterAll(() => rmSync(folder, { recursive: true }))
const counter = new URL('../build/count-tests.js', import.meta.url).pathname

function close(report: object | string | undefined, exitCode: number, faults = 0): [line: string, code: number | null] {
  const path = join(folder, 'report.json')
  rmSync(path, { force: true })
  if (report !== undefined) writeFileSync(path, typeof report === 'string' ? report : JSON.stringify(report))
  const { stdout, status } = spawnSync(process.execPath, [counter, path, String(exitCode), String(faults)], { encoding: 'utf8' })
  return [stdout, status]
}

const ran = (total: number, passed: number, testResults: object[] = []) => ({ numTotalTests: total, numPassedTests: passed, testResults })

it('counts a green run as it is', () => {
  expect(close(ran(5, 5), 0)).toEqual(['5 passed, 0 failed\n', 0])
})

it('counts failed and skipped tests alike', () => {
  expect(close(ran(5, 3), 1)).toEqual(['3 passed, 2 failed\n', 1])
  expect(close(ran(5, 4), 0)).toEqual(['4 passed, 1 failed\n', 1])
})

it('counts a file that could not be loaded', () => {
  expect(close(ran(5, 5, [{ status: 'failed', assertionResults: [] }]), 1)).toEqual(['5 passed, 1 failed\n', 1])
})

it('counts a crash in which every test passed', () => {
  expect(close(ran(5, 5), 1)).toEqual(['5 passed, 1 failed\n', 1])
})

it('counts a run that left no report, or half of one, or ran nothing', () => {
  expect(close(undefined, 0)).toEqual(['0 passed, 1 failed\n', 1])
  expect(close('{"numTotal', 137)).toEqual(['0 passed, 1 failed\n', 1])
  expect(close(ran(0, 0), 0)).toEqual(['0 passed, 1 failed\n', 1])
})

it('counts lint, types and build', () => {
  expect(close(ran(5, 5), 0, 2)).toEqual(['5 passed, 2 failed\n', 1])
})
