// One PKCS#11 session with synchronous, timed calls. The asynchronous forms of pkcs11js were measured to encrypt freed memory
// when the HSM is slow, so nothing here ever returns before the library has. Output buffers are always sized for the maximum:
// CKR_BUFFER_TOO_SMALL poisons a SoftHSM session.
import type { Handle, Mechanism, PKCS11 } from 'pkcs11js'
import type { Timing, TimedFunction } from './frames.ts'
import { ckr } from './ckr.ts'
import { decapsulateKey, encapsulateKey } from './key-encapsulation.ts'
import { ckrOf, Fault } from './fault.ts'
import { newer } from './newer.ts'
import { query, template, type AttributeName, type Attributes } from './template.ts'

const randomChunkBytes = 1024
/** An ML-DSA-87 private key in PKCS #8, with its seed beside it, is the longest. */
const wrappedLimitBytes = 8192
const tagBytes = 16
/** Luna appends its 16-byte IV to the ciphertext. */
const appendedIvBytes = 16

export class Session {
  readonly p11: PKCS11
  readonly handle: Handle
  #timings: Timing[] = []

  constructor(p11: PKCS11, handle: Handle) {
    this.p11 = p11
    this.handle = handle
  }

  /** The timings since the last call of this, which empties them. */
  takeTimings(): Timing[] {
    const taken = this.#timings
    this.#timings = []
    return taken
  }

  /** C_GenerateRandom, in chunks that every vendor takes. */
  random(length: number): Buffer {
    const bytes = Buffer.alloc(length)
    for (let offset = 0; offset < length; offset += randomChunkBytes) {
      const chunk = Buffer.alloc(Math.min(randomChunkBytes, length - offset))
      this.#timed('C_GenerateRandom', () => this.p11.C_GenerateRandom(this.handle, chunk)).copy(bytes, offset)
      chunk.fill(0)
    }
    return bytes
  }

  encrypt(mechanism: Mechanism, key: Handle, data: Buffer): Buffer {
    this.#timed('C_EncryptInit', () => this.p11.C_EncryptInit(this.handle, mechanism, key))
    const out = Buffer.alloc(data.length + tagBytes + appendedIvBytes)
    return this.#timed('C_Encrypt', () => this.p11.C_Encrypt(this.handle, data, out))
  }

  decrypt(mechanism: Mechanism, key: Handle, data: Buffer): Buffer {
    this.#timed('C_DecryptInit', () => this.p11.C_DecryptInit(this.handle, mechanism, key))
    const out = Buffer.alloc(data.length)
    return this.#timed('C_Decrypt', () => this.p11.C_Decrypt(this.handle, data, out))
  }

  /** HMAC and other signatures; `length` is the largest result. */
  sign(mechanism: Mechanism, key: Handle, data: Buffer, length: number): Buffer {
    this.#timed('C_SignInit', () => this.p11.C_SignInit(this.handle, mechanism, key))
    const out = Buffer.alloc(length)
    return this.#timed('C_Sign', () => this.p11.C_Sign(this.handle, data, out))
  }

  /** Whether the signature is the key's. */
  verify(mechanism: Mechanism, key: Handle, data: Buffer, signature: Buffer): boolean {
    this.#timed('C_VerifyInit', () => { this.p11.C_VerifyInit(this.handle, mechanism, key) })
    try {
      return this.#timed('C_Verify', () => this.p11.C_Verify(this.handle, data, signature))
    } catch (thrown) {
      if (thrown instanceof Fault && (thrown.ckr === ckr.SIGNATURE_INVALID || thrown.ckr === ckr.SIGNATURE_LEN_RANGE)) return false
      throw thrown
    }
  }

  /** A new secret key object for the holder of this public key, and what that holder makes the same secret of. */
  encapsulate(publicKey: Handle, secret: Attributes, ciphertextBytes: number): { ciphertext: Buffer; secret: Handle } {
    return this.#timed('C_EncapsulateKey', () => encapsulateKey({ library: this.p11.libPath, session: this.handle, mechanism: newer.ML_KEM, key: publicKey, attributes: secret }, ciphertextBytes))
  }

  decapsulate(privateKey: Handle, secret: Attributes, ciphertext: Buffer): Handle {
    return this.#timed('C_DecapsulateKey', () => decapsulateKey({ library: this.p11.libPath, session: this.handle, mechanism: newer.ML_KEM, key: privateKey, attributes: secret }, ciphertext))
  }

  generateKey(mechanism: Mechanism, attributes: Attributes): Handle {
    return this.#timed('C_GenerateKey', () => this.p11.C_GenerateKey(this.handle, mechanism, template(attributes)))
  }

  generateKeyPair(mechanism: Mechanism, publicKey: Attributes, privateKey: Attributes): { publicKey: Handle; privateKey: Handle } {
    return this.#timed('C_GenerateKeyPair', () => this.p11.C_GenerateKeyPair(this.handle, mechanism, template(publicKey), template(privateKey)))
  }

  wrap(mechanism: Mechanism, wrappingKey: Handle, key: Handle): Buffer {
    const out = Buffer.alloc(wrappedLimitBytes)
    return Buffer.from(this.#timed('C_WrapKey', () => this.p11.C_WrapKey(this.handle, mechanism, wrappingKey, key, out)))
  }

  unwrap(mechanism: Mechanism, unwrappingKey: Handle, blob: Buffer, attributes: Attributes): Handle {
    return this.#timed('C_UnwrapKey', () => this.p11.C_UnwrapKey(this.handle, mechanism, unwrappingKey, blob, template(attributes)))
  }

  derive(mechanism: Mechanism, key: Handle, attributes: Attributes): Handle {
    return this.#timed('C_DeriveKey', () => this.p11.C_DeriveKey(this.handle, mechanism, key, template(attributes)))
  }

  create(attributes: Attributes): Handle {
    return this.#timed('C_CreateObject', () => this.p11.C_CreateObject(this.handle, template(attributes)))
  }

  copy(object: Handle, attributes: Attributes): Handle {
    return this.#timed('C_CopyObject', () => this.p11.C_CopyObject(this.handle, object, template(attributes)))
  }

  destroy(object: Handle): void {
    this.#timed('C_DestroyObject', () => this.p11.C_DestroyObject(this.handle, object))
  }

  /** At most `limit` handles; callers that need one ask for two, so that they can refuse an ambiguous match. */
  find(attributes: Attributes, limit: number): Handle[] {
    return this.#timed('C_FindObjects', () => {
      this.p11.C_FindObjectsInit(this.handle, template(attributes))
      try {
        return this.p11.C_FindObjects(this.handle, limit)
      } finally {
        this.p11.C_FindObjectsFinal(this.handle)
      }
    })
  }

  get(object: Handle, name: AttributeName): Buffer {
    const [result] = this.#timed('C_GetAttributeValue', () => this.p11.C_GetAttributeValue(this.handle, object, query(name)))
    // A copy of pkcs11js's own already: a second one would stay behind unwiped where it is a secret.
    return result === undefined ? Buffer.alloc(0) : result.value
  }

  set(object: Handle, attributes: Attributes): void {
    this.#timed('C_SetAttributeValue', () => this.p11.C_SetAttributeValue(this.handle, object, template(attributes)))
  }

  #timed<T>(call: TimedFunction, run: () => T): T {
    const start = performance.now()
    try {
      return run()
    } catch (thrown) {
      throw thrown instanceof Fault ? thrown : new Fault(call, ckrOf(thrown))
    } finally {
      this.#timings.push({ call, nanoseconds: (performance.now() - start) * 1e6 })
    }
  }
}
