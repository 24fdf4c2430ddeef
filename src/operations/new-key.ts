// The rules of CreateKey across its members, and what of them this version makes.
import { KmsError } from '../errors.ts'
import { keySpecs, type KeySpecName, type KeyUsage } from '../keys/spec.ts'

export interface NewKeyInput {
  readonly KeyUsage?: KeyUsage | undefined
  readonly CustomerMasterKeySpec?: KeySpecName | undefined
  readonly KeySpec?: KeySpecName | undefined
  readonly Origin?: string | undefined
  readonly CustomKeyStoreId?: string | undefined
  readonly XksKeyId?: string | undefined
  readonly MultiRegion?: boolean | undefined
}

/** KeySpec, or its deprecated twin, which may be used alone. @throws ValidationException for both together */
export function specOf({ KeySpec, CustomerMasterKeySpec }: NewKeyInput): KeySpecName {
  if (KeySpec !== undefined && CustomerMasterKeySpec !== undefined) {
    throw new KmsError('ValidationException', 'You cannot specify KeySpec and CustomerMasterKeySpec in the same request. CustomerMasterKeySpec is deprecated.')
  }
  return KeySpec ?? CustomerMasterKeySpec ?? 'SYMMETRIC_DEFAULT'
}

/** @throws ValidationException when it is missing for a spec that needs it, or does not go with the spec */
export function usageOf(input: NewKeyInput): KeyUsage {
  const spec = specOf(input)
  if (input.KeyUsage === undefined && spec !== 'SYMMETRIC_DEFAULT') {
    throw new KmsError('ValidationException', 'You must specify a KeyUsage value for all KMS keys except for symmetric encryption keys.')
  }
  const usage = input.KeyUsage ?? 'ENCRYPT_DECRYPT'
  if (keySpecs[spec].usages[usage] === undefined) throw new KmsError('ValidationException', `KeyUsage ${usage} is not compatible with KeySpec ${spec}`)
  return usage
}

/** What is right but not made here. @throws UnsupportedOperationException, CustomKeyStoreNotFoundException */
export function refuseUnbuilt(input: NewKeyInput): void {
  if (input.XksKeyId !== undefined && input.Origin !== 'EXTERNAL_KEY_STORE') {
    throw new KmsError('ValidationException', 'The XksKeyId parameter is valid only when Origin is EXTERNAL_KEY_STORE.')
  }
  if (input.CustomKeyStoreId !== undefined || input.Origin === 'AWS_CLOUDHSM' || input.Origin === 'EXTERNAL_KEY_STORE') throw new KmsError('CustomKeyStoreNotFoundException')
  const spec = specOf(input)
  if (keySpecs[spec].built === undefined) throw new KmsError('UnsupportedOperationException', `KeySpec ${spec} is not supported by this version of Trent.`)
  if (input.Origin === 'EXTERNAL') throw new KmsError('UnsupportedOperationException', 'Origin EXTERNAL is not supported by this version of Trent.')
  if (input.MultiRegion === true) throw new KmsError('UnsupportedOperationException', 'Multi-Region keys are not supported by this version of Trent.')
}
