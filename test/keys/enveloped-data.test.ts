// The form that aws-nitro-enclaves-sdk-c reads (source/cms.c): which lengths are indefinite, and where the parts stand. That OpenSSL opens it is
// in test/operations/recipient.system.test.ts.
import { constants, createDecipheriv, generateKeyPairSync, privateDecrypt, randomBytes } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { envelopedData } from '../../src/keys/enveloped-data.ts'

const { publicKey, privateKey } = generateKeyPairSync('rsa', { modulusLength: 2_048 })

/** Reads on from one place; throws where something else stands there. */
class Reader {
  readonly #bytes: Buffer
  #at = 0

  constructor(bytes: Buffer) {
    this.#bytes = bytes
  }

  expect(hex: string): void {
    const length = hex.length / 2
    expect(this.#bytes.subarray(this.#at, this.#at + length).toString('hex')).toBe(hex)
    this.#at += length
  }

  /** The content of an element with a definite length. */
  element(tag: number): Buffer {
    expect(this.#bytes[this.#at]).toBe(tag)
    const first = this.#bytes[this.#at + 1] ?? 0
    const more = first < 0x80 ? 0 : first & 0x7f
    const length = more === 0 ? first : this.#bytes.readUIntBE(this.#at + 2, more)
    const start = this.#at + 2 + more
    this.#at = start + length
    return this.#bytes.subarray(start, this.#at)
  }

  get isAtEnd(): boolean {
    return this.#at === this.#bytes.length
  }
}

describe('an envelope', () => {
  it.each([1, 16, 32, 1_024, 2_400])('of %i bytes has the form of AWS\'s, and its parts open', length => {
    const content = randomBytes(length)
    const reader = new Reader(envelopedData(publicKey, content))
    reader.expect('3080' + '06092a864886f70d010703' + 'a080' + '3080' + '020102')
    const infos = new Reader(reader.element(0x31))
    reader.expect('3080' + '06092a864886f70d010701')
    const algorithm = new Reader(reader.element(0x30))
    reader.expect('a080')
    const encrypted = reader.element(0x04)
    reader.expect('0000'.repeat(5))
    expect(reader.isAtEnd).toBe(true)

    const info = new Reader(infos.element(0x30))
    expect(infos.isAtEnd).toBe(true)
    info.expect('020102')
    expect(info.element(0x80)).toHaveLength(32)
    const oaep = info.element(0x30).toString('hex')
    expect(oaep).toMatch(/^06092a864886f70d010107/)
    const key = privateDecrypt({ key: privateKey, padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: 'sha256' }, info.element(0x04))
    expect(info.isAtEnd).toBe(true)

    algorithm.expect('060960864801650304012a')
    const decipher = createDecipheriv('aes-256-cbc', key, algorithm.element(0x04))
    expect(Buffer.concat([decipher.update(encrypted), decipher.final()])).toEqual(content)
  })

  it('is another each time, and leaves the content as it was', () => {
    const content = Buffer.from('content')
    expect(envelopedData(publicKey, content)).not.toEqual(envelopedData(publicKey, content))
    expect(content.toString()).toBe('content')
  })
})
