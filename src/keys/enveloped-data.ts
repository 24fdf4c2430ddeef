// CMS EnvelopedData (RFC 5652, section 6; RFC 3560 for RSA-OAEP) for one recipient that is known by its public key: what AWS KMS answers as
// CiphertextForRecipient. The content key is encrypted by RSAES-OAEP with SHA-256, the content by AES-256-CBC. Lengths are indefinite
// where AWS's are (BER, X.690, 8.1.3.6): the parser of aws-nitro-enclaves-sdk-c steps into these elements and knows no other form.
import { constants, createCipheriv, createHash, publicEncrypt, randomBytes, type KeyObject } from 'node:crypto'
import { der, derInteger, tags } from './der.ts'

const oid = (hex: string): Buffer => Buffer.from(hex, 'hex')
const oids = {
  data: oid('06092a864886f70d010701'), envelopedData: oid('06092a864886f70d010703'), rsaOaep: oid('06092a864886f70d010107'), mgf1: oid('06092a864886f70d010108'),
  sha256: oid('0609608648016503040201'), aes256Cbc: oid('060960864801650304012a'),
}
const set = 0x31
/** Context-specific: [0] and [1] around elements, and [0] instead of the tag of a string. */
const [around0, around1, instead0] = [0xa0, 0xa1, 0x80]
const nothing = Buffer.from([0x05, 0x00])
const endOfContents = Buffer.alloc(2)
const indefinite = (tag: number, ...parts: readonly Buffer[]): Buffer => Buffer.concat([Buffer.from([tag, 0x80]), ...parts, endOfContents])
/** Of EnvelopedData and of a recipient that a key identifier names. */
const version = derInteger(Buffer.from([2]))

const sha256 = der(tags.sequence, oids.sha256, nothing)
const rsaOaep = der(tags.sequence, oids.rsaOaep, der(tags.sequence, der(around0, sha256), der(around1, der(tags.sequence, oids.mgf1, sha256))))

/** A ContentInfo. `content` stays the caller's. */
export function envelopedData(recipient: KeyObject, content: Buffer): Buffer {
  const [key, iv] = [randomBytes(32), randomBytes(16)]
  try {
    const cipher = createCipheriv('aes-256-cbc', key, iv)
    const encrypted = Buffer.concat([cipher.update(content), cipher.final()])
    const encryptedKey = publicEncrypt({ key: recipient, padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: 'sha256' }, key)
    const recipientInfo = der(tags.sequence, version, der(instead0, keyIdentifier(recipient)), rsaOaep, der(tags.octetString, encryptedKey))
    const encryptedContent = indefinite(tags.sequence, oids.data, der(tags.sequence, oids.aes256Cbc, der(tags.octetString, iv)), indefinite(around0, der(tags.octetString, encrypted)))
    return indefinite(tags.sequence, oids.envelopedData, indefinite(around0, indefinite(tags.sequence, version, der(set, recipientInfo), encryptedContent)))
  } finally {
    key.fill(0)
  }
}

/** The SHA-256 of the key's bits, which of an RSA key are its PKCS #1 form: as long as AWS's. */
const keyIdentifier = (key: KeyObject): Buffer => createHash('sha256').update(key.export({ type: 'pkcs1', format: 'der' })).digest()
