import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  decodeAnswer, decodeRequest, encodeAnswer, encodeRequest, FrameError, frameLimitBytes, FrameReader, statuses, timedFunctions, verbs,
  type AnswerFrame, type Status, type TimedFunction, type Verb,
} from '../../../src/hsm/agent/frames.ts'

const u32 = fc.nat({ max: 0xffffffff })
const buffer = (maxLength: number): fc.Arbitrary<Buffer> => fc.uint8Array({ maxLength }).map(one => Buffer.from(one))
const verb = fc.constantFrom(...Object.keys(verbs) as Verb[])
const answers: fc.Arbitrary<AnswerFrame> = fc.record({
  id: u32, status: fc.constantFrom(...Object.keys(statuses) as Status[]), ckr: u32, queueNanoseconds: fc.double({ noNaN: true }),
  timings: fc.array(fc.record({ call: fc.constantFrom<TimedFunction>(...timedFunctions), nanoseconds: fc.double({ noNaN: true }) }), { maxLength: 20 }),
  payload: buffer(100),
})

/** A frame without its length, as FrameReader hands it out. */
const rest = (frame: Buffer): Buffer => frame.subarray(4)

describe('numbers', () => {
  it('of verbs, statuses and functions are final', () => {
    expect(verbs).toEqual({
      canary: 1, random: 2, create: 3, destroy: 4, encrypt: 5, decrypt: 6, reencrypt: 7, sign: 8, mac: 9, derive: 10, encapsulate: 11,
      decapsulate: 12, import: 13, seal: 14, unseal: 15, authenticate: 16, verify: 17,
    })
    expect(statuses).toEqual({ ok: 0, needRow: 1, refused: 2, invalid: 3, fault: 4, unsupported: 5, again: 6, lost: 7, late: 8, tooLong: 9 })
    expect(timedFunctions).toEqual([
      'C_GenerateRandom', 'C_EncryptInit', 'C_Encrypt', 'C_DecryptInit', 'C_Decrypt', 'C_SignInit', 'C_Sign', 'C_GenerateKey', 'C_GenerateKeyPair', 'C_WrapKey',
      'C_UnwrapKey', 'C_FindObjects', 'C_CreateObject', 'C_DestroyObject', 'C_GetAttributeValue', 'C_DeriveKey', 'C_OpenSession', 'C_Login', 'C_CopyObject', 'C_SetAttributeValue',
      'C_VerifyInit', 'C_Verify', 'C_EncapsulateKey', 'C_DecapsulateKey',
    ])
  })
})

describe('requests', () => {
  it('are length, id, verb and length-prefixed fields, little-endian', () => {
    expect(encodeRequest(0x01020304, 'encrypt', [Buffer.from('ab'), Buffer.alloc(0)]).toString('hex'))
      .toBe('0f000000' + '04030201' + '05' + '02000000' + '6162' + '00000000')
  })

  it('give back what was sent', () => {
    fc.assert(fc.property(u32, verb, fc.array(buffer(50), { maxLength: 6 }), (id, name, fields) => {
      expect(decodeRequest(rest(encodeRequest(id, name, fields)))).toEqual({ id, verb: verbs[name], fields })
    }))
  })

  it('throw nothing but FrameError, whatever the bytes; what is read encodes to the same bytes', () => {
    fc.assert(fc.property(fc.oneof(buffer(200), fc.tuple(u32, verb, fc.array(buffer(20), { maxLength: 4 }), fc.nat(), fc.nat({ max: 255 })).map(([id, name, fields, at, value]) => {
      const frame = Buffer.from(rest(encodeRequest(id, name, fields)))
      frame[at % frame.length] = value
      return frame
    })), frame => {
      try {
        const { id, verb: number, fields } = decodeRequest(frame)
        const again = rest(encodeRequest(id, 'random', fields))
        again[4] = number
        expect(again).toEqual(frame)
      } catch (thrown) {
        expect(thrown).toBeInstanceOf(FrameError)
      }
    }), { numRuns: 1000 })
  })

  it.each([
    ['shorter than id and verb', '00000000', 'request too short'],
    ['with half a field length', '0000000005' + '0100', 'field length cut off'],
    ['with a field that runs past the end', '0000000005' + '02000000' + '61', 'field runs past its frame'],
    ['with a field of 4 GiB', '0000000005' + 'ffffffff', 'field runs past its frame'],
  ])('are refused %s', (_what, hex, message) => {
    expect(() => decodeRequest(Buffer.from(hex, 'hex'))).toThrow(new FrameError(message))
  })
})

