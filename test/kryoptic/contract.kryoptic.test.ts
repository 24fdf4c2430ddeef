// The contract of the Hsm, and every algorithm, on Kryoptic.
import { afterAll, beforeAll, describe, it } from 'vitest'
import { rules, type Subject } from '../hsm/contract.ts'
import { agreementContract, decryptionContract, edwardsContract, macContract, signatureContract } from '../support/algorithms.ts'
import { openKryoptic, type OtherToken } from '../support/other-token.ts'

let kryoptic: OtherToken
let subject: Subject
beforeAll(async () => {
  kryoptic = await openKryoptic()
  subject = { token: kryoptic.token, direct: 'direct' }
})
afterAll(() => kryoptic.close())

describe('Kryoptic', () => { it.each(rules)('$name', ({ check }) => check(subject)) })
describe('MACs', () => { macContract(() => kryoptic.token.client) })
describe('RSA decryption', () => { decryptionContract(() => kryoptic.token.client, ['RSA_2048', 'RSA_4096']) })
describe('key agreement', () => { agreementContract(() => kryoptic.token.client) })
// It has no secp256k1.
describe('signatures', () => {
  signatureContract(() => kryoptic.token.client, ['RSA_2048', 'RSA_3072', 'ECC_NIST_P256', 'ECC_NIST_P384', 'ECC_NIST_P521'])
  edwardsContract(() => kryoptic.token.client, ['wrapped', 'resident'], true)
})
