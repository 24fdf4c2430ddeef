// The agent's answer to create: MAC 32, u32 length of the row, row, SubjectPublicKeyInfo.
import type { MadeMaterial } from './hsm.ts'

export function decodeMade(payload: Buffer): MadeMaterial {
  const end = 36 + payload.readUInt32LE(32)
  const spki = Buffer.from(payload.subarray(end))
  return { mac: Buffer.from(payload.subarray(0, 32)), row: Buffer.from(payload.subarray(36, end)), spki: spki.length === 0 ? null : spki }
}
