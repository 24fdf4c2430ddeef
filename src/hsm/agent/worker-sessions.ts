// The sessions of an agent's workers, opened before there is a worker: how many the token gives decides how many there are. What
// C_GetTokenInfo says of it is not asked: vendors report no limit, or one for all processes together.
import { ckr } from './ckr.ts'
import { ckrOf } from './fault.ts'
import type { Session } from './session.ts'
import { Fatal, openSession, type OpenToken } from './token.ts'

export interface WorkerCounts {
  readonly hot: number
  readonly slow: number
}

export interface WorkerSessions extends WorkerCounts {
  /** The hot workers' first. */
  readonly sessions: readonly Session[]
}

/** The main thread's own, which is open by now. */
const mainSessions = 1
/** A worker whose session breaks opens the next before it closes the former. */
const spareSessions = 1

/** One session a worker, for as many of `wanted` as the token has sessions for. @throws Fatal for less than one of each lane; Fault */
export function openWorkerSessions(token: OpenToken, wanted: WorkerCounts): WorkerSessions {
  const opened: Session[] = []
  const most = wanted.hot + wanted.slow + spareSessions
  while (opened.length < most && openOne(token, opened));
  const spare = opened.splice(Math.max(0, opened.length - spareSessions))
  for (const { p11, handle } of spare) p11.C_CloseSession(handle)
  const workers = opened.length
  if (workers < 2) throw new Fatal('token', `hsm.tokens.workers: the token gives an hsm-agent ${mainSessions + workers + spare.length} sessions; ${mainSessions + 2 + spareSessions} are the least`)
  // As many of what is slow as were wanted, but no more than a quarter.
  const slow = Math.min(wanted.slow, Math.max(1, Math.floor(workers / 4)))
  return { hot: workers - slow, slow, sessions: opened }
}

/** False when the token has no more to give. */
function openOne(token: OpenToken, opened: Session[]): boolean {
  try {
    opened.push(openSession(token))
    return true
  } catch (thrown) {
    if (ckrOf(thrown) === ckr.SESSION_COUNT) return false
    throw thrown
  }
}
