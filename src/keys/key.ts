// A KMS key as the gateway knows it: a row of Postgres, without its material.
import type { KeySpecName, KeyUsage } from './spec.ts'
import type { KeyState } from './state.ts'

export const origins = ['AWS_KMS', 'EXTERNAL', 'AWS_CLOUDHSM', 'EXTERNAL_KEY_STORE'] as const
export type Origin = (typeof origins)[number]

export interface Key {
  /** Lower-case UUID, or mrk- and 32 hex digits. */
  readonly id: string
  readonly accountId: string
  readonly region: string
  readonly arn: string
  readonly spec: KeySpecName
  readonly usage: KeyUsage
  readonly origin: Origin
  readonly state: KeyState
  readonly description: string
  readonly multiRegion: boolean
  readonly manager: 'AWS' | 'CUSTOMER'
  readonly createdAt: Date
  readonly deletionDate: Date | null
  /** 32 bytes; null before a first import, and for specs whose material AWS does not name. */
  readonly currentMaterialId: Buffer | null
}
