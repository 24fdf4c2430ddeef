// What the primary makes of processes that are no good agent: real ones, in the agent's place.
import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { runJob, spawnAgent } from '../../src/hsm/agent-process.ts'
import type { FromAgent } from '../../src/hsm/agent/control.ts'
import { newFolder } from '../support/installation.ts'

const token = { label: 'fake', serial: undefined, library: '/none.so', libraryParameters: undefined, profile: 'softhsm', pinFile: '/pin', env: {}, workers: 2, standby: false, pinVersion: 1 }
let directory: string
beforeAll(async () => { directory = await newFolder('agent') })
afterAll(() => rm(directory, { recursive: true, force: true }))

it.each([
  ['text', 'PKCS#11 1.2: connected'],
  ['JSON that is no message', 'null'],
  ['a JSON number', '42'],
])('an agent whose library prints %s to the control socket is ended, after what it said before was heard', async (_what, line) => {
  const entry = join(directory, 'prints.js')
  const printed = JSON.stringify(`{"type":"alive"}\n${line}\n`)
  await writeFile(entry, `require('node:fs').writeSync(3, ${printed})\nsetInterval(() => undefined, 1000)\n`)
  const heard: FromAgent[] = []
  const agent = spawnAgent(token, message => { heard.push(message) }, undefined, { node: process.execPath, entry })
  expect(await once(agent.child, 'exit')).toEqual([null, 'SIGKILL'])
  expect(heard).toEqual([{ type: 'alive' }])
})

it('an agent whose program is gone is told by an error and has no process id', async () => {
  const agent = spawnAgent(token, () => undefined, undefined, { node: join(directory, 'gone'), entry: 'main.js' })
  agent.send({ type: 'objects', token: { label: 'fake', library: '/none.so', profile: 'softhsm' } })
  const [error] = await once(agent.child, 'error') as [NodeJS.ErrnoException]
  expect(error.code).toBe('ENOENT')
  expect(agent.child.pid).toBe(undefined)
})

it('a process without a file descriptor left gets an error from spawnAgent, and lives', async () => {
  const script = join(directory, 'full.mjs')
  await writeFile(script, `
    import { openSync } from 'node:fs'
    import { spawnAgent } from ${JSON.stringify(join(import.meta.dirname, '../../dist/hsm/agent-process.js'))}
    const fill = () => { try { for (;;) openSync('/dev/null') } catch (error) { return error.code } }
    if (fill() !== 'EMFILE') process.exit(2)
    let thrown
    try { spawnAgent(${JSON.stringify(token)}, () => undefined) } catch (error) { thrown = error.message }
    setTimeout(() => console.log(JSON.stringify(thrown)), 100)
  `)
  const { stdout } = await promisify(execFile)('sh', ['-c', 'ulimit -n 64 && exec "$0" "$1"', process.execPath, script])
  expect(stdout.trim()).toBe('"no file descriptor is left for an hsm-agent"')
})

it('a job ends with a sentence when its agent ends without an answer', async () => {
  const job = { type: 'objects', token: { label: 'fake', library: '/none.so', profile: 'softhsm' } } as const
  await expect(runJob({ ...token, env: { NODE_OPTIONS: '--no-such-option' } }, job)).rejects.toThrow(/^the hsm-agent for token 'fake' ended without an answer \(exit \d+\)$/)
})
