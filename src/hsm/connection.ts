// One gateway's connection to one worker of an agent: frames out in one write a turn of the event loop, answers matched by id.
import { connect, type Socket } from 'node:net'
import { decodeAnswer, encodeRequest, FrameError, FrameReader, type AnswerFrame, type Verb } from './agent/frames.ts'

/** A call on its way. `answered` gets undefined when the connection ended first, and the generation of the agent that it was with. */
export interface Call {
  readonly verb: Verb
  readonly fields: readonly Buffer[]
  /** Sent while nothing else is under way on its connection: it was lost with an agent, and may have been what ended it. */
  readonly alone: boolean
  answered(answer: AnswerFrame | undefined, generation: number): void
}

export class Connection {
  readonly #socket: Socket
  readonly #calls = new Map<number, Call>()
  readonly #reader = new FrameReader()
  #unsent: Buffer[] = []
  #lastId = 0
  /** Open for calls: not while it is being made, since a call on a connection that fails counts as an attempt. */
  #open = false
  #carriesAlone = false
  #retired = false
  readonly #generation: number
  readonly #limit: number
  readonly #freed: () => void

  /** At most `limit` calls at a time. `freed` is called whenever there is room for another; `ended` once, after every call was told. */
  constructor(path: string, generation: number, limit: number, freed: () => void, ended: (connection: Connection) => void) {
    this.#generation = generation
    this.#limit = limit
    this.#freed = freed
    this.#socket = connect(path, () => {
      this.#open = true
      freed()
    })
    this.#socket.on('data', chunk => { this.#receive(chunk) })
    this.#socket.on('error', () => this.#socket.destroy())
    this.#socket.on('close', () => {
      this.#open = false
      for (const call of this.#calls.values()) call.answered(undefined, this.#generation)
      this.#calls.clear()
      ended(this)
    })
  }

  get outstanding(): number {
    return this.#calls.size
  }

  get isOpen(): boolean {
    return this.#open
  }

  hasRoomFor({ alone }: Call): boolean {
    if (!this.#open || this.#retired) return false
    return alone ? this.#calls.size === 0 : !this.#carriesAlone && this.#calls.size < this.#limit
  }

  send(call: Call): void {
    this.#carriesAlone = call.alone
    this.#lastId = (this.#lastId + 1) >>> 0
    this.#calls.set(this.#lastId, call)
    this.#unsent.push(encodeRequest(this.#lastId, call.verb, call.fields))
    if (this.#unsent.length === 1) setImmediate(() => { this.#flush() })
  }

  /** Takes no more calls, and closes once those under way are answered: its agent drains, and ends when all have left it. */
  retire(): void {
    this.#retired = true
    this.#closeIfDone()
  }

  close(): void {
    this.#open = false
    this.#socket.destroy()
  }

  #closeIfDone(): void {
    if (this.#retired && this.#calls.size === 0) this.close()
  }

  /** Requests may hold plaintext: what was written is wiped once the kernel has it. */
  #flush(): void {
    const frames = this.#unsent
    this.#unsent = []
    const bytes = frames.length === 1 && frames[0] !== undefined ? frames[0] : Buffer.concat(frames)
    for (const frame of frames) if (frame !== bytes) frame.fill(0)
    this.#socket.write(bytes, () => bytes.fill(0))
  }

  #receive(chunk: Buffer): void {
    try {
      for (const frame of this.#reader.push(chunk)) {
        const answer = decodeAnswer(frame)
        const call = this.#calls.get(answer.id)
        if (call === undefined) throw new FrameError('an answer to no call')
        this.#calls.delete(answer.id)
        call.answered(answer, this.#generation)
      }
    } catch {
      // An agent that sends what is no frame, or an answer that nobody waits for, is not one to go on with; its calls are sent again elsewhere.
      this.close()
      return
    }
    if (this.#calls.size === 0) this.#carriesAlone = false
    this.#closeIfDone()
    if (this.#open) this.#freed()
  }
}
