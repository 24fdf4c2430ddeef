// The agent's main thread: the only C_Initialize and C_Login, the domain check, the keys in use, the watch over the workers.
import type { PKCS11 } from 'pkcs11js'
import { attempt, type Remedies } from './attempt.ts'
import { makeSessionCanary, passes, sharedFor100Milliseconds } from './canary.ts'
import { has, unmet } from './capability.ts'
import type { FromAgent, StartMessage } from './control.ts'
import { domainFingerprint, findDomain, uuidBytes } from './domain.ts'
import { Fault } from './fault.ts'
import { KeysInUse, type OpenKey } from './keys-in-use.ts'
import { probe, type Probed } from './probe.ts'
import type { Wrapping } from './probe-bench.ts'
import type { Profile } from './profile.ts'
import { logIn, type LoginDesk } from './login.ts'
import type { Session } from './session.ts'
import { Fatal, findToken, openSession, type OpenToken } from './token.ts'
import { tokenUsage } from './usage.ts'
import { Watch, watchMemory } from './watch.ts'
import { openWorkerSessions } from './worker-sessions.ts'
import type { FromWorker, OpenOutcome, WorkerStart } from './worker-messages.ts'
import { Workers, type Reply } from './workers.ts'

const lookEveryMilliseconds = 50
const aliveEveryMilliseconds = 250
const expireEveryMilliseconds = 1_000
/** The token is asked for its memory and sessions every 10 s. */
const beatsPerUsage = 40

export interface Serving {
  /** Resolves when nobody is connected any more, or has been cut off after so many milliseconds, and the token is logged out. */
  drain(milliseconds: number): Promise<void>
}

/** Serves until the process is ended. Resolves when every worker listens. @throws Fatal */
export async function serve(message: StartMessage, desk: LoginDesk): Promise<Serving> {
  const { tell } = desk
  const token = findToken(message.token)
  const session = openSession(token)
  await logIn(token, session, desk)
  const domain = findDomain(session, token.profile, uuidBytes(message.domain.id), message.domain.version)
  const probed = probeFor(message, token, { key: domain.domainKey, mechanism: domain.wrapMechanism })
  const canary = makeSessionCanary(session, token.profile.gcmIv)
  const { hot, slow, sessions } = openWorkerSessions(token, { hot: message.sockets.hot.length, slow: message.sockets.slow.length })
  const sockets = [...message.sockets.hot.slice(0, hot), ...message.sockets.slow.slice(0, slow)]
  const watch = watchMemory(sockets.length)
  const workers = new Workers()
  const keys = new KeysInUse(session, token.profile, domain, message.keys, workers)
  const remedies: Remedies = {
    // The unwrapped keys belong to this session: without it the agent has none.
    renewSession: () => { throw new Fault('C_OpenSession', 0) },
    healthy: sharedFor100Milliseconds(() => passes(canary, () => session, () => undefined)),
  }
  const starts = sockets.map((socket, worker): WorkerStart => ({
    library: message.token.library, profile: token.profile.name, slot: token.slot.handle, domain, canary, socket, worker, watch,
    session: sessions[worker]?.handle ?? Buffer.alloc(0),
  }))
  const lost = (reason: string): void => {
    workers.lose()
    tell({ type: 'sick', reason })
  }
  const open = async (from: Extract<FromWorker, { type: 'open' }>, reply: Reply): Promise<void> => {
    await keys.ready()
    const name = Buffer.from(from.name)
    const outcome = openKey(keys, token.profile, remedies, Buffer.from(from.row), name)
    if (outcome === 'lost') lost('a key cannot be opened')
    else reply({ type: 'opened', ticket: from.ticket, name: name.toString('latin1'), outcome, timings: session.takeTimings() })
  }

  await workers.start(starts, (from, reply) => {
    if (from.type === 'open') void open(from, reply)
    else if (from.type === 'used') keys.use(from.names)
    else if (from.type === 'stale') keys.distrust()
    else if (from.type === 'lost') lost(from.reason)
  })

  tell({
    type: 'ready', serial: token.serial, model: token.model, library: message.token.library,
    fingerprint: domainFingerprint(session, domain), templateEnforced: has(probed.capabilities, 'template-enforced'), workers: { hot, slow }, ...probed, usage: tokenUsage(token),
  })
  session.takeTimings()
  setInterval(() => { keys.expire(performance.now()) }, expireEveryMilliseconds)
  keepWatch(new Watch(watch, message.deadlines), token, keys, tell)
  return {
    async drain(milliseconds) {
      await workers.drain(milliseconds)
      logOut(token.p11, session)
    },
  }
}

/** @throws Fatal for a token that cannot do what a setting needs: it serves nothing */
function probeFor({ token: { label }, probe: { extent, needs }, sockets }: StartMessage, token: OpenToken, wrapping: Wrapping): Probed {
  const probed = probe({ token, extent, wrapping, sessions: sockets.hot.length + sockets.slow.length })
  const refuted = unmet(label, probed.capabilities, needs)
  if (refuted !== undefined) throw new Fatal('token', refuted)
  return probed
}

/** Once no worker is in a call: C_Finalize was measured to crash under one. Should it hang, the supervisor ends the process. */
function logOut(p11: PKCS11, session: Session): void {
  try {
    p11.C_Logout(session.handle)
    p11.C_Finalize()
  } catch {
    // The token may be what is gone: the process ends either way.
  }
}

/** Opens a key for a worker; 'lost' when this agent can open none any more. */
function openKey(keys: KeysInUse, profile: Profile, remedies: Remedies, row: Buffer, name: Buffer): OpenOutcome | 'lost' {
  let key: OpenKey | undefined
  const outcome = attempt(() => {
    key = keys.open(row, name)
    return Buffer.alloc(0)
  }, profile, remedies)
  if (key !== undefined) return { ok: true, key }
  if (outcome.status === 'lost' || outcome.status === 'stale') return 'lost'
  if (outcome.status === 'ok') throw new TypeError('no key')
  // An authentic blob that a healthy device does not unwrap: nobody sent garbage, the token is not what it should be.
  return { ok: false, status: outcome.status === 'invalid' ? 'fault' : outcome.status, ckr: outcome.ckr, text: outcome.text }
}

function keepWatch(watch: Watch, token: OpenToken, keys: KeysInUse, tell: (message: FromAgent) => void): void {
  setInterval(() => {
    for (const overrun of watch.look(performance.now())) tell({ type: 'overrun', ...overrun })
  }, lookEveryMilliseconds)
  // Sent from the thread that unwraps: its silence is how the supervisor sees that this thread hangs.
  let beats = 0
  setInterval(() => {
    tell({ type: 'alive', rssBytes: process.memoryUsage.rss(), unwraps: keys.unwraps, ...(++beats % beatsPerUsage === 0 ? { usage: tokenUsage(token) } : {}) })
  }, aliveEveryMilliseconds)
}
