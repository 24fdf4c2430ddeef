import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { PinMarks, type PinMark } from '../../src/hsm/pin-marks.ts'

const mark: PinMark = {
  state: 'latched', version: 2, attempt: '6e6b1d3e-52f2-4d39-9c10-3ad2a1cb2d57', host: 'web-1', place: 'boot pid:[1]', processes: [10, 11], since: '2026-11-23T00:00:00.000Z',
  unresolved: 0, reason: 'the token refused the PIN (CKR_PIN_INCORRECT)', recordedAt: null,
}

let folder: string
let directory: string
let marks: PinMarks
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'trent-marks-'))
  directory = join(folder, 'pins')
  marks = new PinMarks(directory)
})
afterEach(() => { rmSync(folder, { recursive: true }) })

describe('a mark', () => {
  it('is there for the next process, until it is removed', () => {
    expect(marks.read('a1')).toBeUndefined()
    marks.write('a1', mark)
    expect(new PinMarks(directory).read('a1')).toEqual(mark)
    expect(marks.read('a2')).toBeUndefined()
    marks.write('a1', { ...mark, state: 'attempting' })
    expect(marks.read('a1')?.state).toBe('attempting')
    marks.remove('a1')
    expect(marks.read('a1')).toBeUndefined()
    marks.remove('a1')
  })

  it('is for its owner alone', () => {
    marks.write('a1', mark)
    expect(readdirSync(directory)).toHaveLength(1)
    for (const name of readdirSync(directory)) expect(statSync(join(directory, name)).mode & 0o777).toBe(0o600)
    expect(statSync(directory).mode & 0o777).toBe(0o700)
  })

  it('stays in the folder whatever the serial number is', () => {
    for (const serial of ['../../x', '', 'a/b', '\u0000']) {
      marks.write(serial, mark)
      expect(marks.read(serial)).toEqual(mark)
    }
    expect(readdirSync(folder)).toEqual(['pins'])
    expect(readdirSync(directory)).toHaveLength(4)
  })

  it.each(['', '{', 'null', '7', '{"state":"good"}', JSON.stringify({ ...mark, version: '2' })])('that is damaged is a refusal, not a free way: %j', text => {
    marks.write('a1', mark)
    const file = join(directory, readdirSync(directory)[0] ?? '')
    writeFileSync(file, text)
    expect(() => marks.read('a1')).toThrow(`the PIN latch ${file} is damaged: run \`trent hsm unlatch\` once the PIN is right`)
    expect(readFileSync(file, 'utf8')).toBe(text)
  })

  it('that cannot be written is a refusal', () => {
    writeFileSync(directory, '')
    expect(() => { marks.write('a1', mark) }).toThrow(/^dataDirectory: the PIN latch .* cannot be written \((EEXIST|ENOTDIR)\)$/)
  })
})