describe('answers', () => {
  it('are length, id, status, CKR, time in the queue, timings and payload, little-endian', () => {
    const answer: AnswerFrame = { id: 7, status: 'fault', ckr: 0xa0, queueNanoseconds: 1, timings: [{ call: 'C_Encrypt', nanoseconds: 2 }], payload: Buffer.from('p') }
    expect(encodeAnswer(answer).toString('hex'))
      .toBe('1c000000' + '07000000' + '04' + 'a0000000' + '000000000000f03f' + '01' + '02' + '0000000000000040' + '70')
  })

  it('give back what was sent', () => {
    fc.assert(fc.property(answers, answer => {
      expect(decodeAnswer(rest(encodeAnswer(answer)))).toEqual(answer)
    }))
  })

  it('leave out a timing of a function that this version does not know, and keep the payload', () => {
    const frame = Buffer.from(rest(encodeAnswer({ id: 1, status: 'ok', ckr: 0, queueNanoseconds: 0, timings: [{ call: 'C_Sign', nanoseconds: 1 }, { call: 'C_Encrypt', nanoseconds: 2 }], payload: Buffer.from('p') })))
    frame[18] = 200
    expect(decodeAnswer(frame)).toMatchObject({ timings: [{ call: 'C_Encrypt', nanoseconds: 2 }], payload: Buffer.from('p') })
  })

  it('throw nothing but FrameError, whatever the bytes', () => {
    fc.assert(fc.property(fc.oneof(buffer(100), fc.tuple(answers, fc.nat(), fc.nat({ max: 255 })).map(([answer, at, value]) => {
      const frame = Buffer.from(rest(encodeAnswer(answer)))
      frame[at % frame.length] = value
      return frame
    })), frame => {
      try {
        expect(Object.keys(statuses)).toContain(decodeAnswer(frame).status)
      } catch (thrown) {
        expect(thrown).toBeInstanceOf(FrameError)
      }
    }), { numRuns: 1000 })
  })

  it.each([
    ['of an unknown status', '07000000ff' + '00000000' + '0000000000000000' + '00'],
    ['cut off before the count', '0700000000' + '00000000' + '0000000000000000'],
    ['cut off in a timing', '0700000000' + '00000000' + '0000000000000000' + '01' + '00'],
    ['of no bytes', ''],
  ])('are refused %s', (_what, hex) => {
    expect(() => decodeAnswer(Buffer.from(hex, 'hex'))).toThrow(new FrameError('answer cut off'))
  })
})

describe('FrameReader', () => {
  const frames = fc.array(fc.tuple(u32, verb, fc.array(buffer(40), { maxLength: 3 })).map(([id, name, fields]) => encodeRequest(id, name, fields)), { maxLength: 8 })

  it('gives the same frames however the stream is cut', () => {
    fc.assert(fc.property(frames, fc.array(fc.nat({ max: 60 }), { maxLength: 40 }), (sent, cuts) => {
      const stream = Buffer.concat(sent)
      const reader = new FrameReader()
      const got: Buffer[] = []
      let offset = 0
      for (const cut of [...cuts, stream.length]) {
        got.push(...reader.push(stream.subarray(offset, offset + cut)))
        offset += cut
      }
      expect(got).toEqual(sent.map(rest))
    }))
  })

  it('gives the same frames byte by byte', () => {
    const sent = [encodeRequest(1, 'random', [Buffer.alloc(4)]), encodeRequest(2, 'encrypt', []), encodeRequest(3, 'decrypt', [Buffer.from('x'), Buffer.alloc(0)])]
    const reader = new FrameReader()
    expect([...Buffer.concat(sent)].flatMap(byte => reader.push(Buffer.from([byte])))).toEqual(sent.map(rest))
  })

  it('throws nothing but FrameError, whatever the bytes', () => {
    fc.assert(fc.property(fc.array(buffer(30)), chunks => {
      const reader = new FrameReader()
      try {
        for (const chunk of chunks) for (const frame of reader.push(chunk)) expect(frame.length).toBeLessThanOrEqual(frameLimitBytes)
      } catch (thrown) {
        expect(thrown).toBeInstanceOf(FrameError)
      }
    }))
  })

  it('refuses a frame over 2 MiB when its length is known, not when it has come', () => {
    const announced = (length: number): Buffer => {
      const bytes = Buffer.alloc(4)
      bytes.writeUInt32LE(length)
      return bytes
    }
    expect(() => new FrameReader().push(announced(frameLimitBytes + 1))).toThrow(new FrameError('frame over the limit'))
    expect(() => new FrameReader().push(announced(0xffffffff))).toThrow(new FrameError('frame over the limit'))
    expect(new FrameReader().push(announced(frameLimitBytes))).toEqual([])
    expect(frameLimitBytes).toBe(2 * 1024 * 1024)
  })
})
