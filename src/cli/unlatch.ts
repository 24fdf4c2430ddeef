// `trent hsm unlatch`: after a refused PIN, the operator's word that the PIN is right now. It clears what is latched in Postgres and on
// this host's disk, and permits one login; other hosts look at Postgres.
import type { Command } from 'commander'
import type { Config, TokenConfig } from '../config.ts'
import { StartError } from '../errors.ts'
import type { TokenFound } from '../hsm/agent/control.ts'
import { pinFlagNames } from '../hsm/agent/pin-state.ts'
import { runJob, tokenAddress } from '../hsm/agent-process.ts'
import { LoginRefused } from '../hsm/login.ts'
import type { PinMark } from '../hsm/pin-marks.ts'
import type { Pool } from '../store/database.ts'
import { listPinLatches, unlatchPin, type PinLatch } from '../store/pin-latches.ts'
import { chooseToken, tokenOption } from './choose-token.ts'
import { configured, readConfig, withDatabase } from './configured.ts'
import { alreadyDone, ExitCode } from './exit-code.ts'
import { isCleared, newAttempt, pinMarks, readPin } from './login-attempt.ts'
import { describeLatch } from './login-sentences.ts'
import { ask } from './terminal.ts'

interface UnlatchOptions {
  readonly config?: string
  readonly token?: string
  readonly serial?: string
  readonly finalTry?: string
}

export const unlatchCommand = (): Command =>
  configured('unlatch', 'After a refused PIN: let hsm-agents log in to the token again, on every host')
    .addOption(tokenOption())
    .option('--serial <serial>', 'the serial number of the token, typed in, instead of being asked for it')
    .option('--final-try <sentence>', 'permit a login though the next wrong PIN locks the token; the sentence is: a wrong PIN locks SERIAL')
    .action(async (options: UnlatchOptions) => {
      const config = readConfig(options)
      const token = chooseToken(config, options.token)
      // An unlatched token is logged in to within seconds: not with a file that cannot be read.
      readPin(token)
      await withDatabase(config, pool => unlatch(config, pool, token, options))
    })

async function unlatch(config: Config, pool: Pool, token: TokenConfig, options: UnlatchOptions): Promise<void> {
  const found = await runJob<TokenFound>(token, { type: 'token', token: tokenAddress(token) })
  const { serial, pinState } = found
  const marks = pinMarks(config.dataDirectory)
  const latches = await listPinLatches(pool, serial)
  const mark = readMark(() => marks.read(serial))
  const lines = [...latches.filter(isInTheWay).map(latch => `Every host: ${describe(latch)}`), ...describeMark(mark, latches)]
  if (pinState !== 'usual') lines.push(`The token says ${pinFlagNames[pinState]}.`)
  if (lines.length === 0) throw new ExitCode(alreadyDone, `token '${token.label}' (serial ${serial}) is not latched: there is nothing to clear`)
  console.log([`Token '${token.label}', serial ${serial}, PIN version ${token.pinVersion}:`, ...lines].join('\n'))

  if (pinState === 'locked') throw new StartError(`the user PIN of token '${token.label}' is locked (CKF_USER_PIN_LOCKED): its security officer must set another first`)
  const typed = (options.serial ?? await ask('Serial number of the token: ', '--serial')).trim()
  if (typed !== serial) throw new StartError(`--serial is not the serial number of token '${token.label}': one of the two is not the token that was meant`)
  const wanted = `a wrong PIN locks ${serial}`
  if (options.finalTry !== undefined && options.finalTry !== wanted) throw new StartError(`--final-try: the sentence is '${wanted}'`)
  if (pinState === 'final-try' && options.finalTry === undefined) throw new StartError(`the next wrong PIN locks token '${token.label}' (CKF_USER_PIN_FINAL_TRY): have its security officer set the PIN anew, or say --final-try '${wanted}'`)

  const permit = options.finalTry === undefined ? 'count-low' : 'final-try'
  if (!(await unlatchPin(pool, newAttempt(token, serial), permit))) throw new StartError(`a login to token '${token.label}' is under way, or was cut off just now: try again in 15 seconds`)
  marks.remove(serial)
  console.log(`Token '${token.label}' is unlatched: one login with PIN version ${token.pinVersion} is permitted. A Trent that waits for it tries within seconds.`)
}

const isInTheWay = ({ state, isOver }: PinLatch): boolean => state === 'latched' || (state === 'attempting' && isOver)
const describe = (latch: PinLatch): string =>
  latch.state === 'latched' ? describeLatch(latch) : `PIN version ${latch.version}: a login of process ${latch.processes[0] ?? 'unknown'} on host ${latch.host} was cut off at ${latch.since.toISOString()}`

/** A mark that cannot be read is in the way as well. */
function readMark(read: () => PinMark | undefined): PinMark | string | undefined {
  try {
    return read()
  } catch (thrown) {
    if (thrown instanceof LoginRefused) return thrown.message
    throw thrown
  }
}

function describeMark(mark: PinMark | string | undefined, latches: readonly PinLatch[]): string[] {
  if (mark === undefined) return []
  if (typeof mark === 'string') return [`This host: ${mark}`]
  if (isCleared(mark, latches)) return []
  const since = new Date(mark.since)
  return [`This host: ${mark.state === 'latched' ? describeLatch({ ...mark, since }) : `PIN version ${mark.version}: a login was begun at ${since.toISOString()}`}`]
}
