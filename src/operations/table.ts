// Every operation of the newest AWS SDK: declared, or refused with a reason. A command that the SDK has and this table has not
// does not compile. docs/operations.md is printed from it.
import type * as sdk from '@aws-sdk/client-kms'
import { DeriveSharedSecret } from './agreement.ts'
import { CreateAlias, DeleteAlias, ListAliases, UpdateAlias } from './aliases.ts'
import { Decrypt, Encrypt, ReEncrypt } from './cipher.ts'
import { GenerateDataKeyPair, GenerateDataKeyPairWithoutPlaintext } from './data-key-pairs.ts'
import { GenerateDataKey, GenerateDataKeyWithoutPlaintext } from './data-keys.ts'
import { Decapsulate, Encapsulate } from './encapsulation.ts'
import { CreateKey, DescribeKey, ListKeys } from './keys.ts'
import { GenerateMac, VerifyMac } from './macs.ts'
import { DisableKey, EnableKey, UpdateKeyDescription } from './management.ts'
import type { Operation } from './operation.ts'
import { GetKeyPolicy, ListKeyPolicies, PutKeyPolicy } from './policies.ts'
import { GenerateRandom } from './random.ts'
import { GetPublicKey, Sign, Verify } from './signing.ts'
import { ListResourceTags, TagResource, UntagResource } from './tags.ts'

type CommandNames<Name> = Name extends `${infer Command}Command` ? (Command extends '$' ? never : Command) : never
export type OperationName = CommandNames<keyof typeof sdk>

export interface Refused {
  /** The text of the UnsupportedOperationException. */
  readonly refused: string
}

const refused = (what: string): Refused => ({ refused: `This version of Trent does not support ${what}.` })

const lifecycle = refused('deletion of keys')
const rotation = refused('rotation of keys')
const imports = refused('imported key material')
const grants = refused('grants')
const keyStores = refused('custom key stores')
const regions = refused('multi-Region keys')

const table: Readonly<Record<OperationName, Operation | Refused>> = {
  CancelKeyDeletion: lifecycle,
  ConnectCustomKeyStore: keyStores,
  CreateAlias,
  CreateCustomKeyStore: keyStores,
  CreateGrant: grants,
  CreateKey,
  Decapsulate,
  Decrypt,
  DeleteAlias,
  DeleteCustomKeyStore: keyStores,
  DeleteImportedKeyMaterial: imports,
  DeriveSharedSecret,
  DescribeCustomKeyStores: keyStores,
  DescribeKey,
  DisableKey,
  DisableKeyRotation: rotation,
  DisconnectCustomKeyStore: keyStores,
  EnableKey,
  EnableKeyRotation: rotation,
  Encapsulate,
  Encrypt,
  GenerateDataKey,
  GenerateDataKeyPair,
  GenerateDataKeyPairWithoutPlaintext,
  GenerateDataKeyWithoutPlaintext,
  GenerateMac,
  GenerateRandom,
  GetKeyLastUsage: refused('the tracking of last usage'),
  GetKeyPolicy,
  GetKeyRotationStatus: rotation,
  GetParametersForImport: imports,
  GetPublicKey,
  ImportKeyMaterial: imports,
  ListAliases,
  ListGrants: grants,
  ListKeyPolicies,
  ListKeyRotations: rotation,
  ListKeys,
  ListResourceTags,
  ListRetirableGrants: grants,
  PutKeyPolicy,
  ReEncrypt,
  ReplicateKey: regions,
  RetireGrant: grants,
  RevokeGrant: grants,
  RotateKeyOnDemand: rotation,
  ScheduleKeyDeletion: lifecycle,
  Sign,
  TagResource,
  UntagResource,
  UpdateAlias,
  UpdateCustomKeyStore: keyStores,
  UpdateKeyDescription,
  UpdatePrimaryRegion: regions,
  Verify,
  VerifyMac,
}

/** By name. A Map: names come from callers, and a plain object has members of its own. */
export const operations: ReadonlyMap<string, Operation | Refused> = new Map(Object.entries(table))
