// The agent's main thread: the only C_Initialize and C_Login, the domain check, the keys in use, the watch over the workers.
import { attempt, type Remedies } from './attempt.ts'
import { makeSessionCanary, passes } from './canary.ts'
import type { FromAgent, StartMessage } from './control.ts'
import { domainFingerprint, findDomain, templateEnforced, uuidBytes } from './domain.ts'
import { Fault } from './fault.ts'
import { KeysInUse, type OpenKey } from './keys-in-use.ts'
import type { Profile } from './profile.ts'
import { findToken, login, openSession } from './token.ts'
import { Watch, watchMemory } from './watch.ts'
import type { OpenOutcome, WorkerStart } from './worker.ts'
import { Workers } from './workers.ts'

const lookEveryMilliseconds = 50
const aliveEveryMilliseconds = 250

/** Runs until the process is killed. Resolves when every worker listens. @throws Fatal */
export async function serve(message: StartMessage, tell: (message: FromAgent) => void): Promise<void> {
  const token = findToken(message.token)
  const session = openSession(token)
  login(token, session, message.pin)
  const domain = findDomain(session, token.profile, uuidBytes(message.domain.id), message.domain.version)
  const enforced = templateEnforced(session, domain)
  const canary = makeSessionCanary(session, token.profile.gcmIv)
  const watch = watchMemory(message.sockets.length)
  const workers = new Workers()
  const keys = new KeysInUse(session, token.profile, domain, name => workers.forget(name))
  const remedies: Remedies = {
    // The unwrapped keys belong to this session: without it the agent has none.
    renewSession: () => { throw new Fault('C_OpenSession', 0) },
    healthy: () => passes(canary, () => session, () => undefined),
  }
  const starts = message.sockets.map((socket, worker): WorkerStart => ({
    library: message.token.library, profile: token.profile.name, slot: token.slot.handle, domain, canary, socket, worker, watch,
  }))

  await workers.start(starts, (from, reply) => {
    if (from.type === 'open') {
      const outcome = open(keys, token.profile, remedies, Buffer.from(from.row), Buffer.from(from.name))
      if (outcome === 'lost') tell({ type: 'sick', reason: 'a key cannot be opened' })
      else reply({ type: 'opened', ticket: from.ticket, name: Buffer.from(from.name).toString('latin1'), outcome, timings: session.takeTimings() })
    } else if (from.type === 'stale') keys.forget(from.name)
    else if (from.type === 'lost') tell({ type: 'sick', reason: from.reason })
  })

  tell({
    type: 'ready', serial: token.serial, model: token.model, library: message.token.library,
    fingerprint: domainFingerprint(session, domain), templateEnforced: enforced,
  })
  session.takeTimings()
  keepWatch(new Watch(watch, message.deadlines), tell)
}

/** Opens a key for a worker; 'lost' when this agent can open none any more. */
function open(keys: KeysInUse, profile: Profile, remedies: Remedies, row: Buffer, name: Buffer): OpenOutcome | 'lost' {
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

function keepWatch(watch: Watch, tell: (message: FromAgent) => void): void {
  setInterval(() => {
    for (const overrun of watch.look(performance.now())) tell({ type: 'overrun', ...overrun })
  }, lookEveryMilliseconds)
  // Sent from the thread that unwraps: its silence is how the supervisor sees that this thread hangs.
  setInterval(() => { tell({ type: 'alive' }) }, aliveEveryMilliseconds)
}
