// The closed verbs as this version answers them. A handler gets fields that are hostile until checked: a gateway taken over
// can use keys through these verbs, and can do nothing else. Each may run again after a fault: fields are wiped by the worker, once.
import { decodeMaterial } from '../../keys/material.ts'
import { deriveSecret } from './agreement.ts'
import { canaryPlaintext } from './canary.ts'
import type { Domain } from './domain.ts'
import { decapsulate, encapsulate } from './encapsulation.ts'
import { FrameError, type Verb } from './frames.ts'
import { decryptBlob, encryptBlob, seal, unseal } from './gcm.ts'
import { isPair } from './key-template.ts'
import type { OpenKey } from './keys-in-use.ts'
import { mac } from './mac.ts'
import { makeMaterial, type MadeMaterial } from './make-material.ts'
import type { Profile } from './profile.ts'
import { decryptRsa, encryptRsa, isRsa } from './rsa-decryption.ts'
import type { Session } from './session.ts'
import { sign, verify } from './signing.ts'
import type { DeadlineClass } from './watch.ts'

export interface Bench {
  readonly session: Session
  readonly profile: Profile
  readonly domain: Domain
}

/** A verb that uses keys: after each key's MAC and row it has `fields` more. */
export interface KeyVerb {
  readonly deadline: DeadlineClass
  readonly keys: 1 | 2
  readonly fields: number
  readonly run: (bench: Bench, keys: readonly OpenKey[], fields: readonly Buffer[]) => Buffer
}

interface PlainVerb {
  readonly deadline: DeadlineClass | ((fields: readonly Buffer[]) => DeadlineClass)
  readonly fields: number
  /** Which of the fields is the moment after which the call must not begin, see expiry.ts. */
  readonly expiry?: number
  /** `again`: this worker has tried before, and may have got to the token. */
  readonly run: (bench: Bench, fields: readonly Buffer[], again: boolean) => Buffer
}

const randomLimitBytes = 1024
const plaintextLimitBytes = 8192

/** A verb with one key. */
const withKey = (fields: number, run: (bench: Bench, key: OpenKey, fields: readonly Buffer[]) => Buffer): KeyVerb => ({
  deadline: 'hot', keys: 1, fields,
  run: (bench, [key], given) => run(bench, present(key), given),
})

export const keyVerbs: Readonly<Partial<Record<Verb, KeyVerb>>> = {
  encrypt: withKey(2, (bench, key, [context = empty, plaintext = empty]) => {
    if (plaintext.length === 0 || plaintext.length > plaintextLimitBytes) throw new FrameError('plaintext length')
    return encryptBlob(bench, key, context, plaintext)
  }),
  /** The encryption context and a blob; for an RSA key the number of the algorithm, see keys/spec.ts, and a bare ciphertext. */
  decrypt: withKey(2, (bench, key, [parameter = empty, blob = empty]) => decrypt(bench, key, parameter, blob)),
  /**
   * From one key to another: the plaintext never reaches the gateway. Of each side the context, or for an RSA key the number of the
   * algorithm; for one that is the destination its SubjectPublicKeyInfo behind it.
   */
  reencrypt: {
    deadline: 'hot', keys: 2, fields: 3,
    run(bench, [source, destination], [from = empty, to = empty, blob = empty]) {
      const plaintext = decrypt(bench, present(source), from, blob)
      try {
        const key = present(destination)
        return isRsa(key) ? encryptRsa(key, to, plaintext) : encryptBlob(bench, key, to, plaintext)
      } finally {
        plaintext.fill(0)
      }
    },
  },
  /** The number of the algorithm, see keys/spec.ts, and the digest or message. */
  sign: withKey(2, (bench, key, [algorithm = empty, signed = empty]) => sign(bench, key, algorithm, signed)),
  /** The key's SubjectPublicKeyInfo, message and signature. */
  verify: withKey(3, (bench, key, [spki = empty, message = empty, signature = empty]) => verify(bench, key, spki, message, signature)),
  /** The key's SubjectPublicKeyInfo. */
  encapsulate: withKey(1, (bench, key, [spki = empty]) => encapsulate(bench.session, key, spki)),
  decapsulate: withKey(1, (bench, key, [ciphertext = empty]) => decapsulate(bench.session, key, ciphertext)),
  /** The other's public key, a SubjectPublicKeyInfo. */
  derive: withKey(1, (bench, key, [spki = empty]) => deriveSecret(bench.session, key, spki)),
  /** What the authenticated row says of the public key: SHA-256 of its SubjectPublicKeyInfo. */
  authenticate: withKey(0, (_, key) => Buffer.from(key.spkiDigest)),
  mac: withKey(1, (bench, key, [message = empty]) => {
    if (message.length === 0 || message.length > plaintextLimitBytes) throw new FrameError('message length')
    return mac(bench.session, key, message)
  }),
  seal: withKey(2, (bench, key, [aad = empty, secret = empty]) => {
    if (secret.length === 0 || secret.length > plaintextLimitBytes) throw new FrameError('secret length')
    return seal(bench, key.handle, aad, secret)
  }),
  unseal: withKey(2, (bench, key, [aad = empty, sealed = empty]) => unseal(bench, key.handle, aad, sealed)),
  /** One byte: whether the database's canary opens to what the ceremony put in. */
  canary: withKey(2, (bench, key, [context = empty, blob = empty]) =>
    Buffer.from([decryptBlob(bench, key, context, blob).equals(canaryPlaintext) ? 1 : 0])),
}

export const plainVerbs: Readonly<Partial<Record<Verb, PlainVerb>>> = {
  random: {
    deadline: 'hot',
    fields: 1,
    run({ session }, [length = empty]) {
      const bytes = length.length === 4 ? length.readUInt32LE() : 0
      if (bytes < 1 || bytes > randomLimitBytes) throw new FrameError('random length')
      return session.random(bytes)
    },
  },
  create: {
    deadline: ([plan = empty]) => (isPair(decodeMaterial(plan)) ? 'pair' : 'unhurried'),
    fields: 3,
    // An intent that is long given up may by now be carried out elsewhere: a second object under its CKA_ID would make the key unusable.
    expiry: 2,
    /** Fields: the plan as a material row without domain and blob; one byte that says whether an earlier attempt was made; the expiry. */
    run({ session, profile, domain }, [plan = empty, sentAgain = empty], again) {
      const material = decodeMaterial(plan)
      return encodeMade(makeMaterial(session, profile, domain, material, again || sentAgain[0] !== 0))
    },
  },
}

const empty = Buffer.alloc(0)

/** MAC 32, u32 length of the row, row, SubjectPublicKeyInfo. */
function encodeMade({ mac, row, spki }: MadeMaterial): Buffer {
  const length = Buffer.alloc(4)
  length.writeUInt32LE(row.length)
  return Buffer.concat([mac, length, row, spki])
}

const decrypt = (bench: Bench, key: OpenKey, parameter: Buffer, blob: Buffer): Buffer =>
  isRsa(key) ? decryptRsa(bench, key, parameter, blob) : decryptBlob(bench, key, parameter, blob)

/** The worker has opened as many keys as the verb says. */
function present(key: OpenKey | undefined): OpenKey {
  if (key === undefined) throw new FrameError('key count')
  return key
}
