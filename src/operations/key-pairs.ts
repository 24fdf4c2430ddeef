// Key pairs for the caller, by node:crypto (docs/decisions/0021). An RSA pair occupies a thread of the process for seconds, and the
// audit journal writes by the same four threads: so few are made at once, a bounded number waits, and the rest is throttled.
import { generateKeyPair } from 'node:crypto'
import { KmsError } from '../errors.ts'
import { curves } from '../keys/curve.ts'
import { isKeySpec, keySpecs } from '../keys/spec.ts'
import { makeMlKem, makesMlKem } from './ml-kem-pair.ts'

const atOnce = 2
const mostWaiting = 64

export interface DataKeyPair {
  /** PKCS #8 in DER. Its maker's: zeroed by who asked for it. */
  readonly privateKey: Buffer
  /** SubjectPublicKeyInfo in DER. */
  readonly publicKey: Buffer
}

const encodings = { publicKeyEncoding: { type: 'spki', format: 'der' }, privateKeyEncoding: { type: 'pkcs8', format: 'der' } } as const

export class KeyPairs {
  #running = 0
  readonly #waiting: (() => void)[] = []

  /** @throws UnsupportedOperationException for a spec that node:crypto does not make; ThrottlingException when too many wait */
  async make(spec: string): Promise<DataKeyPair> {
    const making = makerOf(spec)
    if (making === undefined) throw new KmsError('UnsupportedOperationException', `KeyPairSpec ${spec} is not supported by this version of Trent.`)
    await this.#enter()
    try {
      return await making()
    } finally {
      this.#leave()
    }
  }

  async #enter(): Promise<void> {
    if (this.#running < atOnce) {
      this.#running++
      return
    }
    if (this.#waiting.length >= mostWaiting) throw new KmsError('ThrottlingException', 'You have exceeded the rate at which you may call KMS. Reduce the frequency of your calls.')
    await new Promise<void>(resolve => { this.#waiting.push(resolve) })
  }

  /** Who waits longest takes the place over. */
  #leave(): void {
    const next = this.#waiting.shift()
    if (next === undefined) this.#running--
    else next()
  }
}

function makerOf(spec: string): (() => Promise<DataKeyPair>) | undefined {
  const built = isKeySpec(spec) ? keySpecs[spec].built : undefined
  if (built?.kind === 'rsa') return () => made(done => { generateKeyPair('rsa', { modulusLength: 8 * built.modulusBytes, publicExponent: 65_537, ...encodings }, done) })
  if (built?.kind === 'ec') return () => made(done => { generateKeyPair('ec', { namedCurve: curves[built.curve].openssl, ...encodings }, done) })
  if (built?.kind === 'edwards') return () => made(done => { generateKeyPair('ed25519', encodings, done) })
  if (built?.kind === 'mlKem' && makesMlKem()) return () => makeMlKem(built.set)
  return undefined
}

function made(begin: (done: (error: Error | null, publicKey: Buffer, privateKey: Buffer) => void) => void): Promise<DataKeyPair> {
  return new Promise((resolve, reject) => {
    begin((error, publicKey, privateKey) => {
      if (error === null) resolve({ publicKey, privateKey })
      else reject(error)
    })
  })
}
