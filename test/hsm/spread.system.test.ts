// Calls go to all workers of an agent: on a slow token each worker that has none while another has two is lost time.
import { rm } from 'node:fs/promises'
import { afterAll, beforeAll, expect, inject, it } from 'vitest'
import { chaosToken, type ChaosToken } from '../support/chaos.ts'
import { newFolder, writeTokenFiles } from '../support/installation.ts'
import { openToken, until, type TestToken } from '../support/token.ts'

const workers = 8
let directory: string
let chaos: ChaosToken
let token: TestToken

beforeAll(async () => {
  directory = await newFolder('spread')
  await writeTokenFiles(directory, inject('installation').directory)
  chaos = await chaosToken(directory)
  token = await openToken({ token: { serial: undefined, libraryParameters: undefined, ...chaos.token, workers } })
  // All connections are open.
  await Promise.all(Array.from({ length: 20 * workers }, () => token.client.random(8)))
})
afterAll(async () => {
  await token.remove()
  await rm(directory, { recursive: true, force: true })
})

it.each([1, workers / 2, workers])('%i calls are in the token at the same time', async count => {
  chaos.control({ hang: ['C_GenerateRandom'] })
  const calls = Promise.all(Array.from({ length: count }, () => token.client.random(8)))
  await until(() => chaos.hanging().length >= count, `${count} calls that hang`, 1_500)
  chaos.clear()
  expect(await calls).toHaveLength(count)
  expect(token.starts).toEqual(['first'])
})

it('more calls than workers wait, and those that come after a call has ended go where it ended', async () => {
  for (let round = 0; round < 3; round++) {
    chaos.control({ hang: ['C_GenerateRandom'] })
    const calls = Promise.all(Array.from({ length: 3 * workers }, () => token.client.random(8)))
    await until(() => chaos.hanging().length >= workers, 'as many calls as workers that hang', 1_500)
    expect(chaos.hanging()).toHaveLength(workers)
    chaos.clear()
    expect(await calls).toHaveLength(3 * workers)
  }
  expect(token.starts).toEqual(['first'])
})
