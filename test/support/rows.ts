// Rows that no request can make yet, and looks at rows past the gateway.
import { inject } from 'vitest'
import { defaultKeyPolicy } from '../../src/authz/default-policy.ts'
import { newKeyId } from '../../src/keys/identifier.ts'
import { insertKey, type NewKey } from '../../src/store/keys.ts'
import { putKeyPolicy } from '../../src/store/policies.ts'
import { region } from './aws.ts'
import { keyArn, type Scene, type TestKey } from './scene.ts'
import { until } from './until.ts'

/** A key without material, of any kind: enough for whatever comes before the HSM. */
export async function rowKey(scene: Scene, kind: Partial<NewKey>): Promise<TestKey> {
  const id = newKeyId()
  const { account } = inject('installation')
  const key: NewKey = {
    id, accountId: account, region, spec: 'SYMMETRIC_DEFAULT', usage: 'ENCRYPT_DECRYPT', origin: 'AWS_KMS', state: 'Enabled', description: '', multiRegion: false, manager: 'CUSTOMER', ...kind,
  }
  await scene.change(async tx => {
    await insertKey(tx, key)
    await putKeyPolicy(tx, id, defaultKeyPolicy(key.accountId))
  })
  return { id, arn: keyArn(id, key.accountId) }
}

/** Resolves once a statement of somebody else waits for a lock in the database of the scene. */
export const untilSomebodyWaits = (scene: Scene): Promise<void> => until('a statement to wait for a lock', async () => {
  const { rows } = await scene.pool.query<{ n: number }>(`SELECT count(*)::int AS n FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`)
  return (rows[0]?.n ?? 0) > 0
})
