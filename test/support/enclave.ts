// A maker of enclaves of our own: certificates up to a root, and attestation documents that they sign.
import { execFileSync } from 'node:child_process'
import { createPrivateKey, generateKeyPairSync, randomBytes, sign, X509Certificate, type KeyObject } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { encode, Tag } from 'cbor2'

export interface Authority {
  readonly certificate: X509Certificate
  readonly key: KeyObject
}

export interface Maker {
  readonly root: Authority
  readonly between: Authority
  /** Signs documents. */
  readonly signer: Authority
  /** Another certificate below one of these. */
  issue(issuer: Authority, name: string, options?: { readonly ca?: boolean; readonly curve?: string; readonly days?: number }): Authority
}

/** Root, one authority below it, and an enclave's certificate for a day. */
export function makeMaker(): Maker {
  const root = certify('root', undefined, { ca: true, days: 30 })
  const between = certify('between', root, { ca: true, days: 20 })
  return { root, between, signer: certify('enclave', between, { days: 1 }), issue: (issuer, name, options = {}) => certify(name, issuer, options) }
}

function certify(name: string, issuer: Authority | undefined, { ca = false, curve = 'secp384r1', days = 1 }: { readonly ca?: boolean; readonly curve?: string; readonly days?: number }): Authority {
  const folder = mkdtempSync(join(tmpdir(), 'trent-enclave-'))
  const file = (suffix: string): string => join(folder, suffix)
  const openssl = (...words: string[]): void => { execFileSync('openssl', words, { stdio: ['ignore', 'ignore', 'pipe'] }) }
  try {
    openssl('ecparam', '-name', curve, '-genkey', '-noout', '-out', file('key'))
    openssl('req', '-new', '-key', file('key'), '-subj', `/CN=${name}`, '-out', file('request'))
    writeFileSync(file('extensions'), `basicConstraints=critical,CA:${ca ? 'true' : 'false'}\n`)
    const by = issuer === undefined ? ['-signkey', file('key')] : ['-CA', file('issuer'), '-CAkey', file('issuer-key'), '-set_serial', String(randomBytes(4).readUInt32LE() + 1)]
    if (issuer !== undefined) {
      writeFileSync(file('issuer'), issuer.certificate.toString())
      writeFileSync(file('issuer-key'), issuer.key.export({ type: 'pkcs8', format: 'pem' }), { mode: 0o600 })
    }
    openssl('x509', '-req', '-in', file('request'), ...by, '-sha384', '-days', String(days), '-extfile', file('extensions'), '-out', file('certificate'))
    return { certificate: new X509Certificate(readFileSync(file('certificate'))), key: createPrivateKey(readFileSync(file('key'))) }
  } finally {
    rmSync(folder, { recursive: true })
  }
}

export interface Enclave {
  readonly publicKey: KeyObject
  readonly privateKey: KeyObject
}
export const newEnclave = (modulusLength = 2_048): Enclave => generateKeyPairSync('rsa', { modulusLength })

export const pcrs = new Map(Array.from({ length: 16 }, (_, register) => [register, new Uint8Array(48).fill(register)]))
const empty = new Uint8Array()

/** What an enclave's security module says of it. */
export const payloadOf = ({ root, between, signer }: Maker, { publicKey }: Enclave, changes: Readonly<Record<string, unknown>> = {}): Map<string, unknown> => new Map(Object.entries({
  module_id: 'i-0123456789abcdef0-enc0123456789abcdef', digest: 'SHA384', timestamp: Date.now(), pcrs, certificate: new Uint8Array(signer.certificate.raw),
  cabundle: [root, between].map(({ certificate }) => new Uint8Array(certificate.raw)), public_key: new Uint8Array(publicKey.export({ type: 'spki', format: 'der' })), user_data: null, nonce: null, ...changes,
}).filter(([, value]) => value !== undefined))

export interface Signing {
  readonly key: KeyObject
  readonly hash?: string
  /** COSE's number. */
  readonly algorithm?: number
  readonly tagged?: boolean
}

export function signed(payload: unknown, { key, hash = 'sha384', algorithm = -35, tagged = false }: Signing): Buffer {
  const header = encode(new Map([[1, algorithm]]))
  const body = payload instanceof Uint8Array ? payload : encode(payload)
  const signature = sign(hash, encode(['Signature1', header, empty, body]), { key, dsaEncoding: 'ieee-p1363' })
  const parts = [header, new Map(), body, new Uint8Array(signature)]
  return Buffer.from(encode(tagged ? new Tag(18, parts) : parts))
}

export const documentOf = (maker: Maker, enclave: Enclave, changes: Readonly<Record<string, unknown>> = {}): Buffer => signed(payloadOf(maker, enclave, changes), { key: maker.signer.key })
