// The contract of the Hsm's algorithms on SoftHSM, and what only a token that the test may write to can show: keys with known values.
import { createHmac, randomBytes } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { MaterialRefused } from '../../src/hsm/hsm.ts'
import { macContract } from '../support/algorithms.ts'
import { newPlan, openToken, poke, residentPlan, type TestToken } from '../support/token.ts'

let token: TestToken

beforeAll(async () => { token = await openToken() })
afterAll(() => token.remove())

describe('MACs', () => {
  macContract(() => token.client)

  it.each([224, 256, 384, 512])('HMAC of %i bits are those of node:crypto, for a key that both know', async bits => {
    const value = randomBytes(bits / 8)
    const plan = residentPlan({ spec: `HMAC_${bits}`, usage: 'GENERATE_VERIFY_MAC', cipherMode: 'none' })
    expect(await poke(token.directory, 'put', { value: value.toString('hex'), id: plan.ckaId.toString('hex'), label: `trent/key/${plan.keyId}` })).toBe(0)
    const key = await token.client.create(plan, true)
    for (const length of [1, 64, 65, 4_096]) {
      const message = randomBytes(length)
      expect(await token.client.mac(key, Buffer.from(message))).toEqual(createHmac(`sha${bits}`, value).update(message).digest())
    }
  })

  it('are made with no other key, and such a key does nothing else', async () => {
    const changes = { spec: 'HMAC_256', usage: 'GENERATE_VERIFY_MAC', cipherMode: 'none' } as const
    const [key, symmetric] = [await token.client.create(newPlan(changes), false), await token.client.create(newPlan(), false)]
    const text = Buffer.from('text')
    // Twice: before the worker has the key open, and after.
    for (let tried = 0; tried < 2; tried++) {
      await expect(token.client.mac(symmetric, text)).rejects.toThrow(MaterialRefused)
      await expect(token.client.encrypt(key, Buffer.alloc(4), text)).rejects.toThrow(MaterialRefused)
      await expect(token.client.seal(key, text, text)).rejects.toThrow(MaterialRefused)
    }
    await expect(token.client.create(newPlan({ ...changes, usage: 'ENCRYPT_DECRYPT' }), false)).rejects.toThrow(MaterialRefused)
    await expect(token.client.create(newPlan({ ...changes, cipherMode: 'derived' }), false)).rejects.toThrow(MaterialRefused)
    await expect(token.client.create(newPlan({ ...changes, spec: 'HMAC_512 ' }), false)).rejects.toThrow(MaterialRefused)
  })
})
