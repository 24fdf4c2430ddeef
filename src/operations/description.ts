// The rule for descriptions beyond the shape of the model.
import { KmsError } from '../errors.ts'

/** Postgres cannot keep a NUL, and AWS's word for one is not known. @throws ValidationException */
export function checkDescription(description: string | undefined): void {
  if (description?.includes('\0') === true) throw new KmsError('ValidationException', 'Description must not contain a null character.')
}
