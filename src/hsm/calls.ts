// Calls to the agent of one token, whichever it is at the moment: in their lanes, with a bounded queue before each; sent once more when an
// agent dies under one; given up in time, to another token where there is one, and refused when two agents have died.
import type { MakeableKeys } from '../keys/makeable.ts'
import type { AnswerFrame, Verb } from './agent/frames.ts'
import { HsmUnavailable } from './hsm.ts'
import { Lane, lanes, type LaneName } from './lane.ts'
import { Quarantine, Quarantined } from './quarantine.ts'

/** Where an agent listens: told by the supervisor, again at each replacement. */
export interface AgentAddress {
  readonly token: string
  readonly generation: number
  readonly sockets: Readonly<Record<LaneName, readonly string[]>>
  /** The keys that its token can make and use; null where that was not tried. */
  readonly makes?: MakeableKeys | null
}

export interface ClientOptions {
  /** Called for every answer, for the metrics. */
  readonly observe: (token: string, answer: AnswerFrame) => void
  /** Shared by all clients of a process; one of the client's own where it has none beside it. */
  readonly quarantine?: Quarantine
  readonly now?: () => number
  /** Whether another token could take a call: then none waits for this one to come back. */
  readonly elsewhere?: () => boolean
}

/** Waiting for a worker and in the HSM together, milliseconds; the supervisor's own deadlines are shorter and replace the agent. */
const callLimits: Readonly<Partial<Record<Verb, number>>> = { create: 30_000 }
const usualCallLimit = 10_000
export const callLimit = (verb: Verb): number => callLimits[verb] ?? usualCallLimit
const sweepEveryMilliseconds = 250
const attempts = 2
/** Losses of one call, whatever it was with: an agent may end the connection of a frame that it cannot read, and go on. */
const lossLimit = 4
/** By then an agent that died has lost all its connections. */
const repeatMilliseconds = 20
/**
 * The agents with which a call was lost, of whichever token; the two steps of a verb that uses a key are one call, and so is what a pool
 * of several tokens sends to one after the other.
 */
export type Losses = string[]

let clients = 0

/** What is asked of an agent. */
export interface Ask {
  readonly verb: Verb
  readonly lane: LaneName
  /** What it is with, for the quarantine. */
  readonly materials: readonly Buffer[]
  /** Given how often the call was sent before and the milliseconds it has left. */
  readonly fields: (attempt: number, left: number) => readonly Buffer[]
  readonly lost: Losses
}

interface Pending extends Ask {
  readonly deadline: number
  settled: boolean
  sends: number
  sentElsewhere: boolean
  left(): void
  overdue(): void
  resolve(answer: AnswerFrame): void
  reject(error: Error): void
}

export class Calls {
  readonly #observe: ClientOptions['observe']
  readonly #quarantine: Quarantine
  readonly #now: () => number
  readonly #elsewhere: () => boolean
  readonly #number = ++clients
  #address: AgentAddress | null = null
  readonly #lanes: Readonly<Record<LaneName, Lane>> = { hot: new Lane('hot'), slow: new Lane('slow') }
  readonly #pending = new Set<Pending>()
  readonly #sweep: NodeJS.Timeout

  constructor(options: ClientOptions) {
    this.#observe = options.observe
    this.#now = options.now ?? (() => performance.now())
    this.#elsewhere = options.elsewhere ?? (() => false)
    this.#quarantine = options.quarantine ?? new Quarantine({ alarm: () => undefined, now: this.#now })
    this.#sweep = setInterval(() => { this.#expire() }, sweepEveryMilliseconds)
    this.#sweep.unref()
  }

