// KeyMetadata as CreateKey and DescribeKey answer it. Which member appears when: AWS KMS API reference, KeyMetadata.
import type { Key } from '../keys/key.ts'
import { keySpecs, namesMaterial, type KeyUsage } from '../keys/spec.ts'

const algorithmMembers: Readonly<Record<KeyUsage, string>> = {
  ENCRYPT_DECRYPT: 'EncryptionAlgorithms',
  SIGN_VERIFY: 'SigningAlgorithms',
  GENERATE_VERIFY_MAC: 'MacAlgorithms',
  KEY_AGREEMENT: 'KeyAgreementAlgorithms',
  ENCAPSULATE_DECAPSULATE: 'EncapsulationAlgorithms',
}

export function keyMetadata(key: Key): Record<string, unknown> {
  return {
    AWSAccountId: key.accountId,
    KeyId: key.id,
    Arn: key.arn,
    CreationDate: key.createdAt,
    Enabled: key.state === 'Enabled',
    Description: key.description,
    KeyUsage: key.usage,
    KeyState: key.state,
    ...(key.state === 'PendingDeletion' && key.deletionDate !== null ? { DeletionDate: key.deletionDate } : {}),
    Origin: key.origin,
    KeyManager: key.manager,
    CustomerMasterKeySpec: key.spec,
    KeySpec: key.spec,
    ...algorithmsOf(key),
    MultiRegion: key.multiRegion,
    ...(namesMaterial(key.spec) && key.currentMaterialId !== null ? { CurrentKeyMaterialId: key.currentMaterialId.toString('hex') } : {}),
  }
}

/** The one list of algorithms that goes with the key's usage, by the name of its member. */
export const algorithmsOf = ({ spec, usage }: Key): Record<string, readonly string[]> => ({ [algorithmMembers[usage]]: keySpecs[spec].usages[usage] ?? [] })
