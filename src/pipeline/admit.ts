// Whether a key may do what it is asked: the right key for the ciphertext, its state, its usage, its algorithms. In AWS's order:
// the wrong key beats the usage, the usage beats the algorithm.
import { invalidCiphertext } from '../keys/ciphertext.ts'
import { keyIdBytes } from '../keys/identifier.ts'
import { isRsaEncryption, keySpecs } from '../keys/spec.ts'
import { stateError } from '../keys/state.ts'
import { KmsError } from '../errors.ts'
import type { KeyEntry } from '../cache/key-entry.ts'
import type { KeyNeed, ParsedInput } from '../operations/operation.ts'
import { ignoresCiphertext } from './dry-run.ts'
import type { ResolvedKey } from './resolve.ts'

/** @throws InvalidCiphertextException, IncorrectKeyException, DisabledException, KMSInvalidStateException, InvalidKeyUsageException */
export function admit(input: ParsedInput, resolved: readonly ResolvedKey[], keys: Readonly<Record<string, KeyEntry>>): void {
  for (const one of resolved) {
    const entry = keys[one.name]
    if (entry !== undefined) admitKey(input, one, entry)
  }
}

function admitKey(input: ParsedInput, { need, header }: ResolvedKey, { key }: KeyEntry): void {
  const algorithm = need.algorithm === undefined ? undefined : input[need.algorithm]
  // What an RSA key encrypted names no key.
  if (need.key.kind === 'ciphertext' && !isRsaEncryption(algorithm) && input[need.key.blob] !== undefined && !ignoresCiphertext(input)) {
    if (header === undefined) throw invalidCiphertext()
    if (!header.keyId.equals(keyIdBytes(key.id)) || header.multiRegion !== key.multiRegion) {
      throw new KmsError('IncorrectKeyException', 'The key ID in the request does not identify a CMK that can perform this operation.')
    }
  }
  if (need.states !== 'any' && !need.states.includes(key.state)) throw stateError(key.arn, key.state)
  if (need.usage !== undefined && key.usage !== need.usage) {
    throw new KmsError('InvalidKeyUsageException', `${key.arn} key usage is ${key.usage} which is not valid for ${actionOf(need)}.`)
  }
  if (need.symmetric === true && key.spec !== 'SYMMETRIC_DEFAULT') throw new KmsError('InvalidKeyUsageException', 'You cannot generate a data key with an asymmetric CMK')
  if (typeof algorithm === 'string' && !(keySpecs[key.spec].usages[key.usage] ?? []).includes(algorithm)) {
    throw new KmsError('InvalidKeyUsageException', `Algorithm ${algorithm} is incompatible with key spec ${key.spec}.`)
  }
}

/** What AWS calls the side of the operation: its own name, but ReEncryptTo for the destination of ReEncrypt. */
const actionOf = ({ permission }: KeyNeed): string => permission.slice('kms:'.length)
