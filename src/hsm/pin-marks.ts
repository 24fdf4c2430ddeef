// The disk's half of the PIN latch: one file for each token, 0600, written through to the disk before the PIN goes to an agent. It holds
// when Postgres cannot be asked.
import { closeSync, fsyncSync, mkdirSync, openSync, readFileSync, renameSync, rmSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { LoginRefused } from './login.ts'

/** What is known of the last login on this host: one whose end was not seen, or one that is latched. No file: nothing of the kind. */
export interface PinMark {
  readonly state: 'attempting' | 'latched'
  readonly version: number
  /** UUID. */
  readonly attempt: string
  readonly host: string
  readonly place: string
  readonly processes: readonly number[]
  /** ISO 8601. */
  readonly since: string
  readonly unresolved: number
  readonly reason: string | null
  /** The time of the same attempt or latch in Postgres, by Postgres's clock; null while Postgres does not have it. */
  readonly recordedAt: string | null
}

export class PinMarks {
  readonly #directory: string

  constructor(directory: string) {
    this.#directory = directory
  }

  /** @throws LoginRefused when there is a mark that cannot be read: it may be a latch */
  read(serial: string): PinMark | undefined {
    const file = this.#file(serial)
    let text: string
    try {
      text = readFileSync(file, 'utf8')
    } catch (thrown) {
      if (codeOf(thrown) === 'ENOENT') return undefined
      throw new LoginRefused('passing', `the PIN latch ${file} cannot be read (${codeOf(thrown)})`)
    }
    const mark = parse(text)
    if (mark === undefined) throw new LoginRefused('passing', `the PIN latch ${file} is damaged: run \`trent hsm unlatch\` once the PIN is right`)
    return mark
  }

  /** Returns once the mark is on the disk. @throws LoginRefused when it cannot be written: no login without it */
  write(serial: string, mark: PinMark): void {
    const file = this.#file(serial)
    try {
      mkdirSync(this.#directory, { recursive: true, mode: 0o700 })
      const unfinished = openSync(`${file}.new`, 'w', 0o600)
      try {
        writeSync(unfinished, JSON.stringify(mark))
        fsyncSync(unfinished)
      } finally {
        closeSync(unfinished)
      }
      renameSync(`${file}.new`, file)
      this.#sync()
    } catch (thrown) {
      throw new LoginRefused('passing', `dataDirectory: the PIN latch ${file} cannot be written (${codeOf(thrown)})`)
    }
  }

  /** A mark that comes back after a power failure is an attempt whose end nobody saw, or a latch that Postgres knows to be cleared. */
  remove(serial: string): void {
    rmSync(this.#file(serial), { force: true })
  }

  #file(serial: string): string {
    return join(this.#directory, `${Buffer.from(serial).toString('hex') || 'none'}.json`)
  }

  #sync(): void {
    const directory = openSync(this.#directory, 'r')
    try {
      fsyncSync(directory)
    } finally {
      closeSync(directory)
    }
  }
}

const codeOf = (thrown: unknown): string => (thrown instanceof Error && 'code' in thrown ? String(thrown.code) : String(thrown))

function parse(text: string): PinMark | undefined {
  try {
    const mark = JSON.parse(text) as Partial<PinMark>
    const isWhole = (mark.state === 'attempting' || mark.state === 'latched') && Number.isInteger(mark.version) && Array.isArray(mark.processes)
      && [mark.attempt, mark.host, mark.place, mark.since].every(member => typeof member === 'string') && Number.isInteger(mark.unresolved)
    return isWhole ? mark as PinMark : undefined
  } catch {
    return undefined
  }
}
