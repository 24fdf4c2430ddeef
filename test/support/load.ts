// A steady load of Encrypt, GenerateDataKey and Decrypt by an unmodified SDK at its default retries. Whatever was encrypted is opened again
// and compared.
import { CreateKeyCommand, DecryptCommand, EncryptCommand, GenerateDataKeyCommand, KMSClient } from '@aws-sdk/client-kms'
import { inject } from 'vitest'
import { region } from './aws.ts'

export interface Load {
  /** Round trips under way at any time. */
  readonly lanes: number
  /** Texts of all calls that failed in the end. */
  readonly failures: ReadonlySet<string>
  /** When each call was answered, performance.now(). */
  readonly answers: readonly number[]
  readonly roundTrips: number
  /** Round trips that opened to something else. */
  readonly wrong: number
  /** The longest that a call took, milliseconds, its repeats included. */
  readonly slowest: number
  stop(): Promise<void>
}

const lanes = 16

export async function steadyLoad(url: string): Promise<Load> {
  const client = new KMSClient({ endpoint: url, region, credentials: inject('installation').admin })
  const { KeyMetadata } = await client.send(new CreateKeyCommand({}))
  const KeyId = KeyMetadata?.KeyId
  const failures = new Set<string>()
  const answers: number[] = []
  const load = { lanes, failures, answers, roundTrips: 0, wrong: 0, slowest: 0 }
  let running = true
  let number = 0

  const timed = async <T>(call: Promise<T>): Promise<T> => {
    const began = performance.now()
    const answer = await call
    answers.push(performance.now())
    load.slowest = Math.max(load.slowest, performance.now() - began)
    return answer
  }
  const roundTrip = async (): Promise<void> => {
    const EncryptionContext = { number: String(++number) }
    const plaintext = Buffer.from(`message ${number}`)
    const encrypted = await timed(client.send(new EncryptCommand({ KeyId, Plaintext: plaintext, EncryptionContext })))
    const dataKey = await timed(client.send(new GenerateDataKeyCommand({ KeyId, KeySpec: 'AES_256', EncryptionContext })))
    for (const [CiphertextBlob, expected] of [[encrypted.CiphertextBlob, plaintext], [dataKey.CiphertextBlob, dataKey.Plaintext]] as const) {
      const { Plaintext } = await timed(client.send(new DecryptCommand({ CiphertextBlob, EncryptionContext })))
      if (expected === undefined || !Buffer.from(Plaintext ?? []).equals(expected)) load.wrong++
    }
    load.roundTrips++
  }
  const lane = async (): Promise<void> => {
    while (running) await roundTrip().catch((thrown: unknown) => { failures.add(String(thrown)) })
  }
  const all = Promise.all(Array.from({ length: lanes }, lane))
  return Object.assign(load, {
    stop: async () => {
      running = false
      await all
      client.destroy()
    },
  })
}
