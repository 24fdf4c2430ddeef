// From X-Amz-Target to a declaration.
import { KmsError } from '../errors.ts'
import type { Operation } from '../operations/operation.ts'
import { operations, type Refused } from '../operations/table.ts'

const targetPrefix = 'TrentService.'

/**
 * The name and the declaration. AWS answers alike for a missing target, another prefix, an unknown name and a wrong case.
 * @throws UnknownOperationException, without text
 */
export function findOperation(target: string | undefined): { name: string; entry: Operation | Refused } {
  const name = target?.startsWith(targetPrefix) === true ? target.slice(targetPrefix.length) : ''
  const entry = operations.get(name)
  if (entry === undefined) throw new KmsError('UnknownOperationException')
  return { name, entry }
}

/** @throws UnsupportedOperationException for an operation of AWS that is refused here */
export function requireBuilt(entry: Operation | Refused): Operation {
  if ('refused' in entry) throw new KmsError('UnsupportedOperationException', entry.refused)
  return entry
}
