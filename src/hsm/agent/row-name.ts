// How a frame names a key: the MAC of its row, then the SHA-256 of the row. The MAC alone would go on naming the row that was once
// opened under it: whoever edits account or usage of a key in use in the database would be served until its handle is dropped.
import { createHash } from 'node:crypto'
import type { SealedMaterial } from '../../keys/material.ts'

export const rowNameBytes = 64
const macBytes = 32

export const rowName = ({ row, mac }: SealedMaterial): Buffer => Buffer.concat([mac, createHash('sha256').update(row).digest()])

/** The MAC in a name, or undefined when the name is not this row's: no other row may be opened under it. */
export function macOf(name: Buffer, row: Buffer): Buffer | undefined {
  const mac = name.subarray(0, macBytes)
  return rowName({ row, mac }).equals(name) ? mac : undefined
}
