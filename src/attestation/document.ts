// Attestation documents of AWS Nitro Enclaves, and of what else speaks their format (aws-nitro-enclaves-nsm-api, docs/attestation_process.md):
// a COSE_Sign1 whose payload names the enclave by its measurements and holds the public key that answers are to be encrypted to.
import { constants, createPublicKey, publicEncrypt, type KeyObject, type X509Certificate } from 'node:crypto'
import { verifyChain } from './chain.ts'
import { readCbor, readSign1 } from './cose.ts'
import { AttestationRefused } from './refused.ts'

/** What documents are held against. */
export interface AttestationTrust {
  readonly roots: readonly X509Certificate[]
  /** Seconds that a document may be old. */
  readonly maxAgeSeconds: number
}

export interface Attested {
  /** RSA, 2,048 to 8,192 bits. */
  readonly publicKey: KeyObject
  readonly moduleId: string
  /** Measurements by register: 32, 48 or 64 bytes each. */
  readonly pcrs: ReadonlyMap<number, Buffer>
}

const [leastBits, mostBits] = [2_048, 8_192]
const pcrLengths: readonly number[] = [32, 48, 64]
/** Clocks of hosts differ. */
const aheadMilliseconds = 60_000

/** @throws AttestationRefused */
export function verifyDocument(bytes: Uint8Array, { roots, maxAgeSeconds }: AttestationTrust, now: Date): Attested {
  const signed = readSign1(bytes)
  const payload = readCbor(signed.payload, 'its payload')
  if (!(payload instanceof Map)) throw new AttestationRefused('its payload is no map')
  const bundle: unknown = payload.get('cabundle')
  if (!Array.isArray(bundle)) throw new AttestationRefused('it has no cabundle')
  const signer = verifyChain(bytesOf(payload, 'certificate'), bundle.map(one => asBytes(one, 'cabundle')), roots, now)
  signed.verify(signer.publicKey)
  // From here on it is the signer's word.
  requireFresh(payload.get('timestamp'), maxAgeSeconds, now)
  const moduleId: unknown = payload.get('module_id')
  if (typeof moduleId !== 'string' || moduleId === '') throw new AttestationRefused('it has no module_id')
  return { moduleId, pcrs: pcrsOf(payload.get('pcrs')), publicKey: publicKeyOf(bytesOf(payload, 'public_key')) }
}

function requireFresh(timestamp: unknown, maxAgeSeconds: number, now: Date): void {
  const age = typeof timestamp === 'number' || typeof timestamp === 'bigint' ? now.getTime() - Number(timestamp) : NaN
  if (Number.isNaN(age)) throw new AttestationRefused('it has no timestamp')
  if (age < -aheadMilliseconds) throw new AttestationRefused('its timestamp is in the future')
  if (age > 1_000 * maxAgeSeconds) throw new AttestationRefused(`it is older than ${maxAgeSeconds} s`)
}

function pcrsOf(pcrs: unknown): ReadonlyMap<number, Buffer> {
  if (!(pcrs instanceof Map) || pcrs.size === 0) throw new AttestationRefused('it has no pcrs')
  return new Map([...pcrs as Map<unknown, unknown>].map(([register, value]) => {
    const bytes = asBytes(value, 'pcrs')
    if (typeof register !== 'number' || register < 0 || register > 31 || !pcrLengths.includes(bytes.length)) throw new AttestationRefused('its pcrs are none')
    return [register, bytes]
  }))
}

function publicKeyOf(spki: Buffer): KeyObject {
  let key: KeyObject
  try {
    key = createPublicKey({ key: spki, format: 'der', type: 'spki' })
  } catch {
    throw new AttestationRefused('its public_key is no SubjectPublicKeyInfo')
  }
  const bits = key.asymmetricKeyDetails?.modulusLength ?? 0
  if (key.asymmetricKeyType !== 'rsa' || bits < leastBits || bits > mostBits) throw new AttestationRefused(`its public_key is not RSA of ${leastBits} to ${mostBits} bits`)
  requireUsable(key)
  return key
}

/** Who runs any enclave chooses its key: by an exponent of 1 everybody would read the answer, and some keys encrypt nothing at all. */
function requireUsable(key: KeyObject): void {
  const exponent = key.asymmetricKeyDetails?.publicExponent ?? 0n
  try {
    if (exponent >= 3n && exponent % 2n === 1n && exponent < 2n ** 64n) {
      publicEncrypt({ key, padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: 'sha256' }, Buffer.alloc(32))
      return
    }
  } catch {
    // An even modulus, say.
  }
  throw new AttestationRefused('its public_key is no RSA key that can be used')
}

const bytesOf = (payload: ReadonlyMap<unknown, unknown>, name: string): Buffer => asBytes(payload.get(name), name)

function asBytes(value: unknown, name: string): Buffer {
  if (!(value instanceof Uint8Array) || value.length === 0) throw new AttestationRefused(`it has no ${name}`)
  return Buffer.from(value)
}
