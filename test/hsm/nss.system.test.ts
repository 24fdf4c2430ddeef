// What is NSS softokn's own: what its agent says of it, and serving on it. The contract of the Hsm is in contract.system.test.ts.
import { CreateKeyCommand, DecryptCommand, EncryptCommand } from '@aws-sdk/client-kms'
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest'
import { agreementContract, decryptionContract, macContract, signatureContract } from '../support/algorithms.ts'
import { kms } from '../support/aws.ts'
import { startTrentOn } from '../support/gateway.ts'
import { account, trent, writeConfig } from '../support/installation.ts'
import { nssConfig } from '../support/nss.ts'
import { openNss, type OtherToken } from '../support/other-token.ts'

const plaintext = (): Buffer => Buffer.from('what only the token may open')

let nss: OtherToken
beforeAll(async () => { nss = await openNss() })
afterAll(() => nss.close())

const flipped = (bytes: Buffer, at: number): Buffer => {
  const changed = Buffer.from(bytes)
  changed[at] = (changed[at] ?? 0) ^ 1
  return changed
}

it('the agent says that this token does not keep keys from whoever has the PIN', () => {
  expect(nss.token.ready).toMatchObject({ templateEnforced: false, model: 'NSS 3' })
})

describe('MACs', () => { macContract(() => nss.token.client) })
describe('RSA decryption', () => { decryptionContract(() => nss.token.client, ['RSA_2048', 'RSA_4096']) })
describe('key agreement', () => { agreementContract(() => nss.token.client) })
// It has no secp256k1.
describe('signatures', () => { signatureContract(() => nss.token.client, ['RSA_2048', 'RSA_3072', 'ECC_NIST_P256', 'ECC_NIST_P384', 'ECC_NIST_P521']) })

describe('trent serve', () => {
  it('is refused on a token that whoever has the PIN can read, unless that is allowed', async () => {
    await expect(trent(['serve', '--config', nss.config])).rejects.toMatchObject({
      stderr: expect.stringContaining('hsm.allowWeakToken is false, so that a token must keep keys from whoever has its PIN: token \'NSS Certificate DB\' does not pass template-enforced (the domain key unwraps no key as extractable, and cannot be changed): wrong answer, unwraps as extractable, CKA_DECRYPT can be set') as string,
    })
  })

  it('serves an SDK where it is allowed', async () => {
    const { stdout } = await trent(['iam', 'create-admin', '--account', account, '--name', 'admin', '--config', await allowing()])
    const { AccessKeyId: accessKeyId, SecretAccessKey: secretAccessKey } = JSON.parse(stdout) as { AccessKeyId: string; SecretAccessKey: string }
    const running = await startTrentOn(nss.directory, nss.database, { hsm: { allowWeakToken: true, tokens: [nssConfig(nss.directory)] } })
    onTestFinished(async () => { await running.stop() })
    const sdk = kms(running.url, { accessKeyId, secretAccessKey })
    onTestFinished(() => { sdk.destroy() })
    const ready = await (await fetch(`${running.privateUrl}/readyz?verbose`)).json() as { checks: { token: { detail: string } } }
    expect(ready.checks.token.detail).toMatch(/^NSS Certificate DB: template NOT enforced: PIN and database together can read wrapped keys; 40 of 59 capabilities; not: template-enforced, not-wrappable, mechanisms-kept, /)
    expect(await (await fetch(`${running.privateUrl}/metrics`)).text()).toMatch(/^hsm_token_sessions\{token="NSS Certificate DB",kind="all"\} [1-9]\d*$/m)
    const keyId = (await sdk.send(new CreateKeyCommand({}))).KeyMetadata?.KeyId
    const { CiphertextBlob } = await sdk.send(new EncryptCommand({ KeyId: keyId, Plaintext: plaintext() }))
    const { Plaintext } = await sdk.send(new DecryptCommand({ CiphertextBlob }))
    expect(Buffer.from(Plaintext ?? [])).toEqual(plaintext())
    const changed = flipped(Buffer.from(CiphertextBlob ?? []), 90)
    await expect(sdk.send(new DecryptCommand({ CiphertextBlob: changed }))).rejects.toMatchObject({ name: 'InvalidCiphertextException' })
  })

  const allowing = (): Promise<string> => writeConfig(nss.directory, nss.database.url, { hsm: { allowWeakToken: true, tokens: [nssConfig(nss.directory)] } })
})
