// What nobody has caught. Left to itself, Node prints the whole value to stderr, past the log and with all that a library has hung
// on it (queries, rows), and ends the process.
import type { Log } from '../telemetry/log.ts'

/** Logs each promise that is rejected and handled by nobody, errors cut down as in every line of the log. `then` is done after that. */
export function logUnhandled(log: Log, then: () => void = () => undefined): void {
  process.on('unhandledRejection', (thrown: unknown) => {
    log.error({ err: thrown instanceof Error ? thrown : new TypeError(`a ${typeof thrown}, not an Error`) }, 'a promise was rejected that nobody has handled')
    then()
  })
}
