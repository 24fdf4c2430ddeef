// What the holder of the recovery key does, on a machine of their own: opens a domain's recovery envelopes and seals the same keys for the
// transport key of one token. Nothing here needs a configuration, a database or a token.
import { constants, createHash, createPublicKey, privateDecrypt, publicEncrypt, type KeyObject } from 'node:crypto'
import { StartError } from '../errors.ts'
import type { DomainEnvelope } from './agent/control.ts'

/** What a token that wants the keys of a domain asks with. Buffers are base64. */
export interface DomainRequest {
  readonly format: 'trent/domain-request/1'
  /** 32 hex digits. */
  readonly domainId: string
  readonly token: { readonly label: string; readonly serial: string }
  /** SubjectPublicKeyInfo of the token's transport key. */
  readonly spki: string
  readonly oaepHash: 'SHA-1' | 'SHA-256'
  /** The recovery envelopes, the oldest version first. */
  readonly versions: readonly (DomainEnvelope & { readonly recoveryFingerprint: string })[]
}

export interface DomainResponse {
  readonly format: 'trent/domain-response/1'
  readonly domainId: string
  readonly serial: string
  readonly envelopes: readonly DomainEnvelope[]
}

const keyBytes = 32
const hashes = { 'SHA-1': 'sha1', 'SHA-256': 'sha256' } as const

/** SHA-256 of a SubjectPublicKeyInfo in DER: 64 hex digits, by which keys are named to people. */
export const spkiFingerprint = (spki: Buffer): string => createHash('sha256').update(spki).digest('hex')

/** @throws StartError for a recovery key that is not the one of a version, and for an envelope that it does not open */
export function reseal(request: DomainRequest, recoveryKey: KeyObject): DomainResponse {
  const own = spkiFingerprint(createPublicKey(recoveryKey).export({ type: 'spki', format: 'der' }))
  const recipient = createPublicKey({ key: Buffer.from(request.spki, 'base64'), format: 'der', type: 'spki' })
  const carry = (envelope: string, version: number): string => {
    const key = open(Buffer.from(envelope, 'base64'), recoveryKey)
    if (key?.length !== keyBytes) throw new StartError(`the recovery key does not open the envelope of version ${version}`)
    try {
      return publicEncrypt({ key: recipient, padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: hashes[request.oaepHash] }, key).toString('base64')
    } finally {
      key.fill(0)
    }
  }
  return {
    format: 'trent/domain-response/1', domainId: request.domainId, serial: request.token.serial,
    envelopes: request.versions.map(({ version, domainKey, integrityKey, recoveryFingerprint }) => {
      if (recoveryFingerprint !== own) throw new StartError(`version ${version} was wrapped to the recovery key ${recoveryFingerprint}, the key given is ${own}`)
      return { version, domainKey: carry(domainKey, version), integrityKey: carry(integrityKey, version) }
    }),
  }
}

/** The envelope does not say which hash its token used; a wrong one fails as wrong padding does. */
function open(envelope: Buffer, recoveryKey: KeyObject): Buffer | undefined {
  for (const oaepHash of Object.values(hashes)) {
    try {
      return privateDecrypt({ key: recoveryKey, padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash }, envelope)
    } catch {
      // The other hash, or not for this key.
    }
  }
  return undefined
}

/** @throws StartError for a file that holds something else */
export function readRequest(text: string): DomainRequest {
  const found = parse(text) as Partial<DomainRequest> | undefined
  const { domainId, spki, oaepHash, token, versions } = found ?? {}
  if (found?.format !== 'trent/domain-request/1' || !isHex(domainId) || typeof spki !== 'string' || (oaepHash !== 'SHA-1' && oaepHash !== 'SHA-256')
    || typeof token?.label !== 'string' || typeof token.serial !== 'string' || !isVersions(versions)) throw new StartError('the file holds no request of `trent hsm add-token --request`')
  return found as DomainRequest
}

/** @throws StartError for a file that holds something else */
export function readResponse(text: string): DomainResponse {
  const found = parse(text) as Partial<DomainResponse> | undefined
  const { domainId, serial, envelopes } = found ?? {}
  if (found?.format !== 'trent/domain-response/1' || !isHex(domainId) || typeof serial !== 'string' || !isVersions(envelopes)) throw new StartError('the file holds no response of `trent hsm reseal`')
  return found as DomainResponse
}

const isHex = (value: unknown): value is string => typeof value === 'string' && /^[0-9a-f]{32}$/.test(value)

const isVersions = (value: unknown): value is readonly DomainEnvelope[] => Array.isArray(value) && value.length > 0 && value.every((one: Partial<DomainEnvelope> | null) =>
  Number.isInteger(one?.version) && typeof one?.domainKey === 'string' && typeof one.integrityKey === 'string')

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
