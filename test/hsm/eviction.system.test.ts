// More keys than the agent holds open at a time, on a token that cannot let go of them. That they are opened again is in contract.ts.
import { rm } from 'node:fs/promises'
import { afterAll, beforeAll, expect, inject, it } from 'vitest'
import { encodeContext } from '../../src/keys/context.ts'
import type { SealedMaterial } from '../../src/keys/material.ts'
import { chaosToken, type ChaosToken } from '../support/chaos.ts'
import { newFolder, writeTokenFiles } from '../support/installation.ts'
import { newPlan, openToken, type TestToken } from '../support/token.ts'

/** As in keys-in-use.ts. */
const heldLimit = 1_000
const context = encodeContext(undefined)
let directory: string
let chaos: ChaosToken
let token: TestToken
const keys: SealedMaterial[] = []

beforeAll(async () => {
  directory = await newFolder('eviction')
  await writeTokenFiles(directory, inject('installation').directory)
  chaos = await chaosToken(directory)
  token = await openToken({ token: { serial: undefined, libraryParameters: undefined, ...chaos.token } })
  for (let i = 0; i < heldLimit + 20; i++) keys.push(await token.client.create(newPlan(), false))
})
afterAll(async () => {
  await token.remove()
  await rm(directory, { recursive: true, force: true })
})

async function openAll(): Promise<void> {
  for (const [i, key] of keys.entries()) {
    const blob = await token.client.encrypt(key, context, Buffer.from(`key ${i}`))
    expect((await token.client.decrypt(key, context, blob)).toString()).toBe(`key ${i}`)
  }
}

it('an agent that cannot destroy the object of a key that it closes goes on', async () => {
  chaos.control({ fail: { C_DestroyObject: { ckr: 0x30 } } })
  await openAll()
  expect(token.starts).toEqual(['first'])
  chaos.clear()
  await openAll()
  expect(token.starts).toEqual(['first'])
})
