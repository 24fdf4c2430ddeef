// New identities' names and secrets, and what binds a sealed secret to its owner.
import { randomBytes } from 'node:crypto'

/** 32 characters, so five bits of a random byte choose one without bias. */
const base32 = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567'
const base64 = Buffer.from('ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/')

const randomText = (length: number): string => Array.from(randomBytes(length), byte => base32.charAt(byte & 31)).join('')

/** AKIA and 16 characters of A-Z2-7. */
export const newAccessKeyId = (): string => `AKIA${randomText(16)}`

/** AIDA and 17 characters of A-Z2-7. */
export const newUserId = (): string => `AIDA${randomText(17)}`

/**
 * A secret access key: 40 ASCII characters, the base64 of 30 random bytes. It is never a string here, since a string cannot be
 * zeroed; whoever calls zeroes the Buffer.
 */
export function newSecret(): Buffer {
  const random = randomBytes(30)
  const secret = Buffer.alloc(40)
  for (let group = 0; group < 10; group++) {
    const bits = random.readUIntBE(group * 3, 3)
    for (let place = 0; place < 4; place++) secret[group * 4 + place] = base64[(bits >> (18 - place * 6)) & 63] ?? 0
  }
  random.fill(0)
  return secret
}

const label = 'trent/access-key/1'

/**
 * The additional authenticated data of a sealed secret: label, access key id, user id or `root`, account id, each as u32
 * (big-endian) length and bytes. It cannot change once secrets are sealed. A row moved to another user or account does not open.
 */
export function accessKeyAad(accessKeyId: string, userId: string, accountId: string): Buffer {
  return Buffer.concat([label, accessKeyId, userId, accountId].flatMap(field => {
    const bytes = Buffer.from(field)
    const length = Buffer.alloc(4)
    length.writeUInt32BE(bytes.length)
    return [length, bytes]
  }))
}
