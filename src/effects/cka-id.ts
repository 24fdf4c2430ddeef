// CKA_IDs are chosen before their objects exist, so that the database knows of an object first.
import { randomBytes } from 'node:crypto'
import type { Residency } from '../keys/material.ts'

/** 16 bytes: random for a resident object, zeroes for a wrapped key, which has none. */
export const newCkaId = (residency: Residency): Buffer => (residency === 'resident' ? randomBytes(16) : Buffer.alloc(16))
