import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { LineReader } from '../../../src/hsm/agent/control.ts'

describe('LineReader', () => {
  it('gives whole lines, however the stream is cut', () => {
    const messages = fc.array(fc.record({ type: fc.string({ unit: 'grapheme' }), value: fc.integer() }), { maxLength: 6 })
    fc.assert(fc.property(messages, fc.array(fc.nat({ max: 20 }), { maxLength: 30 }), (sent, cuts) => {
      const stream = Buffer.from(sent.map(message => `${JSON.stringify(message)}\n`).join(''))
      const reader = new LineReader()
      const lines: string[] = []
      let offset = 0
      for (const cut of [...cuts, stream.length]) {
        lines.push(...reader.push(stream.subarray(offset, offset + cut)))
        offset += cut
      }
      expect(lines.map(line => JSON.parse(line) as unknown)).toEqual(sent)
    }))
  })

  it('keeps a character whose bytes come in two chunks: a PIN may have one', () => {
    const line = Buffer.from('{"pin":"pässword"}\n')
    const reader = new LineReader()
    const cut = line.indexOf(0xc3) + 1
    expect([...reader.push(line.subarray(0, cut)), ...reader.push(line.subarray(cut))]).toEqual(['{"pin":"pässword"}'])
  })

  it('passes over empty lines and holds back an unfinished one', () => {
    const reader = new LineReader()
    expect(reader.push(Buffer.from('\n\n{"a":1}\n{"b"'))).toEqual(['{"a":1}'])
    expect(reader.push(Buffer.from(':2}\n'))).toEqual(['{"b":2}'])
  })
})
