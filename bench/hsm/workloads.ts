// What is measured, as a table: the same work on the bare token and through client and agent.
import type { HsmClient } from '../../src/hsm/client.ts'
import type * as Context from '../../src/keys/context.ts'
import { built } from '../built.ts'
import type { BenchKeys } from './agent.ts'
import type { RawWork } from './raw.ts'

export interface Workload {
  readonly name: string
  readonly raw: RawWork
  /** Undefined while the agent has no verb for it: the table then has the raw figure alone. */
  readonly through: ((client: HsmClient, keys: BenchKeys) => Promise<unknown>) | undefined
  /** Whether it is measured on a slow token too. */
  readonly delayed: boolean
}

const { encodeContext } = await built<typeof Context>('keys/context')
const plaintext = Buffer.alloc(32, 7)
const digest = Buffer.alloc(32, 9)
/** With the ciphertext's label and header 107 bytes of AAD, as in raw.js. */
const context = encodeContext(new Map([['tenant', 'blue'], ['purpose', 'bench']]))

export const workloads: readonly Workload[] = [
  {
    name: 'Encrypt 32 B, wrapped key', raw: { operation: 'encrypt', key: 'wrapped' }, delayed: true,
    through: (client, { wrapped }) => client.encrypt(wrapped, context, plaintext),
  },
  {
    name: 'Encrypt 32 B, resident key', raw: { operation: 'encrypt', key: 'resident' }, delayed: false,
    through: (client, { resident }) => client.encrypt(resident, context, plaintext),
  },
  {
    name: 'RSA-2048 sign', raw: { operation: 'sign', key: 'rsa' }, delayed: true,
    through: (client, { rsa }) => client.sign(rsa, 'RSASSA_PKCS1_V1_5_SHA_256', digest),
  },
]
