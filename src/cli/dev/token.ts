// The SoftHSM token of ./dev and the recovery key of its domain: files that an operator would make by hand, once.
import { createHash, createPublicKey, generateKeyPairSync, randomBytes, randomInt } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { StartError } from '../../errors.ts'
import { writeSecret, type DataFolder } from './data-folder.ts'

export const tokenLabel = 'trent-dev'

const libraries = [
  '/usr/lib/softhsm/libsofthsm2.so',
  '/usr/lib64/softhsm/libsofthsm2.so',
  '/usr/lib64/pkcs11/libsofthsm2.so',
  `/usr/lib/${process.arch === 'arm64' ? 'aarch64' : 'x86_64'}-linux-gnu/softhsm/libsofthsm2.so`,
  '/usr/local/lib/softhsm/libsofthsm2.so',
  '/opt/homebrew/lib/softhsm/libsofthsm2.so',
]

/** @throws StartError where SoftHSM is not installed. */
export function softhsmLibrary(): string {
  const found = libraries.find((path) => existsSync(path))
  if (!found) throw new StartError('SoftHSM is not installed: install softhsm2 (apt-get install softhsm2, or brew install softhsm)')
  return found
}

export const softhsmConfig = (data: DataFolder): string => join(data.softhsm, 'softhsm2.conf')

/** Written beside the token once it is whole: a token store without it is the rest of a killed run and never held a key. */
const marker = (data: DataFolder) => join(data.softhsm, 'initialised')

export const isTokenWhole = (data: DataFolder): boolean => existsSync(marker(data))
export const markTokenWhole = (data: DataFolder): void => writeSecret(marker(data), '')

/** Makes an empty token store with fresh PINs, in place of an unfinished one. */
export function prepareTokenStore(data: DataFolder): void {
  rmSync(data.softhsm, { recursive: true, force: true })
  const tokens = join(data.softhsm, 'tokens')
  mkdirSync(tokens, { recursive: true, mode: 0o700 })
  writeFileSync(softhsmConfig(data), `directories.tokendir = ${tokens}\nobjectstore.backend = file\nlog.level = ERROR\n`, { mode: 0o600 })
  writeSecret(data.pin, `${randomInt(10 ** 11, 10 ** 12)}\n`)
  writeSecret(data.soPin, `${randomBytes(12).toString('hex')}\n`)
}

/** Makes the RSA-3072 recovery key pair once. Resolves to the SHA-256 of its SPKI in hex, as an operator would type it in. */
export function recoveryFingerprint(data: DataFolder): string {
  if (!existsSync(data.recoveryKey)) {
    const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 3072 })
    writeSecret(data.recoveryKey, privateKey.export({ type: 'pkcs8', format: 'pem' }) as string)
  }
  const publicKey = createPublicKey(readFileSync(data.recoveryKey))
  writeSecret(data.recoveryPublicKey, publicKey.export({ type: 'spki', format: 'pem' }) as string)
  return createHash('sha256').update(publicKey.export({ type: 'spki', format: 'der' })).digest('hex')
}
