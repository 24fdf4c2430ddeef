import { describe, expect, it } from 'vitest'
import { keyStates } from '../../src/keys/state.ts'
import { operations } from '../../src/operations/table.ts'

// AWS KMS developer guide, "Key states of AWS KMS keys": a table of its own, since a declaration proves nothing about itself.
// Pending replica deletion shares the column of pending deletion.
const use = ['Enabled', 'Updating']
const all = [...keyStates]
const butDeletion = all.filter(state => state !== 'PendingDeletion' && state !== 'PendingReplicaDeletion')
const expected: Readonly<Record<string, readonly (readonly string[])[]>> = {
  Encrypt: [use], Decrypt: [use], ReEncrypt: [use, use], GenerateDataKey: [use], GenerateDataKeyWithoutPlaintext: [use],
  GenerateDataKeyPair: [use], GenerateDataKeyPairWithoutPlaintext: [use],
  GenerateMac: [use], VerifyMac: [use], Sign: [use], Verify: [use], GetPublicKey: [use], DeriveSharedSecret: [use], Encapsulate: [use], Decapsulate: [use],
  CreateAlias: [butDeletion],
  // Away from any key, to none that is pending deletion.
  UpdateAlias: [all, butDeletion],
  DeleteAlias: [all],
  // Unavailable would need a custom key store, and those cannot be made: a key in that state can only be an edited row.
  DisableKey: [['Enabled', 'Disabled']], EnableKey: [['Enabled', 'Disabled']],
  DescribeKey: [all], GetKeyPolicy: [all], PutKeyPolicy: [all], ListKeyPolicies: [all], ListResourceTags: [all],
  TagResource: [butDeletion], UntagResource: [butDeletion], UpdateKeyDescription: [butDeletion],
  CreateKey: [], ListKeys: [], ListAliases: [], GenerateRandom: [],
}

const declared = [...operations].flatMap(([name, entry]) => ('refused' in entry ? [] : [[name, entry] as const]))

describe('the states that an operation takes a key in', () => {
  it.each(declared)('%s: as AWS says', (name, { needs }) => {
    const states = Object.values(needs).map(need => (need.states === 'any' ? keyStates : need.states))
    expect(states.map(of => [...of].sort())).toEqual(expected[name]?.map(of => [...of].sort()))
  })
})

describe('what an operation takes for a key, and from whom', () => {
  // AWS KMS API reference: "Cross-account use" and the KeyId of each operation.
  const crypto = [
    'Encrypt', 'Decrypt', 'ReEncrypt', 'GenerateDataKey', 'GenerateDataKeyWithoutPlaintext', 'GenerateDataKeyPair', 'GenerateDataKeyPairWithoutPlaintext', 'DescribeKey',
    'GenerateMac', 'VerifyMac', 'Sign', 'Verify', 'GetPublicKey', 'DeriveSharedSecret', 'Encapsulate', 'Decapsulate',
  ]
  it.each(declared.filter(([, { needs }]) => Object.keys(needs).length > 0))('%s: aliases and other accounts as AWS says', (name, { needs, alias }) => {
    for (const need of Object.values(needs)) {
      expect(need.otherAccounts).toBe(crypto.includes(name))
      expect(need.aliases).toBe(crypto.includes(name) || need.key.member === alias?.member)
      expect(need.grantable).toBe(crypto.includes(name))
    }
  })
})
