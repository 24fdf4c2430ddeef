// ML-KEM key pairs by node:crypto, which makes them from OpenSSL 3.5 on (Node 24). The private key is PKCS #8 in seed form (RFC 9935, section 6),
// as AWS answers it: 86 bytes, whatever the parameter set. OpenSSL puts the expanded key beside the seed.
import { generateKeyPair, generateKeyPairSync } from 'node:crypto'
import { der, derInteger, tags } from '../keys/der.ts'
import { mlKemSets, type MlKemSet } from '../keys/post-quantum.ts'

const encodings = { publicKeyEncoding: { type: 'spki', format: 'der' }, privateKeyEncoding: { type: 'pkcs8', format: 'der' } } as const
const seedBytes = 64
/** Behind the two lengths of each structure around it; and the tag and length of an OCTET STRING of a seed. */
const seedAt = 30
const seedHeader = Buffer.from([tags.octetString, seedBytes])
/** [0], instead of the tag of an OCTET STRING. */
const seedForm = 0x80

/** The types of this Node know no such key. */
type Generate = (type: string, options: typeof encodings, done: (error: Error | null, publicKey: Buffer, privateKey: Buffer) => void) => void

let isKnown: boolean | undefined

export function makesMlKem(): boolean {
  if (isKnown !== undefined) return isKnown
  try {
    (generateKeyPairSync as (type: string) => unknown)('ml-kem-512')
    return isKnown = true
  } catch {
    return isKnown = false
  }
}

export function makeMlKem(set: MlKemSet): Promise<{ readonly publicKey: Buffer; readonly privateKey: Buffer }> {
  return new Promise((resolve, reject) => {
    (generateKeyPair as unknown as Generate)(set.toLowerCase(), encodings, (error, publicKey, privateKey) => {
      if (error !== null) {
        reject(error)
        return
      }
      const isWithSeed = privateKey.subarray(seedAt - seedHeader.length, seedAt).equals(seedHeader)
      if (isWithSeed) resolve({ publicKey, privateKey: ofSeed(set, privateKey.subarray(seedAt, seedAt + seedBytes)) })
      else reject(new Error('OpenSSL gave an ML-KEM key in another form'))
      privateKey.fill(0)
    })
  })
}

function ofSeed(set: MlKemSet, seed: Buffer): Buffer {
  const inner = der(seedForm, seed)
  const octets = der(tags.octetString, inner)
  const whole = der(tags.sequence, derInteger(Buffer.alloc(1)), der(tags.sequence, mlKemSets[set].oid), octets)
  for (const part of [inner, octets]) part.fill(0)
  return whole
}
