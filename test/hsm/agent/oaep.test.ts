// Unpadding against node:crypto's padding, and every way in which an encoded message can be wrong: one error, and nothing more.
import { constants, createHash, generateKeyPairSync, privateDecrypt, publicEncrypt, randomBytes } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { KmsError } from '../../../src/errors.ts'
import { unpadOaep } from '../../../src/hsm/agent/oaep.ts'
import { mgf1 } from '../../../src/keys/mgf1.ts'

const { publicKey, privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
const k = 256
const refused = new KmsError('InvalidCiphertextException')

/** EM of a data block, whatever is in it: RFC 8017, 7.1.1, steps 2d to 2i. */
function encode(hash: 'sha1' | 'sha256', block: Buffer, first = 0): Buffer {
  const h = createHash(hash).digest().length
  const seed = randomBytes(h)
  const masked = Buffer.from(block.map((byte, at) => byte ^ (mgf1(hash, seed, block.length)[at] ?? 0)))
  const seedMask = mgf1(hash, masked, h)
  return Buffer.concat([Buffer.from([first]), Buffer.from(seed.map((byte, at) => byte ^ (seedMask[at] ?? 0))), masked])
}

describe.each([['sha1', 20], ['sha256', 32]] as const)('OAEP with %s', (hash, h) => {
  const most = k - 2 * h - 2
  const labelHash = createHash(hash).digest()
  const blockOf = (message: Buffer): Buffer => Buffer.concat([labelHash, Buffer.alloc(most - message.length), Buffer.from([1]), message])

  it('gives what node:crypto padded, in every length', () => {
    for (let length = 0; length <= most; length++) {
      const message = randomBytes(length)
      expect(unpadOaep(hash, encode(hash, blockOf(message)))).toEqual(message)
      if (length % 19 !== 0 && length !== most) continue
      const ciphertext = publicEncrypt({ key: publicKey, padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: hash }, message)
      expect(unpadOaep(hash, privateDecrypt({ key: privateKey, padding: constants.RSA_NO_PADDING }, ciphertext))).toEqual(message)
    }
  })

  it('keeps messages that look like padding', () => {
    for (const message of [Buffer.alloc(10), Buffer.alloc(10, 1), Buffer.from([0, 1, 0, 1]), Buffer.alloc(most), Buffer.alloc(most, 1)]) expect(unpadOaep(hash, encode(hash, blockOf(message)))).toEqual(message)
  })

  it('refuses each kind of fault alike', () => {
    const message = Buffer.from('message')
    const good = blockOf(message)
    const changed = (at: number, to: number): Buffer => {
      const block = Buffer.from(good)
      block[at] = to
      return block
    }
    const separator = good.length - message.length - 1
    const faults: readonly (readonly [kind: string, em: Buffer])[] = [
      ...[1, 2, 0x80, 0xff].map(first => [`first octet ${first}`, encode(hash, good, first)] as const),
      ...Array.from({ length: h }, (_, at) => [`label hash, byte ${at}`, encode(hash, changed(at, (good[at] ?? 0) ^ (1 << (at % 8))))] as const),
      ...[2, 3, 0x80, 0xff].map(to => [`separator ${to}`, encode(hash, changed(separator, to))] as const),
      ...[h, h + 1, separator - 1].map(at => [`no zero at ${at}`, encode(hash, changed(at, 0x80))] as const),
      ['nothing but zeroes', encode(hash, Buffer.concat([labelHash, Buffer.alloc(most + 1)]))],
      ['all wrong', encode(hash, Buffer.alloc(good.length, 0xff), 0xff)],
      ['zeroes', Buffer.alloc(k)], ['ones', Buffer.alloc(k, 0xff)], ['another hash', encode(hash === 'sha1' ? 'sha256' : 'sha1', good)],
    ]
    for (const [kind, em] of faults) {
      const seen = (() => {
        try {
          return unpadOaep(hash, em)
        } catch (thrown) {
          return thrown
        }
      })()
      expect(seen, kind).toEqual(refused)
    }
  })

  it('refuses a good message with any one bit changed', () => {
    const good = encode(hash, blockOf(Buffer.from('message')))
    for (let bit = 0; bit < 8 * good.length; bit += 3) {
      const em = Buffer.from(good)
      em[bit >> 3] = (em[bit >> 3] ?? 0) ^ (1 << (bit & 7))
      expect(() => unpadOaep(hash, em)).toThrow(refused)
    }
  })
})
