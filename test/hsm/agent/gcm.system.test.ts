// Where the IV of AES-GCM comes from differs between vendors: drawn by Trent, written by the token into the parameters (CloudHSM), or
// appended to the output (Luna). The module of test/chaos gives a token these habits; node:crypto, which knows the key, opens what was made.
import { execFile } from 'node:child_process'
import { createDecipheriv, randomBytes } from 'node:crypto'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, beforeEach, describe, expect, inject, it } from 'vitest'
import type { GcmIv } from '../../../src/hsm/agent/profile.ts'
import { encodeContext } from '../../../src/keys/context.ts'
import { chaosToken, type ChaosToken } from '../../support/chaos.ts'
import { newFolder, pin, tokenLabel, writeTokenFiles } from '../../support/installation.ts'

const key = randomBytes(32)
const name = { keyId: randomBytes(16).toString('hex'), materialId: randomBytes(32).toString('hex'), backing: 7 }
const context = encodeContext(new Map([['tenant', 'blue']]))
const plaintext = Buffer.from('what only the token may open')

let directory: string
let chaos: ChaosToken

beforeAll(async () => {
  directory = await newFolder('gcm')
  await writeTokenFiles(directory, inject('installation').directory)
  chaos = await chaosToken(directory)
})
afterAll(() => rm(directory, { recursive: true, force: true }))
beforeEach(() => { chaos.clear() })

interface Step {
  readonly action: 'encrypt' | 'decrypt' | 'seal' | 'unseal' | 'canary'
  readonly data?: Buffer
}

/** Resolves to the results in hex, or the errors. */
async function onToken(gcmIv: GcmIv, steps: readonly Step[]): Promise<string[]> {
  const { library, env } = chaos.token
  const request = JSON.stringify({
    library, label: tokenLabel, pin, gcmIv, key: key.toString('hex'), name, context: context.toString('hex'),
    steps: steps.map(({ action, data }) => ({ action, data: data?.toString('hex') })),
  })
  const { stdout } = await promisify(execFile)(process.execPath, [join(import.meta.dirname, '../../support/gcm-device.js'), request], { env: { PATH: process.env.PATH, ...env } })
  return (JSON.parse(stdout) as { result?: string; error?: string }[]).map(({ result, error }) => result ?? error ?? '')
}

const bytes = (hex: string | undefined): Buffer => Buffer.from(hex ?? '', 'hex')

function openByOtherMeans(iv: Buffer, aad: Buffer, sealed: Buffer): Buffer {
  const decipher = createDecipheriv('aes-256-gcm', key, iv)
  decipher.setAAD(aad).setAuthTag(sealed.subarray(-16))
  return Buffer.concat([decipher.update(sealed.subarray(0, -16)), decipher.final()])
}

/** Version, mode, flags, key id, material id, backing number; then the IV. */
const fixedBytes = 55
const conventions = [
  { gcmIv: 'host', habit: undefined, mode: 1, ivBytes: 12 },
  { gcmIv: 'written', habit: 'cloudhsm', mode: 1, ivBytes: 12 },
  { gcmIv: 'appended', habit: 'luna', mode: 3, ivBytes: 16 },
] as const
const use = (habit: 'cloudhsm' | 'luna' | undefined): void => { chaos.control(habit === undefined ? {} : { iv: habit }) }

describe.each(conventions)('an IV that is $gcmIv', ({ gcmIv, habit, mode, ivBytes }) => {
  beforeEach(() => { use(habit) })

  it('stands in the header of each ciphertext, is another each time, and opens it', async () => {
    const encrypt = { action: 'encrypt', data: plaintext } as const
    const blobs = (await onToken(gcmIv, [encrypt, encrypt, encrypt])).map(bytes)
    for (const blob of blobs) {
      expect([blob[0], blob[1], blob[2], blob.length]).toEqual([1, mode, 0, fixedBytes + ivBytes + plaintext.length + 16])
      const header = blob.subarray(0, fixedBytes)
      const iv = blob.subarray(fixedBytes, fixedBytes + ivBytes)
      expect(openByOtherMeans(iv, Buffer.concat([Buffer.from('trent/ct/1'), header, context]), blob.subarray(fixedBytes + ivBytes))).toEqual(plaintext)
    }
    expect(new Set(blobs.map(blob => blob.subarray(fixedBytes, fixedBytes + ivBytes).toString('hex'))).size).toBe(3)
    const opened = await onToken(gcmIv, blobs.map(data => ({ action: 'decrypt', data })))
    expect(opened.map(bytes)).toEqual([plaintext, plaintext, plaintext])
  })

  it('is not to be changed in a ciphertext', async () => {
    const [blob] = (await onToken(gcmIv, [{ action: 'encrypt', data: plaintext }])).map(bytes)
    const changed = Buffer.from(blob ?? '')
    changed[fixedBytes + ivBytes - 1] = (changed[fixedBytes + ivBytes - 1] ?? 0) ^ 1
    expect(await onToken(gcmIv, [{ action: 'decrypt', data: changed }])).toEqual(['Fault: C_Decrypt: CKR_GENERAL_ERROR'])
  })

  it('stands before a sealed credential, is another each time, and opens it', async () => {
    const sealing = { action: 'seal', data: plaintext } as const
    const seals = (await onToken(gcmIv, [sealing, sealing])).map(bytes)
    for (const sealed of seals) {
      expect([sealed[0], sealed.length]).toEqual([ivBytes, 1 + 16 + plaintext.length + 16])
      expect(openByOtherMeans(sealed.subarray(1, 1 + ivBytes), Buffer.concat([Buffer.from('trent/seal/1'), context]), sealed.subarray(17))).toEqual(plaintext)
    }
    expect(new Set(seals.map(sealed => sealed.subarray(1, 17).toString('hex'))).size).toBe(2)
    expect((await onToken(gcmIv, seals.map(data => ({ action: 'unseal', data })))).map(bytes)).toEqual([plaintext, plaintext])
  })

  it('serves the canary, which passes for what the token made and for nothing else', async () => {
    expect(await onToken(gcmIv, [{ action: 'canary' }])).toEqual(['0100'])
  })

  it.each(conventions)('opens on a token where it is $gcmIv', async another => {
    const [blob] = (await onToken(gcmIv, [{ action: 'encrypt', data: plaintext }])).map(bytes)
    use(another.habit)
    expect((await onToken(another.gcmIv, [{ action: 'decrypt', data: blob ?? Buffer.alloc(0) }])).map(bytes)).toEqual([plaintext])
  })
})

describe('a token that does not do as its profile says', () => {
  const all = [{ action: 'canary' }, { action: 'encrypt', data: plaintext }, { action: 'seal', data: plaintext }] as const
  const refusal = (what: string): string[] => all.map(() => `Fatal: AES-GCM: the token ${what}, though its hsm.tokens.profile says that it does`)

  it('is refused when it leaves the zeroes in place: they would be the IV of every message', async () => {
    expect(await onToken('written', all)).toEqual(refusal('writes no IV into its parameters'))
  })

  it('is refused when it takes no IV and appends none', async () => {
    // SoftHSM encrypts under no IV at all.
    expect(await onToken('appended', all)).toEqual(refusal('appends no IV to its output'))
  })

  it.each(['cloudhsm', 'luna'] as const)('is refused when it makes its own IV and is given one (%s)', async habit => {
    use(habit)
    expect(await onToken('host', all)).toEqual(all.map(() => 'Fault: C_EncryptInit: CKR_MECHANISM_PARAM_INVALID'))
  })
})
