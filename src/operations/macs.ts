// GenerateMac, VerifyMac: HMAC in the HSM. A MAC to verify is made anew and compared here, since the codes of C_Verify differ between tokens.
import { timingSafeEqual } from 'node:crypto'
import { KmsError } from '../errors.ts'
import { macAlgorithms, type MacAlgorithm } from '../keys/spec.ts'
import { usable } from '../keys/state.ts'
import { blob, enumeration, required } from '../shape/shape.ts'
import { currentOf } from './current-material.ts'
import { dryRun, grantTokens, keyId, plaintext } from './members.ts'
import { from, operation, type KeyNeed } from './operation.ts'

// In the order in which AWS was seen to print them.
const macAlgorithm = enumeration(Object.keys(macAlgorithms) as MacAlgorithm[], { listed: ['HMAC_SHA_384', 'HMAC_SHA_256', 'HMAC_SHA_224', 'HMAC_SHA_512'] })

const need = (permission: `kms:${string}`): KeyNeed => ({
  key: from('KeyId'), permission, usage: 'GENERATE_VERIFY_MAC', algorithm: 'MacAlgorithm', states: usable, aliases: true, otherAccounts: true, grantable: true,
})

export const GenerateMac = operation({
  kind: 'use',
  input: { Message: required(plaintext), KeyId: required(keyId), MacAlgorithm: required(macAlgorithm), GrantTokens: grantTokens, DryRun: dryRun },
  needs: { key: need('kms:GenerateMac') },
  readOnly: true,
  audit: ['MacAlgorithm', 'DryRun'],
  async handle({ input, keys, hsm }) {
    return { Mac: await hsm.mac(currentOf(keys.key), input.Message), MacAlgorithm: input.MacAlgorithm, KeyId: keys.key.key.arn }
  },
})

export const VerifyMac = operation({
  kind: 'use',
  input: {
    Message: required(plaintext), KeyId: required(keyId), MacAlgorithm: required(macAlgorithm), Mac: required(blob({ min: 1, max: 6144 })),
    GrantTokens: grantTokens, DryRun: dryRun,
  },
  needs: { key: need('kms:VerifyMac') },
  readOnly: true,
  audit: ['MacAlgorithm', 'DryRun'],
  async handle({ input, keys, hsm }) {
    const mac = await hsm.mac(currentOf(keys.key), input.Message)
    // A MAC cut short is no MAC: AWS has no truncated ones.
    const genuine = input.Mac.length === mac.length && timingSafeEqual(mac, input.Mac)
    mac.fill(0)
    if (!genuine) throw new KmsError('KMSInvalidMacException')
    return { KeyId: keys.key.key.arn, MacValid: true, MacAlgorithm: input.MacAlgorithm }
  },
})
