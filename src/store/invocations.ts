// Leased invocations of backing keys: the one number that says how often a key may have been used.
import { row, type Db } from './database.ts'

export interface BackingName {
  readonly keyId: string
  /** 32 bytes. */
  readonly materialId: Buffer
  readonly backing: number
}

/**
 * Books `count` invocations (negative: hands them back) and resolves to how many are booked in all. Crashed processes never hand back:
 * the number is an upper bound of what was really used, never a lower one.
 */
export async function bookInvocations(db: Db, { keyId, materialId, backing }: BackingName, count: number): Promise<number> {
  const booked = await row<{ leased: string }>(db, {
    name: 'invocations.book',
    text: `INSERT INTO invocations AS i (key_id, material_id, backing, leased) VALUES ($1, $2, $3, greatest($4, 1))
      ON CONFLICT (key_id, material_id, backing) DO UPDATE SET leased = greatest(i.leased + $4, 1) RETURNING leased`,
  }, [keyId, materialId, backing, count])
  return Number(booked?.leased ?? count)
}
