// CMS EnvelopedData (RFC 5652, section 6; RFC 3560 for RSA-OAEP) for one recipient that is known by its public key: what AWS KMS answers as
// CiphertextForRecipient. The content key is encrypted by RSAES-OAEP with SHA-256, the content by AES-256-CBC.
import { constants, createCipheriv, createHash, publicEncrypt, randomBytes, type KeyObject } from 'node:crypto'
import { der, derInteger, tags } from './der.ts'

const oid = (hex: string): Buffer => Buffer.from(hex, 'hex')
const oids = {
  data: oid('06092a864886f70d010701'), envelopedData: oid('06092a864886f70d010703'), rsaOaep: oid('06092a864886f70d010107'), mgf1: oid('06092a864886f70d010108'),
  sha256: oid('0609608648016503040201'), aes256Cbc: oid('060960864801650304012a'),
}
const set = 0x31
/** Context-specific: [0] and [1] around an element, and [0] instead of the tag of a string. */
const [around0, around1, instead0] = [0xa0, 0xa1, 0x80]
const nothing = Buffer.from([0x05, 0x00])
/** Of EnvelopedData and of a recipient that a key identifier names. */
const version = derInteger(Buffer.from([2]))

const sha256 = der(tags.sequence, oids.sha256, nothing)
const rsaOaep = der(tags.sequence, oids.rsaOaep, der(tags.sequence, der(around0, sha256), der(around1, der(tags.sequence, oids.mgf1, sha256))))

/** A ContentInfo in DER. `content` stays the caller's. */
export function envelopedData(recipient: KeyObject, content: Buffer): Buffer {
  const [key, iv] = [randomBytes(32), randomBytes(16)]
  try {
    const cipher = createCipheriv('aes-256-cbc', key, iv)
    const encrypted = Buffer.concat([cipher.update(content), cipher.final()])
    const encryptedKey = publicEncrypt({ key: recipient, padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: 'sha256' }, key)
    const recipientInfo = der(tags.sequence, version, der(instead0, keyIdentifier(recipient)), rsaOaep, der(tags.octetString, encryptedKey))
    const encryptedContent = der(tags.sequence, oids.data, der(tags.sequence, oids.aes256Cbc, der(tags.octetString, iv)), der(instead0, encrypted))
    return der(tags.sequence, oids.envelopedData, der(around0, der(tags.sequence, version, der(set, recipientInfo), encryptedContent)))
  } finally {
    key.fill(0)
  }
}

/** RFC 7093, method 1: the leftmost 160 bits of the SHA-256 of the key's bits, which of an RSA key are its PKCS #1 form. */
const keyIdentifier = (key: KeyObject): Buffer => createHash('sha256').update(key.export({ type: 'pkcs1', format: 'der' })).digest().subarray(0, 20)
