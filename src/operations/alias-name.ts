// Rules for alias names beyond the pattern of the model.
import { KmsError } from '../errors.ts'
import { isAliasName } from '../keys/identifier.ts'

/** @throws ValidationException, NotAuthorizedException, InvalidAliasNameException */
export function checkAliasName(name: string): void {
  if (!name.startsWith('alias/')) {
    throw new KmsError('ValidationException', 'Alias must start with the prefix "alias/". Please see https://docs.aws.amazon.com/kms/latest/developerguide/kms-alias.html')
  }
  // Reserved for aliases that AWS services make; AWS says nothing more.
  if (name.startsWith('alias/aws/')) throw new KmsError('NotAuthorizedException')
  // The model's pattern lets a colon and a bare prefix pass; the service does not.
  if (!isAliasName(name)) throw new KmsError('InvalidAliasNameException', 'The request was rejected because the specified alias name is not valid.')
}
