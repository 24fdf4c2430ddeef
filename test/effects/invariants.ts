// What must hold of keys, token and audit trail once recovery is through, whatever happened before.
import { DecryptCommand, DescribeKeyCommand, EncryptCommand, paginateListKeys, type KMSClient } from '@aws-sdk/client-kms'
import { expect } from 'vitest'
import { rows, type Pool } from '../../src/store/database.ts'
import { countIntents } from '../../src/store/intents.ts'
import { auditRecords } from '../support/audit.ts'
import { trent } from '../support/installation.ts'

interface MaterialRow {
  readonly keyId: string
  readonly residency: string
  readonly ckaId: string
  readonly confirmed: boolean
}

export async function listKeyIds(client: KMSClient): Promise<string[]> {
  const found: string[] = []
  for await (const { Keys = [] } of paginateListKeys({ client }, {})) for (const { KeyId = '' } of Keys) found.push(KeyId)
  return found
}

/** As if the time of every claim had passed. */
export const passClaims = async (pool: Pool): Promise<unknown> =>
  await rows(pool, { name: 'test.claims', text: "UPDATE intents SET claimed_until = clock_timestamp() - interval '1 second'" })

/** CKA_IDs (hex) of the objects on the token that are neither domain nor integrity key, sorted. */
export async function objectsOfKeys(config: string): Promise<string[]> {
  const objects = JSON.parse((await trent(['hsm', 'objects', '--json', '--config', config])).stdout) as { label: string; id: string }[]
  const domain = objects.filter(({ label }) => /^trent\/(domain|integrity)\//.test(label))
  expect(domain).toHaveLength(2)
  return objects.filter(object => !domain.includes(object)).map(({ id }) => id).sort()
}

/** Holds once no intent is open. Resolves to the ids of all keys. `known`: keys that must be there, such as the acknowledged ones. */
export async function expectWhole(pool: Pool, client: KMSClient, config: string, known: readonly string[]): Promise<string[]> {
  expect(await countIntents(pool)).toBe(0)
  const keys = await rows<{ id: string; state: string }>(pool, { name: 'test.keys', text: 'SELECT id, state FROM keys ORDER BY id' })
  const ids = keys.map(({ id }) => id)
  expect(keys.filter(({ state }) => state !== 'Enabled')).toEqual([])
  expect(await listKeyIds(client)).toEqual(ids)
  expect(known.filter(id => !ids.includes(id))).toEqual([])

  const materials = await rows<MaterialRow>(pool, {
    name: 'test.materials', text: 'SELECT key_id AS "keyId", residency, encode(cka_id, \'hex\') AS "ckaId", mac IS NOT NULL AS confirmed FROM materials ORDER BY key_id',
  })
  expect(materials.map(({ keyId }) => keyId)).toEqual(ids)
  expect(materials.filter(({ confirmed }) => !confirmed)).toEqual([])
  expect(await objectsOfKeys(config)).toEqual(materials.filter(({ residency }) => residency === 'resident').map(({ ckaId }) => ckaId).sort())

  const created = (await auditRecords(pool)).filter(({ eventName, errorCode }) => eventName === 'CreateKey' && errorCode === undefined)
  expect(created.flatMap(({ resources = [] }) => resources.map(({ ARN }) => ARN.split('/')[1])).sort()).toEqual(ids)
  for (const KeyId of ids) await expectUsable(client, KeyId)
  return ids
}

async function expectUsable(client: KMSClient, KeyId: string): Promise<void> {
  const { KeyMetadata } = await client.send(new DescribeKeyCommand({ KeyId }))
  expect(KeyMetadata).toMatchObject({ KeyId, KeyState: 'Enabled', Enabled: true, KeySpec: 'SYMMETRIC_DEFAULT' })
  const { CiphertextBlob } = await client.send(new EncryptCommand({ KeyId, Plaintext: Buffer.from(KeyId) }))
  const { Plaintext } = await client.send(new DecryptCommand({ CiphertextBlob }))
  expect(Buffer.from(Plaintext ?? []).toString()).toBe(KeyId)
}
