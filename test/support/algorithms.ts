// What every token must compute, whoever made it: each algorithm of the Hsm against node:crypto.
import { randomBytes } from 'node:crypto'
import { expect, it } from 'vitest'
import type { HsmClient } from '../../src/hsm/client.ts'
import { newPlan, residentPlan } from './token.ts'

const messages = (): Buffer[] => [1, 63, 64, 65, 128, 4_096].map(length => randomBytes(length))

/** HMAC keys of every size, wrapped and resident. Their value stays unknown: what is held is length, sameness and difference. */
export function macContract(client: () => HsmClient): void {
  it.each([224, 256, 384, 512])('HMAC of %i bits', async bits => {
    const changes = { spec: `HMAC_${bits}`, usage: 'GENERATE_VERIFY_MAC', cipherMode: 'none' } as const
    for (const plan of [newPlan(changes), residentPlan(changes)]) {
      const [key, other] = [await client().create(plan, false), await client().create(newPlan(changes), false)]
      for (const message of messages()) {
        const mac = await client().mac(key, Buffer.from(message))
        expect(mac).toHaveLength(bits / 8)
        expect(await client().mac(key, Buffer.from(message))).toEqual(mac)
        expect(await client().mac(other, Buffer.from(message))).not.toEqual(mac)
      }
    }
  })
}
