// GenerateDataKeyPair, with and without the private key in clear: a pair for the caller, its private key encrypted under a symmetric key.
import type { KeyEntry } from '../cache/key-entry.ts'
import type { Hsm } from '../hsm/hsm.ts'
import { encodeContext, type EncryptionContext } from '../keys/context.ts'
import { usable } from '../keys/state.ts'
import { enumeration, required } from '../shape/shape.ts'
import { currentOf } from './current-material.ts'
import type { DataKeyPair, KeyPairs } from './key-pairs.ts'
import { dryRun, encryptionContext, grantTokens, keyId, recipient } from './members.ts'
import { from, operation, type KeyNeed } from './operation.ts'
import { noteRecipient, recipientOf, secretFor } from './recipient.ts'

const keyPairSpec = enumeration([
  'RSA_2048', 'RSA_3072', 'RSA_4096', 'ECC_NIST_P256', 'ECC_NIST_P384', 'ECC_NIST_P521', 'ECC_SECG_P256K1', 'SM2', 'ECC_NIST_EDWARDS25519', 'ML_KEM_512',
  'ML_KEM_768', 'ML_KEM_1024',
])

const need = (permission: `kms:${string}`): KeyNeed => ({
  key: from('KeyId'), permission, usage: 'ENCRYPT_DECRYPT', symmetric: true, states: usable, aliases: true, otherAccounts: true, grantable: true,
  context: 'EncryptionContext',
})

interface Asked {
  readonly KeyPairSpec: string
  readonly EncryptionContext?: EncryptionContext | undefined
}

/** The pair, with its private key encrypted. The private key in clear is still there: who asked zeroes it. */
async function generate(hsm: Hsm, pairs: KeyPairs, entry: KeyEntry, { KeyPairSpec, EncryptionContext }: Asked): Promise<DataKeyPair & { readonly sealed: Buffer }> {
  const pair = await pairs.make(KeyPairSpec)
  try {
    return { ...pair, sealed: await hsm.encrypt(currentOf(entry), encodeContext(EncryptionContext), pair.privateKey) }
  } catch (thrown) {
    pair.privateKey.fill(0)
    throw thrown
  }
}

export const GenerateDataKeyPair = operation({
  kind: 'use',
  input: {
    EncryptionContext: encryptionContext, KeyId: required(keyId), KeyPairSpec: required(keyPairSpec), GrantTokens: grantTokens, Recipient: recipient, DryRun: dryRun,
  },
  needs: { key: need('kms:GenerateDataKeyPair') },
  readOnly: true,
  audit: ['KeyPairSpec', 'EncryptionContext', 'DryRun'],
  async handle({ input, keys, hsm, pairs, notes, settings }) {
    const { key } = keys.key
    const recipient = recipientOf(settings, input.Recipient)
    const { privateKey, publicKey, sealed } = await generate(hsm, pairs, keys.key, input)
    const keyMaterialId = key.currentMaterialId?.toString('hex')
    notes.additionalEventData = { keyMaterialId }
    noteRecipient(notes, recipient)
    return {
      PrivateKeyCiphertextBlob: sealed, ...secretFor(recipient, 'PrivateKeyPlaintext', privateKey), PublicKey: publicKey, KeyId: key.arn, KeyPairSpec: input.KeyPairSpec,
      KeyMaterialId: keyMaterialId,
    }
  },
})

export const GenerateDataKeyPairWithoutPlaintext = operation({
  kind: 'use',
  input: { EncryptionContext: encryptionContext, KeyId: required(keyId), KeyPairSpec: required(keyPairSpec), GrantTokens: grantTokens, DryRun: dryRun },
  needs: { key: need('kms:GenerateDataKeyPairWithoutPlaintext') },
  readOnly: true,
  audit: ['KeyPairSpec', 'EncryptionContext', 'DryRun'],
  async handle({ input, keys, hsm, pairs, notes }) {
    const { key } = keys.key
    const { privateKey, publicKey, sealed } = await generate(hsm, pairs, keys.key, input)
    privateKey.fill(0)
    const keyMaterialId = key.currentMaterialId?.toString('hex')
    notes.additionalEventData = { keyMaterialId }
    return { PrivateKeyCiphertextBlob: sealed, PublicKey: publicKey, KeyId: key.arn, KeyPairSpec: input.KeyPairSpec, KeyMaterialId: keyMaterialId }
  },
})
