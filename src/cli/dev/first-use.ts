// The first CreateKey, Encrypt and Decrypt, through the AWS SDK as any client would do them: what ./dev promises, tried before it says so.
import { timingSafeEqual } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { StartError } from '../../errors.ts'
import type { Config } from '../../config.ts'
import { readState, remember, type DataFolder } from './data-folder.ts'

export interface Credentials {
  readonly accessKeyId: string
  readonly secretAccessKey: string
}

/** What was done, in order, and how long each took in milliseconds. */
export interface FirstUse {
  readonly keyArn: string
  readonly took: readonly (readonly [step: string, milliseconds: number])[]
}

/** The demo administrator's access key, from a file in the form of ~/.aws/credentials. */
export function readCredentials(data: DataFolder): Credentials {
  const text = readFileSync(data.credentials, 'utf8')
  const field = (name: string) => new RegExp(`^${name} = (\\S+)$`, 'm').exec(text)?.[1]
  const [accessKeyId, secretAccessKey] = [field('aws_access_key_id'), field('aws_secret_access_key')]
  if (!accessKeyId || !secretAccessKey) throw new StartError(`${data.credentials} holds no access key: start anew with --reset`)
  return { accessKeyId, secretAccessKey }
}

export const endpoint = (config: Config): string => `http://${config.listen.host.replace(/^::1$/, '[::1]')}:${config.listen.port}`

/** Makes the demo key once, then encrypts and decrypts with it. @throws StartError with the error that the gateway gave. */
export async function firstUse(data: DataFolder, config: Config): Promise<FirstUse> {
  const { KMSClient, CreateKeyCommand, DecryptCommand, EncryptCommand } = await import('@aws-sdk/client-kms')
  const client = new KMSClient({
    endpoint: endpoint(config),
    region: config.region,
    credentials: readCredentials(data),
    maxAttempts: 1,
    requestHandler: { requestTimeout: 30_000, connectionTimeout: 5_000 },
  })
  const took: [string, number][] = []
  const timed = async <T>(step: string, work: () => Promise<T>): Promise<T> => {
    const start = performance.now()
    try {
      const result = await work()
      took.push([step, performance.now() - start])
      return result
    } catch (error) {
      throw new StartError(`The first ${step} failed: ${error instanceof Error ? `${error.name}: ${error.message}` : String(error)}`)
    }
  }
  try {
    let { demoKey } = readState(data)
    if (demoKey === undefined) {
      const made = await timed('CreateKey', () => client.send(new CreateKeyCommand({ Description: 'Made by ./dev' })))
      demoKey = made.KeyMetadata?.Arn
      if (demoKey === undefined) throw new StartError('The first CreateKey gave no key ARN')
      remember(data, { demoKey })
    }
    const KeyId = demoKey
    const EncryptionContext = { purpose: 'demo' }
    const Plaintext = Buffer.from('The first words that Trent keeps')
    const encrypted = await timed('Encrypt', () => client.send(new EncryptCommand({ KeyId, Plaintext, EncryptionContext })))
    const { CiphertextBlob } = encrypted
    const decrypted = await timed('Decrypt', () => client.send(new DecryptCommand({ CiphertextBlob, EncryptionContext })))
    const opened = Buffer.from(decrypted.Plaintext ?? [])
    const same = opened.length === Plaintext.length && timingSafeEqual(opened, Plaintext)
    if (!same) throw new StartError('The first Decrypt gave other bytes back')
    return { keyArn: KeyId, took }
  } finally {
    client.destroy()
  }
}
