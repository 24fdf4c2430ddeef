// Every operation of the newest AWS SDK: declared, or refused with a reason. A command that the SDK has and this table has not
// does not compile. docs/operations.md is printed from it.
import type * as sdk from '@aws-sdk/client-kms'
import { Decrypt, Encrypt } from './cipher.ts'
import { CreateKey, DescribeKey, ListKeys } from './keys.ts'
import type { Operation } from './operation.ts'
import { GenerateRandom } from './random.ts'

type CommandNames<Name> = Name extends `${infer Command}Command` ? (Command extends '$' ? never : Command) : never
export type OperationName = CommandNames<keyof typeof sdk>

export interface Refused {
  /** The text of the UnsupportedOperationException. */
  readonly refused: string
}

const refused = (what: string): Refused => ({ refused: `This version of Trent does not support ${what}.` })

const dataKeys = refused('data keys')
const aliases = refused('changes of aliases')
const keyManagement = refused('changes of keys after their creation')
const policies = refused('changes of key policies')
const tags = refused('changes of tags after the creation of a key')
const signing = refused('asymmetric keys')
const macs = refused('HMAC keys')
const lifecycle = refused('deletion of keys')
const rotation = refused('rotation of keys')
const imports = refused('imported key material')
const grants = refused('grants')
const keyStores = refused('custom key stores')
const regions = refused('multi-Region keys')

const table: Readonly<Record<OperationName, Operation | Refused>> = {
  CancelKeyDeletion: lifecycle,
  ConnectCustomKeyStore: keyStores,
  CreateAlias: aliases,
  CreateCustomKeyStore: keyStores,
  CreateGrant: grants,
  CreateKey,
  Decapsulate: signing,
  Decrypt,
  DeleteAlias: aliases,
  DeleteCustomKeyStore: keyStores,
  DeleteImportedKeyMaterial: imports,
  DeriveSharedSecret: signing,
  DescribeCustomKeyStores: keyStores,
  DescribeKey,
  DisableKey: keyManagement,
  DisableKeyRotation: rotation,
  DisconnectCustomKeyStore: keyStores,
  EnableKey: keyManagement,
  EnableKeyRotation: rotation,
  Encapsulate: signing,
  Encrypt,
  GenerateDataKey: dataKeys,
  GenerateDataKeyPair: dataKeys,
  GenerateDataKeyPairWithoutPlaintext: dataKeys,
  GenerateDataKeyWithoutPlaintext: dataKeys,
  GenerateMac: macs,
  GenerateRandom,
  GetKeyLastUsage: refused('the tracking of last usage'),
  GetKeyPolicy: policies,
  GetKeyRotationStatus: rotation,
  GetParametersForImport: imports,
  GetPublicKey: signing,
  ImportKeyMaterial: imports,
  ListAliases: aliases,
  ListGrants: grants,
  ListKeyPolicies: policies,
  ListKeyRotations: rotation,
  ListKeys,
  ListResourceTags: tags,
  ListRetirableGrants: grants,
  PutKeyPolicy: policies,
  ReEncrypt: refused('re-encryption'),
  ReplicateKey: regions,
  RetireGrant: grants,
  RevokeGrant: grants,
  RotateKeyOnDemand: rotation,
  ScheduleKeyDeletion: lifecycle,
  Sign: signing,
  TagResource: tags,
  UntagResource: tags,
  UpdateAlias: aliases,
  UpdateCustomKeyStore: keyStores,
  UpdateKeyDescription: keyManagement,
  UpdatePrimaryRegion: regions,
  Verify: signing,
  VerifyMac: macs,
}

/** By name. A Map: names come from callers, and a plain object has members of its own. */
export const operations: ReadonlyMap<string, Operation | Refused> = new Map(Object.entries(table))