  /** See HsmClient.setAgent. */
  setAgent(address: AgentAddress | null): void {
    if (address !== null && address.generation === this.#address?.generation) return
    this.#address = address
    for (const name of lanes) this.#lanes[name].use(address?.sockets[name] ?? [], address?.generation ?? 0)
    if (address === null && this.#elsewhere()) for (const name of lanes) this.#lanes[name].leave()
  }

  get available(): boolean {
    return lanes.some(name => this.#lanes[name].isOpen)
  }

  close(): void {
    clearInterval(this.#sweep)
    this.#address = null
    for (const name of lanes) this.#lanes[name].close()
    for (const pending of this.#pending) this.#reject(pending, new HsmUnavailable('unavailable', 'the gateway is closing'))
  }

  /** The agent's answer, whatever its status. @throws HsmUnavailable, Quarantined */
  call(ask: Ask): Promise<AnswerFrame> {
    if (this.#quarantine.holds(ask.verb, ask.materials)) return Promise.reject(new Quarantined())
    return new Promise<AnswerFrame>((resolve, reject) => {
      const pending: Pending = {
        ...ask, deadline: this.#now() + callLimit(ask.verb), settled: false, sends: 0, sentElsewhere: false, resolve, reject,
        left: () => { this.#leave(pending) },
        overdue: () => { this.#reject(pending, new HsmUnavailable('busy', 'the workers before the HSM did not come to this call')) },
      }
      this.#pending.add(pending)
      this.#attempt(pending)
    })
  }

  #attempt(pending: Pending): void {
    const { verb, lost } = pending
    if (!this.available && this.#elsewhere()) {
      this.#leave(pending)
      return
    }
    const now = this.#now()
    const sent = this.#lanes[pending.lane].send({
      verb,
      fields: pending.fields(pending.sends++, pending.deadline - now),
      // Among many that were lost with an agent one may have ended it: if that ends another, the others are not to be taken for it.
      alone: lost.length > 0,
      answered: (answer, generation) => { this.#answered(pending, answer, generation) },
    }, pending, now)
    if (!sent) this.#reject(pending, new HsmUnavailable('busy', 'the queue before the HSM is full'))
  }

  #answered(pending: Pending, answer: AnswerFrame | undefined, generation: number): void {
    if (pending.settled) {
      // Too late for its caller; it may be a plaintext all the same.
      answer?.payload.fill(0)
      return
    }
    if (answer === undefined) {
      pending.lost.push(`${this.#number}/${generation}`)
      this.#repeat(pending)
      return
    }
    if (this.#address !== null) this.#observe(this.#address.token, answer)
    // The agent has lost its token, by no fault of this call, and is about to be replaced.
    if (answer.status === 'lost') this.#attemptSoon(pending)
    // The worker has tried three times on a device that is not lost: another worker tries once more.
    else if (answer.status === 'again' && !pending.sentElsewhere) {
      pending.sentElsewhere = true
      this.#attempt(pending)
    } else {
      this.#settle(pending)
      pending.resolve(answer)
    }
  }

  /** The connections of an agent that dies end one after the other, so a call may be lost on several of them: that is one death. */
  #repeat(pending: Pending): void {
    const { verb, materials, lost } = pending
    if (new Set(lost).size < attempts && lost.length < lossLimit) {
      if (this.#elsewhere()) this.#leave(pending)
      else this.#attemptSoon(pending)
      return
    }
    // Agents that went on after they had ended its connections are none that died of it.
    if (new Set(lost).size >= attempts) this.#quarantine.add(verb, materials)
    this.#reject(pending, this.#quarantine.holds(verb, materials) ? new Quarantined() : new HsmUnavailable('unavailable', 'the hsm-agent died twice under this call'))
  }

  /** To whoever called, who has another token for it. */
  #leave(pending: Pending): void {
    this.#reject(pending, new HsmUnavailable('unavailable', pending.lost.length > 0 ? 'the hsm-agent died under this call' : 'no hsm-agent serves'))
  }

  #attemptSoon(pending: Pending): void {
    setTimeout(() => { if (!pending.settled) this.#attempt(pending) }, repeatMilliseconds)
  }

  #expire(): void {
    const now = this.#now()
    for (const pending of this.#pending) {
      if (pending.deadline > now) continue
      this.#reject(pending, this.available
        ? new HsmUnavailable('deadline', `no answer to ${pending.verb} in time`)
        : new HsmUnavailable('unavailable', 'no hsm-agent serves'))
    }
    for (const name of lanes) this.#lanes[name].sweep(now)
  }

  #reject(pending: Pending, error: HsmUnavailable): void {
    this.#settle(pending)
    pending.reject(error)
  }

  #settle(pending: Pending): void {
    pending.settled = true
    this.#pending.delete(pending)
  }
}
