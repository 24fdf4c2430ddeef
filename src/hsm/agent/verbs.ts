// The closed verbs as this version answers them. A handler gets fields that are hostile until checked: a gateway taken over
// can use keys through these verbs, and can do nothing else.
import { decodeMaterial } from '../../keys/material.ts'
import { canaryPlaintext } from './canary.ts'
import type { Domain } from './domain.ts'
import { FrameError, type Verb } from './frames.ts'
import { decryptBlob, encryptBlob, seal, unseal } from './gcm.ts'
import type { OpenKey } from './keys-in-use.ts'
import { makeMaterial } from './make-material.ts'
import type { Profile } from './profile.ts'
import type { Session } from './session.ts'
import type { DeadlineClass } from './watch.ts'

export interface Bench {
  readonly session: Session
  readonly profile: Profile
  readonly domain: Domain
}

/** A verb that uses a key: after MAC and row it has `fields` more. */
interface KeyVerb {
  readonly deadline: DeadlineClass
  readonly fields: number
  run(bench: Bench, key: OpenKey, fields: readonly Buffer[]): Buffer
}

interface PlainVerb {
  readonly deadline: DeadlineClass
  readonly fields: number
  run(bench: Bench, fields: readonly Buffer[]): Buffer
}

const randomLimitBytes = 1024
const plaintextLimitBytes = 8192

export const keyVerbs: Readonly<Partial<Record<Verb, KeyVerb>>> = {
  encrypt: {
    deadline: 'hot',
    fields: 2,
    run({ session }, key, [context = empty, plaintext = empty]) {
      if (plaintext.length === 0 || plaintext.length > plaintextLimitBytes) throw new FrameError('plaintext length')
      try {
        return encryptBlob(session, key.handle, key.name, context, plaintext)
      } finally {
        plaintext.fill(0)
      }
    },
  },
  decrypt: {
    deadline: 'hot',
    fields: 2,
    run: ({ session }, key, [context = empty, blob = empty]) => decryptBlob(session, key.handle, key.name, context, blob),
  },
  seal: {
    deadline: 'hot',
    fields: 2,
    run({ session }, key, [aad = empty, secret = empty]) {
      if (secret.length === 0 || secret.length > plaintextLimitBytes) throw new FrameError('secret length')
      try {
        return seal(session, key.handle, aad, secret)
      } finally {
        secret.fill(0)
      }
    },
  },
  unseal: {
    deadline: 'hot',
    fields: 2,
    run: ({ session }, key, [aad = empty, sealed = empty]) => unseal(session, key.handle, aad, sealed),
  },
  canary: {
    deadline: 'hot',
    fields: 2,
    /** One byte: whether the database's canary opens to what the ceremony put in. */
    run: ({ session }, key, [context = empty, blob = empty]) =>
      Buffer.from([decryptBlob(session, key.handle, key.name, context, blob).equals(canaryPlaintext) ? 1 : 0]),
  },
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
    deadline: 'unhurried',
    fields: 2,
    /** Fields: the plan as a material row without domain and blob; one byte that says whether an earlier attempt was made. */
    run({ session, profile, domain }, [plan = empty, again = empty]) {
      const material = decodeMaterial(plan)
      const made = makeMaterial(session, profile, domain, material, again[0] !== 0)
      return Buffer.concat([made.mac, made.row])
    },
  },
}

const empty = Buffer.alloc(0)
