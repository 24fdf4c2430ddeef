// Trent's own way to the token: HsmClient in this process, as in a gateway, an hsm-agent with its supervisor at the other end of the sockets.
import { randomBytes, randomUUID } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type * as Client from '../../src/hsm/client.ts'
import type { HsmClient } from '../../src/hsm/client.ts'
import type { MaterialPlan } from '../../src/hsm/hsm.ts'
import type * as Supervisor from '../../src/hsm/supervisor.ts'
import type { Residency, SealedMaterial } from '../../src/keys/material.ts'
import { built } from '../built.ts'
import { childrenOf, commandLineOf, cpuOf } from '../cpu.ts'
import { tokenConfig, withPin, type BenchToken } from './token.ts'

export interface Agent {
  /** From its spawn until all workers listen. */
  readonly readyMilliseconds: number
  readonly client: HsmClient
  /** Of the agent that serves now. */
  pid(): number
  /** Microseconds of CPU that this agent and this process, which holds the client, have used. */
  cpu(): { readonly agent: number; readonly client: number }
  stop(): Promise<void>
}

export async function startAgent(token: BenchToken, workers: number): Promise<Agent> {
  const { HsmClient } = await built<typeof Client>('hsm/client')
  const { AgentSupervisor } = await built<typeof Supervisor>('hsm/supervisor')
  const others = new Set(agents())
  const pid = (): number => agents().find(one => !others.has(one)) ?? 0
  // Short: a unix socket's path has at most 107 bytes.
  const sockets = mkdtempSync(join(tmpdir(), 'trent-bench-'))
  const client = new HsmClient({ observe: () => undefined })
  const supervisor = new AgentSupervisor({
    token: tokenConfig(token, workers), logins: withPin(token.pin), domain: token.domain, directory: sockets,
    changed: address => { client.setAgent(address) },
    started: reason => { if (reason !== 'first') process.stderr.write(`the agent is started again: ${reason}\n`) },
    log: (level, message) => { if (level !== 'info') process.stderr.write(`${message}\n`) },
  })
  const began = performance.now()
  await supervisor.start()
  return {
    readyMilliseconds: performance.now() - began, client, pid,
    cpu: () => ({ agent: cpuOf(pid()), client: cpuOf(process.pid) }),
    stop: async () => {
      client.close()
      await supervisor.stop()
      rmSync(sockets, { recursive: true, force: true })
    },
  }
}

const agents = (): number[] => childrenOf(process.pid).filter(child => commandLineOf(child).startsWith('trent: hsm-agent'))

export interface BenchKeys {
  readonly wrapped: SealedMaterial
  readonly resident: SealedMaterial
  /** CKA_ID of the resident one, hex. */
  readonly residentId: string
  /** RSA-2048 that signs, wrapped. */
  readonly rsa: SealedMaterial
}

/** Keys as CreateKey makes them; the resident one is an object on this token. */
export async function makeKeys({ client }: Agent): Promise<BenchKeys> {
  const ckaId = randomBytes(16)
  const [wrapped, resident] = [await client.create(plan('wrapped', Buffer.alloc(16)), false), await client.create(plan('resident', ckaId), false)]
  const rsa = await client.create({ ...plan('wrapped', Buffer.alloc(16)), spec: 'RSA_2048', usage: 'SIGN_VERIFY', cipherMode: 'none' }, false)
  return { wrapped, resident, rsa, residentId: ckaId.toString('hex') }
}

const plan = (residency: Residency, ckaId: Buffer): MaterialPlan => ({
  accountId: '111122223333', region: 'onprem-1', keyId: randomUUID(), materialId: randomBytes(32), backing: 1, origin: 'AWS_KMS', spec: 'SYMMETRIC_DEFAULT',
  usage: 'ENCRYPT_DECRYPT', cipherMode: 'direct', residency, ckaId,
})
