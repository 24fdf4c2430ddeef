// Sends cases over a number of connections at once and keeps what went wrong. Any case can be run alone, by seed and index.
import type { Case } from './case.ts'
import { caseOf } from './cases.ts'
import { Connection, encode, type Outcome } from './connection.ts'
import { judge, type Verdict } from './judge.ts'
import type { World } from './world.ts'

export interface Failure {
  readonly index: number
  readonly requestId: string | undefined
  readonly text: string
}

export interface Report {
  readonly cases: number
  /** Cases and what follows from them. */
  readonly requests: number
  readonly seconds: number
  readonly failures: readonly Failure[]
  /** Request ids of all answers that had one. */
  readonly answered: Set<string>
  /** Requests whose answer nobody waited for or could tell apart. */
  readonly unseen: number
  /** Answers by concern and kind, `blobs InvalidCiphertextException` → count. */
  readonly kinds: ReadonlyMap<string, number>
}

export interface Plan {
  readonly seed: number
  readonly first: number
  readonly cases: number
  readonly connections: number
  /** Prints each request and its answer. */
  readonly verbose: boolean
  /** After every hundredth part. */
  readonly progress: (done: number) => void
}

/** So many failures end a run. */
const enough = 20

export async function run(world: World, { seed, first, cases, connections, verbose, progress }: Plan): Promise<Report> {
  const failures: Failure[] = []
  const answered = new Set<string>()
  const kinds = new Map<string, number>()
  const start = performance.now()
  const step = Math.max(1, Math.floor(cases / 100))
  let [next, done, requests, unseen] = [first, 0, 0, 0]

  const busy = new Map<string, Promise<void>>()
  const inTurn = async (about: string | undefined, work: () => Promise<void>): Promise<void> => {
    if (about === undefined) return await work()
    const mine = (busy.get(about) ?? Promise.resolve()).then(work)
    busy.set(about, mine)
    await mine
    if (busy.get(about) === mine) busy.delete(about)
  }
  const one = async (index: number, made: Case, lane: Lane): Promise<void> => {
    requests++
    const connection = made.stranger === true ? lane.stranger : lane.usual
    const bytes = made.raw ?? encode(made.request)
    if (made.abandoned === true) {
      unseen++
      return await connection.abandon(bytes)
    }
    const outcome = await connection.send(bytes)
    const verdict = judge(made, outcome)
    // What follows a broken request on its connection would not be an answer to the next one.
    if (made.expected.protocol === 'broken') {
      unseen++
      connection.close()
    }
    if (verdict.requestId !== undefined) answered.add(verdict.requestId)
    const kind = `${made.name.split('/', 1)[0]} ${verdict.kind}`
    kinds.set(kind, (kinds.get(kind) ?? 0) + 1)
    if (verbose || verdict.fault !== undefined) {
      const text = describe({ seed, index }, made, bytes, outcome, verdict)
      if (verbose) console.log(text)
      if (verdict.fault !== undefined) failures.push({ index, requestId: verdict.requestId, text })
    }
    const follower = verdict.output === undefined ? undefined : made.next?.(verdict.output)
    if (follower !== undefined) await one(index, follower, lane)
  }
  const work = async (): Promise<void> => {
    const lane = { usual: new Connection(world.port), stranger: new Connection(world.port, '127.0.0.2') }
    while (next < first + cases && failures.length < enough) {
      const index = next++
      const made = caseOf(seed, index, world)
      await inTurn(made.about, () => one(index, made, lane))
      if (++done % step === 0) progress(done)
    }
    lane.usual.close()
    lane.stranger.close()
  }
  await Promise.all(Array.from({ length: Math.min(connections, cases) }, work))
  return { cases: done, requests, seconds: (performance.now() - start) / 1000, failures, answered, unseen, kinds }
}

interface Lane {
  readonly usual: Connection
  readonly stranger: Connection
}

const shownBytes = 3_000

function describe({ seed, index }: { readonly seed: number; readonly index: number }, made: Case, bytes: Buffer, outcome: Outcome, verdict: Verdict): string {
  const printable = (text: string): string => text.replaceAll(/[^\n\x20-\x7e]/g, one => one === '\r' ? '' : `\\x${one.charCodeAt(0).toString(16).padStart(2, '0')}`)
  const shown = (all: Buffer): string => `${printable(all.toString('latin1', 0, shownBytes))}${all.length > shownBytes ? `… (${all.length} bytes)` : ''}`
  const { errors, result, text } = made.expected
  const answer = typeof outcome === 'string' ? outcome : `${outcome.status} ${[...outcome.headers].map(pair => pair.join(': ')).join('; ')}\n${shown(outcome.body)}`
  return [
    `case ${index} of seed ${seed} (${made.name}): ${verdict.fault ?? 'as expected'}`,
    `  again, alone: npm run fuzz -- --seed ${seed} --case ${index}`,
    `  expected: ${[...(result === undefined ? [] : [`a result of ${result}`]), ...errors].join(' or ')}${text === undefined ? '' : ` with the text ${JSON.stringify(text)}`}`,
    `--- request\n${shown(bytes)}`, `--- answer\n${answer}`, '',
  ].join('\n')
}
