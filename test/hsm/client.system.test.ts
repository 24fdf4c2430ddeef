// The client with an agent on SoftHSM: what is looked at on the token itself, or on the wire. What every token must do is in contract.ts.
import { randomBytes } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { AnswerFrame } from '../../src/hsm/agent/frames.ts'
import { HsmClient } from '../../src/hsm/client.ts'
import { MaterialRefused } from '../../src/hsm/hsm.ts'
import { encodeContext } from '../../src/keys/context.ts'
import { decodeMaterial, type SealedMaterial } from '../../src/keys/material.ts'
import { newPlan, openToken, poke, residentPlan, type TestToken } from '../support/token.ts'

let token: TestToken
let client: HsmClient
let wrapped: SealedMaterial

const context = encodeContext(new Map([['tenant', 'blue']]))
const plaintext = (): Buffer => Buffer.from('what only the token may open')

beforeAll(async () => {
  token = await openToken()
  client = token.client
  wrapped = await client.create(newPlan(), false)
})
afterAll(() => token.remove())

describe('encrypt and decrypt', () => {
  it('take a plaintext of 8,192 bytes, more than any operation sends', async () => {
    const bytes = randomBytes(8_192)
    expect(await client.decrypt(wrapped, context, await client.encrypt(wrapped, context, Buffer.from(bytes)))).toEqual(bytes)
  })

  it('take a context of hundreds of kilobytes', async () => {
    const large = encodeContext(new Map([['k', 'v'.repeat(500_000)]]))
    expect(await client.decrypt(wrapped, large, await client.encrypt(wrapped, large, plaintext()))).toEqual(plaintext())
  })
})

describe('create', () => {
  it('leaves no blob of a resident key, and one object on the token', async () => {
    const plan = residentPlan()
    const made = decodeMaterial((await client.create(plan, false)).row)
    expect(made.blob).toHaveLength(0)
    expect(await poke(token.directory, 'count', { id: plan.ckaId.toString('hex') })).toBe(1)
  })

  it('finds the object of an earlier attempt when told that there may be one', async () => {
    const plan = residentPlan()
    const first = await client.create(plan, false)
    const blob = await client.encrypt(first, context, plaintext())
    const again = await client.create(plan, true)
    expect(again).toEqual(first)
    expect(await poke(token.directory, 'count', { id: plan.ckaId.toString('hex') })).toBe(1)
    expect(await client.decrypt(again, context, blob)).toEqual(plaintext())
  })

  it('makes the object when the earlier attempt did not get to it', async () => {
    const plan = residentPlan()
    const made = await client.create(plan, true)
    expect(await poke(token.directory, 'count', { id: plan.ckaId.toString('hex') })).toBe(1)
    expect(await client.decrypt(made, context, await client.encrypt(made, context, plaintext()))).toEqual(plaintext())
  })

  it('refuses a resident key of which the token holds two', async () => {
    const plan = residentPlan()
    const id = plan.ckaId.toString('hex')
    const made = await client.create(plan, false)
    expect(await poke(token.directory, 'duplicate', { id, label: 'intruder' })).toBe(2)
    await expect(client.encrypt(made, context, plaintext())).rejects.toThrow(new MaterialRefused(`two keys with CKA_ID ${id}`))
    await expect(client.create(plan, true)).rejects.toThrow(new MaterialRefused(`two keys with CKA_ID ${id}`))
  })

  it('gives no handle for a resident key that the token does not hold', async () => {
    const ghost = await openToken()
    try {
      const plan = residentPlan()
      const made = await ghost.client.create(plan, false)
      await expect(client.encrypt(made, context, plaintext())).rejects.toThrow(new MaterialRefused(`the token has no object with CKA_ID ${plan.ckaId.toString('hex')}`))
    } finally {
      await ghost.remove()
    }
  })
})

describe('a domain', () => {
  it('of a version that the token does not hold ends the start with a sentence', async () => {
    const { id, canary, sealKey } = token.domain
    await expect(openToken({ domain: { id, version: 2, canary, sealKey } as { id: string; version: number } }))
      .rejects.toThrow(`the token does not hold the domain key of this database's domain ${id} (version 2): the database belongs to another token`)
  })
})

describe('the row of a key', () => {
  it('is sent only when a worker asks for it', async () => {
    const answers: string[] = []
    const observed = new HsmClient({ observe: (_token: string, answer: AnswerFrame) => { answers.push(answer.status) } })
    observed.setAgent(token.supervisor.address)
    try {
      const material = await client.create(newPlan(), false)
      for (let i = 0; i < 10; i++) await observed.encrypt(material, context, plaintext())
      // Two workers at most, each asking once; every call ends well.
      expect(answers.filter(status => status === 'ok')).toHaveLength(10)
      expect(answers[0]).toBe('needRow')
      expect(answers.filter(status => status === 'needRow').length).toBeLessThanOrEqual(2)
      expect(answers.filter(status => status !== 'ok' && status !== 'needRow')).toEqual([])
    } finally {
      observed.close()
    }
  })
})
