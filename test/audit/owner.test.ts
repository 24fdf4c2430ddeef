import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { expect, test } from 'vitest'
import { isAlive, processMark } from '../../src/audit/owner.ts'

test('this process is alive under its own mark, and not under one of an earlier process with the same pid', () => {
  const mark = processMark(process.pid) ?? ''
  expect(mark).toContain(`pid ${process.pid}`)
  expect(isAlive(mark)).toBe(true)
  if (process.platform === 'linux') expect(isAlive(mark.replace(/start \d+/, 'start 1'))).toBe(false)
  expect(isAlive('')).toBe(false)
  expect(isAlive('pid x')).toBe(false)
})

test('a process that has ended is not alive', async () => {
  const child = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'])
  const mark = processMark(child.pid ?? 0) ?? ''
  expect(isAlive(mark)).toBe(true)
  child.kill('SIGKILL')
  await once(child, 'exit')
  expect(isAlive(mark)).toBe(false)
})
