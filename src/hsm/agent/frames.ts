// What crosses the unix socket between a gateway and an agent's worker: closed verbs and length-prefixed fields, little-endian.
// The numbers are final: gateways and agents of two versions meet while one is replaced by the other.
//
//   request  u32 length of the rest | u32 id | u8 verb | fields, each u32 length and bytes
//   answer   u32 length of the rest | u32 id | u8 status | u32 CKR | f64 ns in the queue
//            | u8 n, then n times: u8 PKCS#11 function, f64 ns | payload
//
// No frame carries a mechanism, an attribute or a bare blob. The first two fields of a verb that uses a key are the row's name
// (64 bytes, see row-name.ts) and the row itself, which is empty until the agent asks for it with `needRow`.

/** Verb numbers. What has no handler in verbs.ts yet keeps its number and is answered `unsupported`. */
export const verbs = {
  canary: 1, random: 2, create: 3, destroy: 4, encrypt: 5, decrypt: 6, reencrypt: 7, sign: 8, mac: 9, derive: 10, encapsulate: 11,
  decapsulate: 12, import: 13, seal: 14, unseal: 15, authenticate: 16, verify: 17,
} as const
export type Verb = keyof typeof verbs

export const statuses = {
  ok: 0,
  /** The worker has no handle for this name: send again with the row. */
  needRow: 1,
  /** The row's MAC is not the token's, or the key may not do this verb. */
  refused: 2,
  /** Wrong inside a ciphertext, or its context: one status for all of it. */
  invalid: 3,
  /** The HSM failed in a way that no repeat can help; CKR says how. */
  fault: 4,
  unsupported: 5,
  /** The device failed, but its canary passes: worth sending again, to another worker. */
  again: 6,
  /** The agent has lost its token, and its supervisor knows: worth sending again, to its successor. */
  lost: 7,
  /** The call came to its turn, or to the agent, after its time: it was not begun. */
  late: 8,
  /** A plaintext does not fit the key to which it was to be encrypted again. */
  tooLong: 9,
} as const
export type Status = keyof typeof statuses

/** The PKCS#11 functions that answers time, by number. New ones go to the end. */
export const timedFunctions = [
  'C_GenerateRandom', 'C_EncryptInit', 'C_Encrypt', 'C_DecryptInit', 'C_Decrypt', 'C_SignInit', 'C_Sign', 'C_GenerateKey',
  'C_GenerateKeyPair', 'C_WrapKey', 'C_UnwrapKey', 'C_FindObjects', 'C_CreateObject', 'C_DestroyObject', 'C_GetAttributeValue', 'C_DeriveKey',
  'C_OpenSession', 'C_Login', 'C_CopyObject', 'C_SetAttributeValue', 'C_VerifyInit', 'C_Verify', 'C_EncapsulateKey', 'C_DecapsulateKey',
] as const
export type TimedFunction = (typeof timedFunctions)[number]

export interface Timing {
  readonly call: TimedFunction
  readonly nanoseconds: number
}

export interface RequestFrame {
  readonly id: number
  readonly verb: number
  readonly fields: readonly Buffer[]
}

export interface AnswerFrame {
  readonly id: number
  readonly status: Status
  readonly ckr: number
  readonly queueNanoseconds: number
  readonly timings: readonly Timing[]
  readonly payload: Buffer
}

/** Nothing legitimate comes near it: a plaintext is at most 4,096 bytes, a wrapped RSA-4096 key under 3 kB, a context under 1 MiB. */
export const frameLimitBytes = 2 * 1024 * 1024

export class FrameError extends Error {
  override readonly name = 'FrameError'
}

const statusNames = Object.keys(statuses) as Status[]

export function encodeRequest(id: number, verb: Verb, fields: readonly Buffer[]): Buffer {
  let length = 5
  for (const field of fields) length += 4 + field.length
  const frame = Buffer.allocUnsafe(4 + length)
  frame.writeUInt32LE(length, 0)
  frame.writeUInt32LE(id, 4)
  frame[8] = verbs[verb]
  let offset = 9
  for (const field of fields) {
    frame.writeUInt32LE(field.length, offset)
    offset += 4 + field.copy(frame, offset + 4)
  }
  return frame
}

/** @throws FrameError when lengths do not add up: the connection is then closed, since nothing after it can be trusted. */
export function decodeRequest(frame: Buffer): RequestFrame {
  if (frame.length < 5) throw new FrameError('request too short')
  const fields: Buffer[] = []
  let offset = 5
  while (offset < frame.length) {
    if (frame.length - offset < 4) throw new FrameError('field length cut off')
    const end = offset + 4 + frame.readUInt32LE(offset)
    if (end > frame.length) throw new FrameError('field runs past its frame')
    fields.push(frame.subarray(offset + 4, end))
    offset = end
  }
  return { id: frame.readUInt32LE(0), verb: frame[4] ?? 0, fields }
}

const timingBytes = 9
const answerBytes = 18

export function encodeAnswer(answer: AnswerFrame): Buffer {
  const length = answerBytes + answer.timings.length * timingBytes + answer.payload.length
  const frame = Buffer.allocUnsafe(4 + length)
  frame.writeUInt32LE(length, 0)
  frame.writeUInt32LE(answer.id, 4)
  frame[8] = statuses[answer.status]
  frame.writeUInt32LE(answer.ckr, 9)
  frame.writeDoubleLE(answer.queueNanoseconds, 13)
  frame[21] = answer.timings.length
  let offset = 22
  for (const { call, nanoseconds } of answer.timings) {
    frame[offset] = timedFunctions.indexOf(call)
    frame.writeDoubleLE(nanoseconds, offset + 1)
    offset += timingBytes
  }
  answer.payload.copy(frame, offset)
  return frame
}

/** @throws FrameError */
export function decodeAnswer(frame: Buffer): AnswerFrame {
  const count = frame[17]
  const status = statusNames[frame[4] ?? -1]
  if (count === undefined || status === undefined || frame.length < answerBytes + count * timingBytes) throw new FrameError('answer cut off')
  const timings: Timing[] = []
  let offset = answerBytes
  for (let i = 0; i < count; i++, offset += timingBytes) {
    const call = timedFunctions[frame[offset] ?? -1]
    if (call !== undefined) timings.push({ call, nanoseconds: frame.readDoubleLE(offset + 1) })
  }
  return { id: frame.readUInt32LE(0), status, ckr: frame.readUInt32LE(5), queueNanoseconds: frame.readDoubleLE(9), timings, payload: frame.subarray(offset) }
}

/** Cuts a byte stream into frames. Keeps at most one unfinished frame. */
export class FrameReader {
  #rest: Buffer = Buffer.alloc(0)

  /** The complete frames, without their length, in what has come so far. @throws FrameError over the limit. */
  push(chunk: Buffer): Buffer[] {
    let bytes = this.#rest.length === 0 ? chunk : joined(this.#rest, chunk)
    const frames: Buffer[] = []
    while (bytes.length >= 4) {
      const length = bytes.readUInt32LE(0)
      if (length > frameLimitBytes) throw new FrameError('frame over the limit')
      if (bytes.length < 4 + length) break
      frames.push(bytes.subarray(4, 4 + length))
      bytes = bytes.subarray(4 + length)
    }
    this.#rest = bytes
    return frames
  }
}

/** Frames may hold plaintext: of the copies one is read and wiped by who reads it, the others here. */
function joined(rest: Buffer, chunk: Buffer): Buffer {
  const bytes = Buffer.concat([rest, chunk])
  rest.fill(0)
  chunk.fill(0)
  return bytes
}
