// What an operator does after a disaster, with node:crypto alone: from the recovery key and a copy of the database to a key in clear.
// test/hsm/agent/ceremony.system.test.ts describes and proves each step.
import { constants, createDecipheriv, privateDecrypt } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { inject } from 'vitest'
import type { Pool } from '../../src/store/database.ts'

/** The 32 bytes of a wrapped key of the run's installation. */
export async function unwrapMaterial(pool: Pool, keyId: string): Promise<Buffer> {
  const { rows: [found] } = await pool.query<{ recovery_domain_key: Buffer; blob: Buffer }>(
    'SELECT v.recovery_domain_key, m.blob FROM domain_versions v, materials m WHERE m.key_id = $1', [keyId],
  )
  if (found === undefined) throw new Error(`no wrapped material of ${keyId}`)
  const recoveryKey = readFileSync(join(inject('installation').directory, 'recovery-key.pem'))
  const domainKey = privateDecrypt({ key: recoveryKey, padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: 'sha1' }, found.recovery_domain_key)
  const decipher = createDecipheriv('id-aes256-wrap-pad', domainKey, Buffer.from('a65959a6', 'hex'))
  return Buffer.concat([decipher.update(found.blob), decipher.final()])
}
