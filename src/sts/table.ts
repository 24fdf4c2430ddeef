// The STS operations, by name.
import { GetCallerIdentity } from './get-caller-identity.ts'
import type { StsOperation } from './operation.ts'

export const stsVersion = '2011-06-15'
export const stsOperations: ReadonlyMap<string, StsOperation> = new Map(Object.entries({ GetCallerIdentity }))
