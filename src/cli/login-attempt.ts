// An attempt to log in and what it leaves on disk: what TokenLogins and `trent hsm unlatch` both need.
import { randomUUID } from 'node:crypto'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { readSecretFile, type TokenConfig } from '../config.ts'
import type { PinRecord } from '../hsm/login-rules.ts'
import { PinMarks, type PinMark } from '../hsm/pin-marks.ts'
import { areGone, thisPlace } from '../hsm/place.ts'
import type { LoginAttempt, PinLatch } from '../store/pin-latches.ts'

/** From the claim of a login until everybody may take its agent for dead. */
export const deadMilliseconds = 12_000

/** @throws StartError */
export const readPin = (token: TokenConfig): string => readSecretFile(token.pinFile, 'hsm.tokens.pinFile').toString()

export const pinMarks = (dataDirectory: string): PinMarks => new PinMarks(join(dataDirectory, 'pins'))

/** An attempt of this process, and of the agent with this process id. */
export const newAttempt = ({ label, pinVersion }: TokenConfig, serial: string, agent?: number): LoginAttempt => ({
  serial, version: pinVersion, label, attempt: randomUUID(), host: hostname(), place: thisPlace(), processes: agent === undefined ? [process.pid] : [process.pid, agent],
})

/** An attempt or a latch, of now, that Postgres does not have yet. */
export const markOf = ({ version, attempt, host, place, processes }: Pick<PinMark, 'version' | 'attempt' | 'host' | 'place' | 'processes'>, { state, unresolved = 0, reason = null }: Partial<PinMark> & Pick<PinMark, 'state'>): PinMark => ({
  state, version, attempt, host, place, processes, since: new Date().toISOString(), unresolved, reason, recordedAt: null,
})

/** Whether an operator has unlatched the token since this mark's attempt or latch came to Postgres. */
export const isCleared = ({ version, recordedAt }: PinMark, latches: readonly PinLatch[]): boolean =>
  recordedAt !== null && latches.some(latch => latch.version === version && latch.clearedAt !== null && latch.clearedAt > new Date(recordedAt))

/** What a mark says to login-rules.ts; nothing when an operator has cleared it. */
export function recordsOf(mark: PinMark | undefined, latches: readonly PinLatch[]): PinRecord[] {
  if (mark === undefined || isCleared(mark, latches)) return []
  const { state, version, unresolved, place, processes, since } = mark
  const age = Date.now() - new Date(since).getTime()
  // Or of a time to come: the clock was set back.
  const isOld = age > deadMilliseconds || age < 0
  // Of another boot of this host, whose processes are all gone.
  const isOver = isOld || place.split(' ')[0] !== thisPlace().split(' ')[0] || areGone(place, processes)
  return [{ state, version, permit: 'usual', isOver, unresolved, wasGood: false }]
}
