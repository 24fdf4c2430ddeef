// The recovery key as a command is given it: a PEM, and its fingerprint typed in from where the key was made.
import { createPublicKey, type KeyObject } from 'node:crypto'
import { readFileSync } from 'node:fs'
import type { Command } from 'commander'
import { StartError } from '../errors.ts'
import { spkiFingerprint } from '../hsm/reseal.ts'
import { ask } from './terminal.ts'

export interface RecoveryOptions {
  readonly recoveryKey?: string
  readonly recoveryFingerprint?: string
}

export const withRecoveryKey = (command: Command): Command => command
  .option('--recovery-key <file>', 'PEM of the RSA public key that the domain is also wrapped to; its private half belongs offline')
  .option('--recovery-fingerprint <hex>', 'SHA-256 of that key\'s SubjectPublicKeyInfo, typed in from where the key was made')

/** PEM of the public key. @throws StartError unless fingerprint and key belong together */
export async function readRecoveryKey(file: string, options: RecoveryOptions): Promise<string> {
  const key = readPublicKey(file)
  await confirmFingerprint(key.export({ type: 'spki', format: 'der' }), { given: options.recoveryFingerprint, option: '--recovery-fingerprint', what: 'the recovery key', of: '--recovery-key' })
  return key.export({ type: 'spki', format: 'pem' }).toString()
}

interface Confirmation {
  /** What the option held, if it was there. */
  readonly given: string | undefined
  readonly option: string
  /** Whose fingerprint is asked for. */
  readonly what: string
  /** Where the key came from. */
  readonly of: string
}

/** @throws StartError when what is typed in is not the fingerprint of this SubjectPublicKeyInfo */
export async function confirmFingerprint(spki: Buffer, { given, option, what, of }: Confirmation): Promise<void> {
  const typed = (given ?? await ask(`Fingerprint of ${what} (SHA-256 of its SPKI, 64 hex digits): `, option)).trim().toLowerCase()
  if (typed !== spkiFingerprint(spki)) throw new StartError(`${option} is not the fingerprint of ${of}: one of the two is not the key that was meant`)
}

function readPublicKey(file: string): KeyObject {
  try {
    return createPublicKey(readFileSync(file))
  } catch {
    throw new StartError(`--recovery-key: ${file} is not a public key in PEM`)
  }
}
